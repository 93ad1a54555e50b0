"""The processes of a worker after an edit of the project."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dagma.execution.pool_renewal import INTERVAL_SECONDS, PoolRenewal, state


@dataclass(frozen=True)
class Request:
    """As much of one of Celery's requests as is used."""

    worker_pid: int


@dataclass
class Pool:
    """Two processes, as Celery's pool has them: the oldest first, and of these it ends those that are idle."""

    limit: int = 2
    processes: list[int] = field(default_factory=lambda: [1, 2])
    wanted: int = 2
    active: set[Request] = field(default_factory=set)

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
        self.processes = [pid for pid in self.processes if pid not in idle]


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
    return link


@pytest.fixture
def renewal(current: Path) -> PoolRenewal:
    assert current.is_dir()
    return PoolRenewal(SimpleNamespace())


def make_current(link: Path, copy: str) -> None:
    link.unlink()
    link.symlink_to(copy)


def test_without_an_edit_nothing_is_replaced(renewal: PoolRenewal, pool: Pool) -> None:
    renewal.renew(pool)
    assert pool.processes == [1, 2]


def test_idle_processes_are_replaced_at_once(renewal: PoolRenewal, pool: Pool, current: Path) -> None:
    make_current(current, "2")
    renewal.renew(pool)
    assert pool.processes == [3, 4]
    renewal.renew(pool)
    assert pool.processes == [3, 4]


def test_a_run_goes_on_in_its_process_while_others_take_new_runs(
    renewal: PoolRenewal, pool: Pool, current: Path
) -> None:
    pool.active.add(Request(1))
    make_current(current, "2")
    renewal.renew(pool)
    assert pool.processes == [1, 3, 4]
    renewal.renew(pool)
    assert pool.processes == [1, 3, 4]
    pool.active.clear()
    renewal.renew(pool)
    assert pool.processes == [3, 4]


def test_an_edit_during_the_run_of_an_older_one_leaves_as_many_processes_as_there_were(
    renewal: PoolRenewal, pool: Pool, current: Path
) -> None:
    pool.active.add(Request(1))
    make_current(current, "2")
    renewal.renew(pool)
    make_current(current, "3")
    renewal.renew(pool)
    assert pool.processes == [1, 5, 6]
    pool.active.clear()
    renewal.renew(pool)
    assert pool.processes == [5, 6]


def test_a_run_that_is_on_its_way_to_a_process_is_not_lost(
    renewal: PoolRenewal, pool: Pool, current: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "reserved_requests", {Request(0)})
    make_current(current, "2")
    renewal.renew(pool)
    assert pool.processes == [1, 2, 3, 4]
    monkeypatch.setattr(state, "reserved_requests", set())
    renewal.renew(pool)
    assert pool.processes == [3, 4]


def test_it_looks_again_and_again(renewal: PoolRenewal, pool: Pool) -> None:
    calls: list[Any] = []
    timer = SimpleNamespace(call_repeatedly=lambda *arguments: calls.append(arguments))
    renewal.start(SimpleNamespace(timer=timer, pool=pool))
    assert calls == [(INTERVAL_SECONDS, renewal.renew, (pool,))]
