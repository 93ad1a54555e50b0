import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from chaos.llm_log import LlmRequest
from chaos.row_evidence import Outage, RowEvidence
from chaos.table_kills import Damage
from chaos.tables import answered_of, read_records

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


def at(second: float) -> datetime:
    return NOON + timedelta(seconds=second)


def request(second: float, *, completed: bool = True) -> LlmRequest:
    return LlmRequest(at(second), at(second + 1) if completed else None, completed)


def call(attempt: int = 1, state: str = "answered", second: float = 5) -> dict[str, Any]:
    return {"key": "k", "attempt": attempt, "state": state, "finished_at": at(second).isoformat()}


def row(**changes: Any) -> RowEvidence:
    whole = {"key": "1", "is_answered": True, "calls": [call()], "requests": [request(1)]}
    return RowEvidence(**{**whole, **changes})


LANGFLOW_AWAY = Outage("langflow", at(1.5), at(60))


def test_a_row_that_was_asked_once_and_is_answered_has_no_problem() -> None:
    assert row().problems() == []


def test_an_answer_that_was_under_way_while_langflow_was_killed_may_be_bought_again() -> None:
    calls = [call(1, "failed", 20), call(2, second=80)]
    again = row(calls=calls, requests=[request(1), request(70)], outages=[LANGFLOW_AWAY])
    assert again.problems() == []
    assert again.answers == 2


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"is_answered": False}, "lost"),
        ({"requests": []}, "never asked"),
        ({"requests": [request(1), request(3)]}, "paid twice"),
        ({"requests": [request(1), request(8)]}, "paid twice"),
        ({"calls": [call(1, "failed"), call(2, second=90)], "requests": [request(1), request(70)]}, "paid twice"),
        ({"outages": [Outage("worker", at(1), at(9))], "requests": [request(1), request(3)]}, "paid twice"),
        ({"outages": [LANGFLOW_AWAY], "requests": [request(1), request(70), request(75)]}, "paid twice"),
    ],
)
def test_what_became_of_a_row_is_named(changes: dict[str, Any], problem: str) -> None:
    wrong = row(**changes)
    assert problem in " ".join(wrong.problems())
    assert problem in wrong.report()


def test_the_damage_is_counted_by_row() -> None:
    rows = [row(), row(is_answered=False), row(requests=[request(1), request(3)])]
    assert str(Damage(2, rows)) == "kills=2 rows=3 answered=2 paid_twice=1 lost=1 llm_answers=4"


def test_requests_are_told_apart_by_their_question() -> None:
    def line(number: int, asked: str, second: float, *, answered: bool) -> str:
        return json.dumps({"at": at(second).isoformat(), "request": number, "asked": asked, "answered": answered})

    log = "\n".join(
        [
            line(1, "row 1", 0, answered=False),
            line(2, "row 2", 1, answered=False),
            "a warning",
            line(1, "row 1", 2, answered=True),
            line(3, "row 1", 3, answered=False),
        ]
    )
    requests = read_records(log)
    assert requests == {
        "row 1": [LlmRequest(at(0), at(2), completed=True), LlmRequest(at(3))],
        "row 2": [LlmRequest(at(1))],
    }
    assert answered_of(requests, 1, 3) == 1
