"""What threads hand in is written later, in groups and in order."""

import itertools
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from dagma.ledger import grouped_ledger
from dagma.ledger.grouped_ledger import MOST, WriteBehind


class Written:
    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.may_write = threading.Event()
        self.may_write.set()

    def __call__(self, entries: Sequence[int]) -> None:
        assert self.may_write.wait(10)
        self.groups.append(list(entries))


def test_who_hands_in_does_not_wait_and_a_flush_does() -> None:
    written = Written()
    written.may_write.clear()
    behind = WriteBehind(written)
    for number in range(5):
        behind.put(number)
    assert written.groups == []
    assert not behind.flush(0.01)
    written.may_write.set()
    assert behind.flush()
    assert list(itertools.chain(*written.groups)) == [0, 1, 2, 3, 4]


def test_entries_are_written_in_groups_without_a_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouped_ledger, "GATHER_SECONDS", 60)
    written = Written()
    behind = WriteBehind(written)
    for number in range(MOST + 3):
        behind.put(number)
    behind.flush()
    assert [len(group) for group in written.groups] == [MOST, 3]


def test_a_flush_with_nothing_to_write_returns_at_once() -> None:
    behind = WriteBehind(Written())
    behind.flush()
    behind.put(1)
    behind.flush()
    behind.flush()


def test_the_thread_ends_when_there_is_nothing_to_write_and_starts_again() -> None:
    written = Written()
    behind = WriteBehind(written)
    for number in range(3):
        behind.put(number)
        behind.flush()
        for thread in threading.enumerate():
            if thread.name == "dagma-write-behind":
                thread.join(10)
                assert not thread.is_alive()
    assert written.groups == [[0], [1], [2]]


def test_entries_of_many_threads_are_written_once_each() -> None:
    written = Written()
    behind = WriteBehind(written)

    def hand_in(number: int) -> None:
        behind.put(number)
        behind.flush()
        assert any(number in group for group in written.groups)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(hand_in, range(200)))
    assert sorted(itertools.chain(*written.groups)) == list(range(200))


def test_what_cant_be_written_is_told_and_keeps_nobody_waiting(caplog: pytest.LogCaptureFixture) -> None:
    written: list[int] = []

    def write(entries: Sequence[int]) -> None:
        if -1 in entries:
            raise ValueError("no")
        written.extend(entries)

    behind = WriteBehind(write)
    for number in (-1, 1):
        behind.put(number)
        assert behind.flush(10)
    assert written == [1]
    assert "Entries were not written: 1." in caplog.text
