import random
from itertools import islice

from chaos.calls import json_rows
from chaos.evidence import Evidence, RunEnd
from chaos.faults import SERVICES
from chaos.random_kills import Tally, victims

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


def test_rows_are_found_among_warnings() -> None:
    assert list(json_rows('warning: {odd}\n{"key": "k"}\n\n')) == [{"key": "k"}]


def test_every_service_is_killed_before_any_of_them_again_and_the_seed_repeats_the_order() -> None:
    def killed(seed: int) -> list[str]:
        return list(islice(victims(random.Random(seed)), 3 * len(SERVICES)))  # noqa: S311 (no secret)

    for start in (0, len(SERVICES), 2 * len(SERVICES)):
        assert sorted(killed(1)[start : start + len(SERVICES)]) == sorted(SERVICES)
    assert killed(1) == killed(1)
    assert len({tuple(killed(seed)) for seed in range(20)}) > 1
