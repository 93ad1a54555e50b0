from chaos.evidence import Evidence, RunEnd
from chaos.random_kills import Tally

ROW = {"key": "k", "attempt": 1, "state": "answered", "mode": "job", "finished_at": "2026-03-10T12:00:00+00:00"}


def test_a_call_that_was_answered_and_recorded_is_counted_so() -> None:
    tally = Tally()
    tally.count(Evidence([RunEnd("r", "SUCCESS", "Once")], [ROW], [], 12.34))

    assert str(tally) == "kills=1 answered=1 lost=0 paid_twice=0 slowest_seconds=12.3"


def test_a_call_without_an_end_is_lost() -> None:
    tally = Tally()
    tally.count(None)

    assert str(tally) == "kills=1 answered=0 lost=1 paid_twice=0 slowest_seconds=0.0"


def test_a_ledger_that_is_wrong_is_not_overlooked() -> None:
    tally = Tally()
    tally.count(Evidence([RunEnd("r", "SUCCESS", "Once")], [], [], 1.0))

    assert (tally.lost, tally.wrong) == (0, 1)
