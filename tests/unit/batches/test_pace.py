"""How many calls are in flight: found by measuring, below a limit."""

import threading

import pytest

from dagma.batches.pace import Pace


class Server:
    """Answers so many calls at a time in a second each, and the others later."""

    def __init__(self, limit: int, at_once: int) -> None:
        self.now = 0.0
        self.pace = Pace(limit, clock=lambda: self.now)
        self._at_once = at_once

    def work(self, calls: int) -> None:
        for _ in range(calls):
            self.now += 1 / min(self.pace.level, self._at_once)
            self.pace.answered()


def test_the_level_rises_to_the_limit_where_that_is_faster() -> None:
    server = Server(limit=32, at_once=100)
    server.work(1000)
    assert server.pace.level == 32


@pytest.mark.parametrize("at_once", [1, 4, 6])
def test_the_level_stays_where_more_calls_only_wait_for_each_other(at_once: int) -> None:
    server = Server(limit=64, at_once=at_once)
    levels = set()
    for _ in range(200):
        server.work(10)
        levels.add(server.pace.level)
    assert max(levels) <= max(4 * at_once, 8)
    assert server.pace.level <= max(2 * at_once, 5)


def test_the_limit_is_never_passed() -> None:
    server = Server(limit=2, at_once=100)
    server.work(500)
    assert server.pace.level == 2


def test_a_server_that_asks_to_wait_is_left_alone_and_then_asked_by_fewer() -> None:
    server = Server(limit=8, at_once=8)
    server.work(500)
    for _ in range(8):  # calls that were in flight together are refused together
        server.pace.slow_down(30)
    assert (server.pace.level, server.pace.seconds_held) == (4, 30)
    server.now += 31
    assert server.pace.seconds_held == 0
    server.work(1000)
    assert server.pace.level == 8


def test_a_wait_ends_with_the_batch() -> None:
    over = threading.Event()
    pace = Pace(4)
    pace.slow_down(3600)
    over.set()
    pace.wait(over)
