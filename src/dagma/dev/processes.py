"""Child processes that end together, each with all that it started."""

import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import requests

from dagma.dev.dev_settings import DevError

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Processes:
    """Processes started one by one and ended together.

    Each leads a session of its own, so that Ctrl-C in the terminal reaches this process alone, which then ends the
    others, the last one first.

    Args:
        logs: Folder of the processes' output, one file per process, overwritten at each start.
        grace: Seconds from the request to end to the kill.
    """

    def __init__(self, logs: Path, grace: float = 15.0) -> None:
        self._logs = logs
        self._grace = grace
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        self._logs.mkdir(parents=True, exist_ok=True)
        return self

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        """Start a process in a folder, with these environment variables alone; its output goes to `<name>.log`."""
        folder.mkdir(parents=True, exist_ok=True)
        with _signals_held_back(), self._log(name).open("wb") as output:
            self._running[name] = subprocess.Popen(  # noqa: S603 - the commands are this package's own
                command,
                env=dict(environment),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_for(self, name: str, url: str, seconds: float) -> None:
        """Wait until a process answers.

        Raises:
            DevError: A process has ended, or this one does not answer in time.
        """
        print(f"{name} ...", flush=True)
        started = time.monotonic()
        with requests.Session() as session:
            session.trust_env = False  # no proxy on the way to one's own machine
            while time.monotonic() - started < seconds:
                self.check()
                with suppress(requests.RequestException):
                    if session.get(url, timeout=5).ok:
                        print(f"{name} is ready after {time.monotonic() - started:.0f} s", flush=True)
                        return
                time.sleep(0.5)
        raise DevError(f"{name} did not answer within {seconds:.0f} s: see {self._log(name)}")

    def check(self) -> None:
        """Look whether all processes run.

        Raises:
            DevError: One has ended by itself; with the end of its output.
        """
        for name, process in self._running.items():
            if (code := process.poll()) is not None:
                with self._log(name).open(encoding="utf-8", errors="replace") as log:
                    end = "".join(deque(log, maxlen=20))
                raise DevError(f"{name} ended with exit code {code}; the end of {self._log(name)}:\n{end}")

    def __exit__(self, *_: object) -> None:
        """End every process and all that they started, by force after the grace period."""
        for number in ENDING_SIGNALS:
            signal.signal(number, signal.SIG_IGN)  # somebody who asks twice does not want half of them left
        for process in reversed(self._running.values()):
            _signal_group(process, signal.SIGTERM)
        deadline = time.monotonic() + self._grace
        for process in self._running.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
            # The group may outlive its leader.
            _signal_group(process, signal.SIGKILL)
            process.wait()

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """Hold Ctrl-C and the like back, so that no process is started that nobody knows of.

    By handlers and not by a mask, which the process that is started would inherit.

    Raises:
        KeyboardInterrupt: At the end, if there was such a signal.
    """
    noted: list[int] = []
    # A signal that is ignored, as under nohup, stays ignored.
    handlers = {number: old for number in ENDING_SIGNALS if (old := signal.getsignal(number)) != signal.SIG_IGN}
    try:
        for number in handlers:
            signal.signal(number, lambda number, _: noted.append(number))
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if noted:
        raise KeyboardInterrupt


def _signal_group(process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
