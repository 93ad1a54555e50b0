import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dagma.dev.processes import ChildEndedError, ProcessGroups, tail

# Starts a child of its own, says its id, and waits.
PARENT = (
    "import subprocess, sys, time; "
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
    "print(child.pid, flush=True); time.sleep(600)"
)
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
)


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


def check_for_ten_seconds(processes: ProcessGroups) -> None:
    for _ in range(200):
        processes.check()
        time.sleep(0.05)


def test_the_children_of_a_process_end_with_it(tmp_path: Path) -> None:
    with ProcessGroups(tmp_path) as processes:
        processes.start("parent", python(PARENT), os.environ, tmp_path)
        grandchild = int(read_when_written(tmp_path / "parent.log"))
        assert lives(grandchild)
        processes.check()
    assert not lives(grandchild)


def test_a_process_that_ignores_the_request_is_killed(tmp_path: Path) -> None:
    processes = ProcessGroups(tmp_path / "logs", grace=0.2)
    with processes:
        processes.start("stubborn", python(STUBBORN), os.environ, tmp_path)
        read_when_written(tmp_path / "logs" / "stubborn.log")
    processes.check()  # it holds none any more


def test_everything_ends_when_the_program_fails(tmp_path: Path) -> None:
    started: list[int] = []

    def program() -> None:
        with ProcessGroups(tmp_path) as processes:
            processes.start("parent", python(PARENT), os.environ, tmp_path)
            started.append(int(read_when_written(tmp_path / "parent.log")))
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        program()
    assert not lives(started[0])


def test_a_process_that_ends_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    with ProcessGroups(tmp_path) as processes:
        processes.start("brief", python("print('the cause'); raise SystemExit(3)"), os.environ, tmp_path)
        with pytest.raises(ChildEndedError, match=r"brief ended with exit code 3.*\n.*the cause"):
            check_for_ten_seconds(processes)


def test_a_program_is_run_to_its_end(tmp_path: Path) -> None:
    with ProcessGroups(tmp_path) as processes:
        processes.run("good", python("print('done')"), os.environ, tmp_path, time.sleep)
        assert tail(tmp_path / "good.log") == "done"
        processes.check()
        with pytest.raises(ChildEndedError, match="exit code 1"):
            processes.run("bad", python("raise SystemExit(1)"), os.environ, tmp_path, time.sleep)


def test_the_tail_is_bounded(tmp_path: Path) -> None:
    log = tmp_path / "long.log"
    log.write_text("x" * 10_000 + "\n" + "\n".join(map(str, range(100))))
    assert tail(log, lines=2) == "98\n99"
    assert len(tail(log, lines=101).splitlines()[0]) == 400
    assert tail(tmp_path / "none.log") == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_pause_and_not_what_is_between_pauses(number: signal.Signals) -> None:
    code = (
        "import os\n"
        "from dagma.dev.interruption import EndRequestedError, Interruption\n"
        "interruption = Interruption()\n"
        f"os.kill(os.getpid(), {int(number)})\n"
        "print('between', flush=True)\n"
        "try:\n"
        "    interruption.pause(60)\n"
        "except EndRequestedError:\n"
        "    print('ended')\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "src")}
    done = subprocess.run(python(code), capture_output=True, text=True, timeout=30, env=environment, check=True)
    assert done.stdout.split() == ["between", "ended"]
