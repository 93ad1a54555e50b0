"""How many rows begin ahead: as many as are answered in a moment."""

from dagma.batches.row_groups import MOST_ROWS, RowGroups


class Batch:
    """Asks groups of rows, each row of which takes so long."""

    def __init__(self) -> None:
        self.now = 0.0
        self.ended = 0
        self.groups = RowGroups(lambda: self.now)

    def sizes(self, groups: int, seconds: float) -> list[int]:
        sizes = []
        for _ in range(groups):
            sizes.append(self.groups.next_size(self.ended))
            self.ended += sizes[-1]
            self.now += sizes[-1] * seconds
        return sizes


def test_rows_that_are_answered_fast_begin_in_groups_that_grow() -> None:
    assert Batch().sizes(7, seconds=0.003) == [1, 2, 4, 8, 16, MOST_ROWS, MOST_ROWS]


def test_rows_that_take_long_begin_one_by_one() -> None:
    batch = Batch()
    batch.sizes(7, seconds=0.003)
    assert batch.sizes(4, seconds=20)[1:] == [1, 1, 1]


def test_no_row_waits_for_others_where_a_group_cant_begin_together() -> None:
    batch = Batch()
    batch.sizes(7, seconds=0.003)
    batch.groups.shrink()
    assert batch.sizes(1, seconds=0.003) == [2]
