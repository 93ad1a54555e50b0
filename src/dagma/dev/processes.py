"""Child processes that end together: where this process ends in any way but a kill, none of them is left running."""

import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self


class ChildEndedError(Exception):
    """A process that should run has ended by itself; the message has the end of its output."""

    def __init__(self, child: "Child", code: int) -> None:
        super().__init__(f"{child.name} ended with exit code {code}; the end of {child.log}:\n{tail(child.log)}")


@dataclass(frozen=True)
class Child:
    """A running process and the file with its output."""

    name: str
    process: "subprocess.Popen[bytes]"
    log: Path


class ProcessGroups:
    """Processes started one by one and ended together, each with all of its own children.

    Each leads a process group of its own, so that Ctrl-C in the terminal reaches this process alone, which then ends
    the others in order, the last one first.

    Args:
        logs: Folder of the processes' output, one file per process, overwritten at each start.
        grace: Seconds from the request to end to the kill.
    """

    def __init__(self, logs: Path, grace: float = 15.0) -> None:
        self._logs = logs
        self._grace = grace
        self._children: list[Child] = []

    def __enter__(self) -> Self:
        self._logs.mkdir(parents=True, exist_ok=True)
        return self

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        """Start a process in a folder, with these environment variables alone; its output goes to `<name>.log`."""
        log = self._logs / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - the commands are this package's own
                command,
                env=dict(environment),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._children.append(Child(name, process, log))

    def run(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        pause: Callable[[float], None],
    ) -> None:
        """Start a process and wait for its end; `pause` waits the seconds it is given, and may raise.

        Raises:
            ChildEndedError: Its exit code is not 0.
        """
        self.start(name, command, environment, folder)
        child = self._children[-1]
        while (code := child.process.poll()) is None:
            pause(0.1)
        self._children.remove(child)
        if code:
            raise ChildEndedError(child, code)

    def check(self) -> None:
        """Look whether all processes run.

        Raises:
            ChildEndedError: One has ended.
        """
        for child in self._children:
            if (code := child.process.poll()) is not None:
                raise ChildEndedError(child, code)

    def __exit__(self, *_: object) -> None:
        """End every process and all that they started, by force after the grace period."""
        for child in reversed(self._children):
            _signal_group(child, signal.SIGTERM)
        deadline = time.monotonic() + self._grace
        while time.monotonic() < deadline and any(map(_group_lives, self._children)):
            time.sleep(0.05)
        for child in self._children:
            # The group may outlive its leader.
            _signal_group(child, signal.SIGKILL)
            child.process.wait()
        self._children.clear()


def tail(path: Path, lines: int = 20) -> str:
    """Read the last lines of a log, each cut after 400 characters; empty where there is no file."""
    with suppress(FileNotFoundError), path.open(encoding="utf-8", errors="replace") as log:
        return "\n".join(line.rstrip()[:400] for line in deque(log, maxlen=lines))
    return ""


def _signal_group(child: Child, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.process.pid, number)


def _group_lives(child: Child) -> bool:
    child.process.poll()  # reaps the leader, which would otherwise keep its group alive as a zombie
    try:
        os.killpg(child.process.pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True
