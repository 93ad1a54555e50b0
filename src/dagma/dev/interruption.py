"""Ctrl-C, SIGQUIT, a closed terminal and SIGTERM, heeded at the moments that are fit for it."""

import signal
import time
from types import FrameType

_HEEDED = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP)


class EndRequestedError(Exception):
    """Someone asked this process to end."""


class Interruption:
    """Notes requests to end, and raises them where the program pauses.

    An exception at any instruction, as Python raises for Ctrl-C, could hit between the start of a process and the note
    that it was started, and leave it running.
    """

    def __init__(self) -> None:
        self._requested = False
        for number in _HEEDED:
            signal.signal(number, self._note)

    def pause(self, seconds: float) -> None:
        """Wait for so many seconds.

        Raises:
            EndRequestedError: Someone asked to end, before or meanwhile.
        """
        deadline = time.monotonic() + seconds
        while not self._requested and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))
        if self._requested:
            raise EndRequestedError

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self._requested = True
