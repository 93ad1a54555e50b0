"""Calls of rows begin in the ledger a moment before they are sent, where that loses nothing."""

from collections.abc import Callable
from typing import ClassVar

import pytest
from unit.batches.conftest import Flow, ask, ledger_rows, reviews

from dagma import Backend, CallRequest
from dagma.batches.errors import BatchStopped
from dagma.testing import FakeLangflow

IN_FLIGHT = 2


def states() -> set[str]:
    return {row["state"] for row in ledger_rows()}


class Watched:
    """Answers, and counts the calls that have begun meanwhile and were not sent yet."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.most_unsent = 0

    def __call__(self, asked: str) -> str:
        self.seen.add(asked.removeprefix("review "))
        begun = {row["row_key"] for row in ledger_rows() if row["state"] == "begun"}
        self.most_unsent = max(self.most_unsent, len(begun - self.seen))
        return f"{asked}, I see."


class Function(Backend):
    """A backend that can't be asked later."""

    says: ClassVar[Callable[[str], str]]

    def answer(self, request: CallRequest) -> dict[str, str]:
        return {"text": Function.says(request.input_value)}


def test_rows_of_a_flow_that_stores_what_it_is_asked_begin_ahead(fake: FakeLangflow, flow: Flow) -> None:
    flow.says = watched = Watched()
    results = ask(reviews(60), concurrency=IN_FLIGHT)
    assert all(result.error is None for result in results.values())
    assert watched.most_unsent > IN_FLIGHT
    assert states() == {"answered"}


def test_rows_of_a_named_session_begin_right_before_they_are_sent(fake: FakeLangflow, flow: Flow) -> None:
    flow.says = watched = Watched()
    ask(reviews(60), concurrency=IN_FLIGHT, session="of {{ row.id }}")
    assert (len(watched.seen), watched.most_unsent < IN_FLIGHT) == (60, True)


def test_rows_of_which_some_name_a_session_begin_right_before_they_are_sent(fake: FakeLangflow, flow: Flow) -> None:
    flow.says = watched = Watched()
    rows = [{**row, "s": "talk" if row["id"] % 2 else ""} for row in reviews(60, first=2)]
    ask(rows, concurrency=IN_FLIGHT, session="{{ row.s }}")
    assert (len(watched.seen), watched.most_unsent < IN_FLIGHT) == (60, True)


def test_rows_of_a_backend_that_cant_be_asked_later_begin_right_before_they_are_sent(
    databases: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched()
    monkeypatch.setattr(Function, "says", watched, raising=False)
    ask(reviews(60), concurrency=IN_FLIGHT, backend=Function(), flow="f")
    assert (len(watched.seen), watched.most_unsent < IN_FLIGHT) == (60, True)


def test_rows_that_had_begun_when_the_batch_stopped_are_recorded_as_not_sent(fake: FakeLangflow, flow: Flow) -> None:
    flow.says = lambda asked: 1 / 0 if int(asked.split()[-1]) > 30 else "fine"  # type: ignore[return-value]
    with pytest.raises(BatchStopped):
        ask(reviews(90), concurrency=IN_FLIGHT, max_failed=0)
    assert states() == {"answered", "failed"}
    flow.inputs.clear()
    flow.says = lambda _: "fine"
    results = ask(reviews(90), concurrency=IN_FLIGHT)
    assert all(result.error is None for result in results.values())
    assert sorted(flow.inputs) == sorted(f"review {number}" for number in range(31, 91))
