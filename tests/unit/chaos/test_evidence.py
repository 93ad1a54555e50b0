from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from chaos.evidence import Evidence, RunEnd
from chaos.llm_log import LlmRequest

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


def row(attempt: int = 1, state: str = "answered", **changes: Any) -> dict[str, Any]:
    finished = None if state in ("begun", "submitted") else (NOON + timedelta(seconds=10)).isoformat()
    return {"key": "k", "attempt": attempt, "state": state, "mode": "job", "finished_at": finished, **changes}


def request(second: float, *, completed: bool = True) -> LlmRequest:
    begun = NOON + timedelta(seconds=second)
    return LlmRequest(begun, begun + timedelta(seconds=5), completed)


def evidence(**changes: Any) -> Evidence:
    whole = {"runs": [RunEnd("r1", "SUCCESS", "Once")], "rows": [row()], "requests": [request(1)], "seconds": 9.0}
    return Evidence(**{**whole, **changes})


def test_a_call_that_survived_has_no_problem() -> None:
    assert evidence().problems() == []
    assert evidence().answered


def test_a_call_that_langflow_lost_may_be_sent_and_answered_again() -> None:
    again = evidence(rows=[row(1, "failed"), row(2)], requests=[request(1), request(6)])
    assert again.problems() == []


def test_an_llm_request_that_was_cut_off_was_not_paid_for() -> None:
    assert evidence(requests=[request(1, completed=False), request(4)]).problems() == []


def test_a_run_that_died_is_no_problem_if_its_retry_answers() -> None:
    runs = [RunEnd("r1", "FAILURE"), RunEnd("r2", "SUCCESS", "Once")]
    assert evidence(runs=runs).problems() == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"runs": [RunEnd("r1", "FAILURE")]}, "lost"),
        ({"runs": [RunEnd("r1", "SUCCESS")]}, "lost"),
        ({"runs": [RunEnd("r1", "SUCCESS", "Once"), RunEnd("r2", "FAILURE")]}, "last run is FAILURE"),
        ({"rows": []}, "no row"),
        ({"rows": [row(1, "failed", key="other"), row(2)]}, "other keys"),
        ({"rows": [row(1), row(2)]}, "2 answered rows"),
        ({"rows": [row(1), row(2, "failed")]}, "sent again after its answer"),
        ({"rows": [row(1, "submitted"), row(2)]}, "left open"),
        ({"rows": [row(1, "begun")]}, "left open"),
        ({"rows": [row(mode="direct")]}, "not a durable call"),
        ({"rows": [row(2)]}, "numbered"),
        ({"requests": []}, "computed no answer"),
        ({"requests": [request(1), request(11, completed=False)]}, "after the answer"),
        ({"requests": [request(1), request(3)]}, "more than attempts"),
    ],
)
def test_what_went_wrong_is_named(changes: dict[str, Any], problem: str) -> None:
    wrong = evidence(**changes)
    assert problem in " ".join(wrong.problems())
    assert problem in wrong.report()


@pytest.mark.parametrize(
    "requests", [[request(1), request(11)], [request(1), request(11, completed=False)], [request(1), request(3)]]
)
def test_work_for_what_was_answered_is_paid_twice(requests: list[LlmRequest]) -> None:
    assert evidence(requests=requests).paid_twice
    assert not evidence().paid_twice
