import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dagma.dev.dev_settings import DevError
from dagma.dev.processes import Processes

# Starts a child of its own, says its id, and waits.
PARENT = (
    "import subprocess, sys, time; "
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
    "print(child.pid, flush=True); time.sleep(600)"
)
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
)


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """Put back what this process does on the signals that are ignored while the processes end."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def read_when_written(log: Path) -> str:
    for _ in range(200):
        if log.exists() and (text := log.read_text()).endswith("\n"):
            return text
        time.sleep(0.05)
    raise AssertionError(f"nothing was written to {log}")


def lives(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")


def test_the_children_of_a_process_end_with_it_whatever_the_program_does(tmp_path: Path) -> None:
    started: list[int] = []

    def program() -> None:
        with Processes(tmp_path) as processes:
            processes.start("parent", python(PARENT), os.environ, tmp_path)
            started.append(int(read_when_written(tmp_path / "parent.log")))
            processes.check()
            assert lives(started[0])
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        program()
    assert not lives(started[0])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_a_process_is_started_leaves_no_orphan(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: signal.Signals
) -> None:
    started: list[int] = []
    popen = subprocess.Popen

    def interrupted(*args: Any, **options: Any) -> "subprocess.Popen[bytes]":
        process = popen(*args, **options)
        started.append(process.pid)
        os.kill(os.getpid(), number)
        return process

    signal.signal(number, signal.default_int_handler)
    with Processes(tmp_path) as processes:
        with monkeypatch.context() as patch:
            patch.setattr(subprocess, "Popen", interrupted)
            with pytest.raises(KeyboardInterrupt):
                processes.start("late", python("import time; time.sleep(600)"), os.environ, tmp_path)
        assert signal.getsignal(number) is signal.default_int_handler
        assert lives(started[0])
    assert not lives(started[0])


def test_a_process_that_ignores_the_request_is_killed(tmp_path: Path) -> None:
    with Processes(tmp_path, grace=0.2) as processes:
        processes.start("stubborn", python(STUBBORN), os.environ, tmp_path)
        read_when_written(tmp_path / "stubborn.log")
        started = time.monotonic()
    assert time.monotonic() - started < 5


def test_a_process_that_ends_while_it_is_waited_for_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    code = "print('x' * 10_000); [print(number) for number in range(100)]; raise SystemExit(3)"
    with Processes(tmp_path) as processes:
        processes.start("brief", python(code), os.environ, tmp_path)
        with pytest.raises(DevError, match=r"brief ended with exit code 3; the end of .*brief.log:\n80\n[\d\n]*99\n$"):
            processes.wait_for("brief", "http://127.0.0.1:9/", seconds=60)


def test_a_process_that_answers_too_late_is_told_with_its_log(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        processes.start("mute", python("import time; time.sleep(600)"), os.environ, tmp_path)
        with pytest.raises(DevError, match=r"mute did not answer within 1 s: see .*mute\.log"):
            processes.wait_for("mute", "http://127.0.0.1:9/", seconds=1)
