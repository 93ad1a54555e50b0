"""How many calls are in flight: found by measuring, below a limit, and within a share of the server's limits."""

import threading
import time
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from dagma.batches.pace import Pace, ServerShare
from dagma.ledger import Ledger
from dagma.ledger.database import utc_now
from dagma.ledger.server_limits import ServerLimits, Wish


class Server:
    """Answers so many calls at a time in a second each, and the others later."""

    def __init__(self, limit: int, at_once: int) -> None:
        self.now = 0.0
        self.pace = Pace(limit, clock=lambda: self.now)
        self._at_once = at_once

    def work(self, calls: int) -> set[int]:
        """Answer calls, and give the levels that there were."""
        levels = set()
        for _ in range(calls):
            self.now += 1 / min(self.pace.level, self._at_once)
            self.pace.answered()
            levels.add(self.pace.level)
        return levels


def test_the_level_rises_to_the_limit_where_that_is_faster_and_stays_there() -> None:
    server = Server(limit=32, at_once=100)
    assert max(server.work(1000)) == 32
    levels = [server.work(1) for _ in range(50_000)]
    assert levels.count({32}) > 0.9 * len(levels)


@pytest.mark.parametrize("at_once", [1, 4, 6])
def test_no_more_calls_are_in_flight_than_the_server_answers_at_once(at_once: int) -> None:
    server = Server(limit=64, at_once=at_once)
    assert max(server.work(2000)) <= 4 * at_once
    assert server.work(2000) <= set(range(1, at_once + 2)) | {at_once + at_once // 4}


def test_the_limit_is_never_passed() -> None:
    assert max(Server(limit=2, at_once=100).work(500)) == 2


def test_a_server_that_asks_to_wait_is_left_alone_and_then_asked_by_fewer() -> None:
    server = Server(limit=8, at_once=8)
    server.work(100)
    assert server.pace.level == 8
    for _ in range(8):  # calls that were in flight together are refused together
        server.pace.slow_down(30)
    assert (server.pace.level, server.pace.seconds_held) == (4, 30)
    server.now += 31
    assert server.pace.seconds_held == 0
    assert max(server.work(1000)) == 8


def test_a_batch_keeps_to_its_part_of_the_servers_limit() -> None:
    server = Server(limit=64, at_once=100)
    server.pace.bound(6)
    assert max(server.work(500)) == 6
    server.pace.bound(3)
    assert max(server.work(500)) == 3
    server.pace.bound(0)
    assert server.pace.level == 0
    server.pace.bound(64)
    assert max(server.work(20_000)) == 64


def test_calls_begin_at_the_times_that_they_were_given() -> None:
    over, pace = threading.Event(), Pace(4)
    pace.schedule((0.0, 0.05))
    begun = time.monotonic()
    pace.wait(over)
    pace.wait(over)
    assert time.monotonic() - begun >= 0.05
    threading.Timer(0.05, over.set).start()
    pace.wait(over)
    assert over.is_set(), "no third one may begin"


def test_a_wait_ends_with_the_batch() -> None:
    over = threading.Event()
    pace = Pace(4)
    pace.slow_down(3600)
    over.set()
    pace.wait(over)


class World:
    """A time that stands until it is moved, batches that go by it, and a ledger that takes time to answer."""

    def __init__(self, folder: Path) -> None:
        self.now, self.slowness = 1000.0, 0.0
        self._epoch = utc_now()
        self.ledger = Ledger(f"sqlite:///{folder}/ledger.db", clock=self._tell)

    def _tell(self) -> datetime:
        self.now += self.slowness
        told = self._epoch + timedelta(seconds=self.now)
        self.now += self.slowness
        return told

    def batch(self) -> tuple[Pace, ServerShare]:
        pace = Pace(8, clock=lambda: self.now)
        return pace, ServerShare(self.ledger, "langflow", pace)


@pytest.fixture
def world(databases: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(tmp_path)
    monkeypatch.setenv("DAGMA_MAX_IN_FLIGHT", "8")
    monkeypatch.setattr("dagma.batches.pace.time", SimpleNamespace(monotonic=lambda: world.now))
    return world


def test_a_server_that_asks_to_wait_is_asked_again_then_however_slow_the_ledger_is(world: World) -> None:
    (first, its_share), (second, the_others_share) = world.batch(), world.batch()
    first.slow_down(30)
    its_share.keep(0, has_more=True)
    the_others_share.keep(0, has_more=True)
    assert second.seconds_held == first.seconds_held == 30
    while world.now < 1040:
        world.slowness = 1.0 - world.slowness
        world.now += 1
        its_share.keep(0, has_more=True)
        the_others_share.keep(0, has_more=True)
    assert second.seconds_held == first.seconds_held == 0


def test_a_batch_that_is_always_busy_comes_down_to_its_part_when_another_begins(world: World) -> None:
    limits = [ServerLimits(world.ledger.database, "langflow", name, 8, None) for name in ("first", "second")]
    in_flight = [0, 0]
    for _ in range(3):
        for number, each in enumerate(limits):
            wish = Wish(slots=8, in_flight=in_flight[number], starts=0, held_seconds=0)
            in_flight[number] = each.renew(wish).slots
    assert in_flight == [4, 3]


def test_a_batch_in_its_last_calls_leaves_the_rest_to_the_others(world: World) -> None:
    pace, share = world.batch()
    share.keep(2, has_more=True)
    another = ServerLimits(world.ledger.database, "langflow", "another", 8, None)
    wish = Wish(slots=8, in_flight=0, starts=0, held_seconds=0)
    assert another.renew(wish).slots == 7 - pace.wanted
    world.now += 2
    share.keep(1, has_more=False)
    assert another.renew(wish).slots == 6
