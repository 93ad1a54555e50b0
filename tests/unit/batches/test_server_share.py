"""How a batch keeps its pace within its share of the server's limits."""

from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from dagma.batches import server_share
from dagma.batches.pace import Pace
from dagma.batches.server_share import ServerShare
from dagma.ledger import Ledger
from dagma.ledger.database import utc_now
from dagma.ledger.server_limits import ServerLimits, Wish


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
    monkeypatch.setattr(server_share, "time", SimpleNamespace(monotonic=lambda: world.now))
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


def test_a_batch_in_its_last_calls_leaves_the_rest_to_the_others(world: World) -> None:
    pace, share = world.batch()
    share.keep(2, has_more=True)
    another = ServerLimits(world.ledger.database, "langflow", "another", 8, None)
    wish = Wish(slots=8, in_flight=0, starts=0, held_seconds=0)
    assert another.renew(wish).slots == 7 - pace.wanted
    world.now += 2
    share.keep(1, has_more=False)
    assert another.renew(wish).slots == 6
