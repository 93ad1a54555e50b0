"""The processes of a worker after an edit of the project."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dagma.execution.pool_renewal import INTERVAL_SECONDS, PoolRenewal, state
from dagma.project import mark_definitions_changed


@dataclass(frozen=True)
class Request:
    """As much of one of Celery's requests as is used."""

    worker_pid: int


@dataclass
class Pool:
    """Two processes, as Celery's pool has them: the oldest first, and of these it ends those that are idle.

    One that it ends is among them until it has ended, and would be counted again.
    """

    limit: int = 2
    processes: list[int] = field(default_factory=lambda: [1, 2])
    wanted: int = 2
    active: set[Request] = field(default_factory=set)
    ending: set[int] = field(default_factory=set)

    @property
    def info(self) -> dict[str, Any]:
        return {"processes": list(self.processes)}

    def grow(self, number: int) -> None:
        self.wanted += number

    def maintain_pool(self) -> None:
        while len(self.processes) < self.wanted:
            self.processes.append(max(self.processes) + 1)

    def shrink(self, number: int) -> None:
        busy = {request.worker_pid for request in self.active}
        idle = [pid for pid in self.processes if pid not in busy][:number]
        self.wanted -= len(idle)
        self.ending |= set(idle)

    def reap(self) -> None:
        """Forget the processes that have ended, and start those that are missing."""
        self.processes = [pid for pid in self.processes if pid not in self.ending]
        self.ending.clear()
        self.maintain_pool()


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Pool:
    pool = Pool()
    monkeypatch.setattr(state, "active_requests", pool.active)
    monkeypatch.setattr(state, "reserved_requests", pool.active)
    return pool


@pytest.fixture
def current(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The link to the copy of the project that is current."""
    for name in ("1", "2", "3"):
        (tmp_path / name).mkdir()
    link = tmp_path / "current"
    link.symlink_to("1")
    monkeypatch.setenv("DAGMA_PROJECT_DIR", str(link))
    monkeypatch.setenv("DAGMA_STORAGE_DIR", str(tmp_path))
    return link


@pytest.fixture
def renewal(current: Path) -> PoolRenewal:
    assert current.is_dir()
    return PoolRenewal(SimpleNamespace())


def make_current(link: Path, copy: str) -> None:
    link.unlink()
    link.symlink_to(copy)


def renew(renewal: PoolRenewal, pool: Pool, times: int = 3) -> list[int]:
    """Let some seconds pass, in which processes end; return those that there are then."""
    for _ in range(times):
        renewal.renew(pool)
        renewal.renew(pool)
        pool.reap()
    assert len(pool.processes) == pool.wanted
    return pool.processes


def test_without_an_edit_nothing_is_replaced(renewal: PoolRenewal, pool: Pool) -> None:
    assert renew(renewal, pool) == [1, 2]


def test_idle_processes_are_replaced(renewal: PoolRenewal, pool: Pool, current: Path) -> None:
    make_current(current, "2")
    assert renew(renewal, pool) == [3, 4]


@pytest.mark.parametrize(("edits", "new"), [("2", [3, 4]), ("23", [5, 6])], ids=["one edit", "two edits"])
def test_a_run_goes_on_in_its_process_while_as_many_others_as_there_were_take_new_runs(
    renewal: PoolRenewal, pool: Pool, current: Path, edits: str, new: list[int]
) -> None:
    pool.active.add(Request(1))
    for copy in edits[:-1]:
        make_current(current, copy)
        renewal.renew(pool)
    make_current(current, edits[-1])
    assert renew(renewal, pool) == [1, *new]
    pool.active.clear()
    assert renew(renewal, pool) == new


def test_a_run_that_ends_while_another_process_is_ending(renewal: PoolRenewal, pool: Pool, current: Path) -> None:
    pool.active.add(Request(1))
    make_current(current, "2")
    renewal.renew(pool)
    pool.active.clear()
    assert renew(renewal, pool) == [3, 4]


def test_a_run_that_is_on_its_way_to_a_process_is_not_lost(
    renewal: PoolRenewal, pool: Pool, current: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "reserved_requests", {Request(0)})
    make_current(current, "2")
    assert renew(renewal, pool) == [1, 2, 3, 4]
    monkeypatch.setattr(state, "reserved_requests", set())
    assert renew(renewal, pool) == [3, 4]


def test_it_looks_again_and_again(renewal: PoolRenewal, pool: Pool) -> None:
    calls: list[Any] = []
    timer = SimpleNamespace(call_repeatedly=lambda *arguments: calls.append(arguments))
    renewal.start(SimpleNamespace(timer=timer, pool=pool))
    assert calls == [(INTERVAL_SECONDS, renewal.renew, (pool,))]


def test_definitions_that_change_without_an_edit_have_new_processes_too(renewal: PoolRenewal, pool: Pool) -> None:
    assert renew(renewal, pool) == [1, 2]
    mark_definitions_changed("flows", "1")
    assert renew(renewal, pool) == [3, 4]
    mark_definitions_changed("flows", "1")
    assert renew(renewal, pool) == [3, 4]
