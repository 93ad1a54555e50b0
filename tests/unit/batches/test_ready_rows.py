"""How many rows begin ahead: as many as are asked in a moment."""

from collections.abc import Sequence

from dagma.batches.ready_rows import MOST_AHEAD, ReadyRows
from dagma.batches.row_calls import ReadyRow
from dagma.batches.staged_rows import StagedRow


class Calls:
    """Prepares nothing, and counts."""

    def __init__(self) -> None:
        self.groups: list[int] = []
        self.have_begun = True

    def prepare(self, rows: Sequence[StagedRow]) -> tuple[list[ReadyRow], bool]:
        self.groups.append(len(rows))
        return [ReadyRow(row) for row in rows], self.have_begun


class Asked:
    """Asks rows, each of which takes so long."""

    def __init__(self) -> None:
        self.calls = Calls()
        self.now = 0.0
        self._ready = ReadyRows(self.calls, lambda: self.now)  # type: ignore[arg-type]

    def ask(self, rows: int, seconds: float) -> list[str]:
        left = iter([StagedRow(position=number, key=str(number), kept={}) for number in range(rows)])
        keys = []
        while ready := self._ready.next(left):
            keys.append(ready.row.key)
            self.now += seconds
            self._ready.keep_ahead(left)
        return keys


def test_rows_that_are_asked_fast_begin_in_groups_and_keep_their_order() -> None:
    asked = Asked()
    assert asked.ask(200, seconds=0.003) == [str(number) for number in range(200)]
    assert asked.calls.groups[:5] == [1, 2, 4, 8, 16]
    assert max(asked.calls.groups) == MOST_AHEAD


def test_rows_that_take_long_begin_one_by_one() -> None:
    asked = Asked()
    asked.ask(200, seconds=0.003)
    asked.calls.groups.clear()
    asked.ask(60, seconds=20)
    assert asked.calls.groups == [1] * 60


def test_no_row_waits_for_others_where_a_group_cant_begin() -> None:
    asked = Asked()
    asked.calls.have_begun = False
    asked.ask(9, seconds=0.003)
    assert asked.calls.groups == [1, 2, 2, 2, 2]
