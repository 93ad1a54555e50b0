"""`refresh: all`: each row asked once in it, however many batches that takes, and only by batches that may ask them."""

import pytest
from unit.batches.conftest import Flow, ask, reviews, sends

from dagma.batches.ask_rows import ask_rows
from dagma.batches.errors import BatchStopped
from dagma.testing import FakeLangflow


def break_off_after_one_row() -> None:
    """Begin to ask six rows anew, and stop."""
    results = ask_rows(reviews(6), key="id", input="{{ row.text }}", table="labels", refresh="all", concurrency=1)
    next(results)
    results.close()  # type: ignore[attr-defined]


def test_refresh_all_asks_anew_and_goes_on_after_it_was_broken_off(fake: FakeLangflow) -> None:
    ask(reviews(6))
    break_off_after_one_row()
    ask(reviews(6), refresh="all")
    assert len(sends(fake)) in (12, 13), "one may have been in flight"
    ask(reviews(6), refresh="all")
    assert len(sends(fake)) in (18, 19)


@pytest.mark.parametrize("refresh", ["changed", "failed"])
def test_a_refresh_that_another_batch_ends_is_not_taken_up_again(fake: FakeLangflow, flow: Flow, refresh: str) -> None:
    ask(reviews(6))
    break_off_after_one_row()
    ask(reviews(6), refresh=refresh)
    flow.inputs.clear()
    ask(reviews(6), refresh="all")
    assert len(flow.inputs) == 6


def test_a_refresh_that_is_refused_for_its_cost_has_not_begun(fake: FakeLangflow) -> None:
    ask(reviews(6))
    with pytest.raises(BatchStopped, match="Nothing was sent"):
        ask(reviews(6), refresh="all", max_cost_usd=0.0001)
    ask(reviews(6))
    assert len(sends(fake)) == 6


def test_a_sample_of_a_refresh_leaves_the_other_rows_to_the_refresh(fake: FakeLangflow) -> None:
    ask(reviews(6))
    ask(reviews(6), refresh="all", sample=2)
    ask(reviews(6))
    assert len(sends(fake)) == 8
    ask(reviews(6), refresh="all")
    assert len(sends(fake)) == 12
