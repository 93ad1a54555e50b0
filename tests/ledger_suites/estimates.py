"""Usage that is not reported: what limits count instead, and that no report takes it for a reported figure."""

import logging
from decimal import Decimal
from typing import Any

import pytest

from dagma.ledger import Ledger, QuotaExceededError, Usage
from dagma.ledger.reports import last_calls, standings
from dagma.ledger.totals import sums
from ledger_suites.tools import Clock, MakeLedger, new_call

NOTHING = Usage(model="tiny", input_tokens=0, output_tokens=0, total_tokens=0)
INPUT, ANSWER = "i" * 400, "a" * 1998
GUESSED = 100 + 500
PRICES = "tiny=1000/2000"
GUESSED_COST = Decimal("0.1") + Decimal(1)


def answer(ledger: Ledger, *usages: Usage, text: str | None = ANSWER, **changes: Any) -> dict[str, Any]:
    """Have a call answered, and give its row."""
    begun = ledger.begin(new_call(input_text=INPUT, **changes))
    ledger.finish(begun, raw={"text": text}, answer=text, usages=usages)
    return next(dict(row) for row in last_calls(ledger.database, 99) if row["id"] == begun.call_id)


def used(ledger: Ledger) -> list[Decimal]:
    return [standing["used"] for standing in standings(ledger.database, ledger.limits, Clock().now)]


class TestEstimates:
    @pytest.mark.parametrize(
        "usages",
        [
            [NOTHING],
            [Usage(model="tiny", input_tokens=0, output_tokens=0)],
            [Usage(model="tiny", total_tokens=0)],
            [Usage(model="tiny")],
            [Usage(model="tiny", input_tokens=-1, output_tokens=10**30)],
        ],
    )
    def test_nothing_beside_an_answer_is_not_reported_and_counts_by_its_characters(
        self, make_ledger: MakeLedger, usages: list[Usage]
    ) -> None:
        ledger = make_ledger(quotas="tokens=5000/day; cost=9/day", prices=PRICES, clock=Clock())
        row = answer(ledger, *usages)
        assert [row[name] for name in ("input_tokens", "output_tokens", "total_tokens", "cost")] == [None] * 4
        assert (row["model"], row["estimated_tokens"], row["estimated_cost"]) == ("tiny", GUESSED, GUESSED_COST)
        assert used(ledger) == [GUESSED, GUESSED_COST]

    @pytest.mark.parametrize("quota", ["tokens=1500/day", "cost=3/month", "flow:* tokens=1500/hour"])
    def test_limits_close_for_a_model_that_reports_nothing(self, make_ledger: MakeLedger, quota: str) -> None:
        ledger = make_ledger(quotas=quota, prices=PRICES, clock=Clock())
        answer(ledger, NOTHING)
        answer(ledger, NOTHING)
        with pytest.raises(QuotaExceededError):
            answer(ledger, NOTHING)

    def test_calls_in_flight_count_by_the_mean_of_estimates(self, make_ledger: MakeLedger) -> None:
        ledger = make_ledger(quotas="tokens=9999/day; cost=99/day", prices=PRICES, clock=Clock())
        answer(ledger, NOTHING)
        ledger.begin(new_call())
        assert used(ledger) == [2 * GUESSED, 2 * GUESSED_COST]

    def test_a_declared_reserve_counts_instead_of_a_guess(self, make_ledger: MakeLedger) -> None:
        ledger = make_ledger(quotas="tokens=999/day reserve=70; cost=9/day reserve=2", prices=PRICES, clock=Clock())
        row = answer(ledger, NOTHING)
        assert (row["estimated_tokens"], row["estimated_cost"]) == (70, 2)
        assert used(ledger) == [70, 2]

    def test_a_reserve_of_nothing_is_for_a_flow_without_a_model(self, make_ledger: MakeLedger) -> None:
        ledger = make_ledger(quotas="flow:flow-1 tokens=9/day reserve=0; tokens=999/day", clock=Clock())
        assert answer(ledger)["estimated_tokens"] == 0
        assert used(ledger) == [0, 0]

    def test_a_cost_without_a_price_counts_by_the_mean_of_the_flow(self, make_ledger: MakeLedger) -> None:
        ledger = make_ledger(quotas="cost=9/day", prices=PRICES, clock=Clock())
        answer(ledger, Usage(model="tiny", input_tokens=100, output_tokens=100))
        row = answer(ledger, Usage(model="nobody-knows", input_tokens=7, output_tokens=7))
        assert (row["total_tokens"], row["cost"], row["estimated_cost"]) == (14, None, Decimal("0.3"))
        assert used(ledger) == [Decimal("0.6")]

    def test_a_cost_that_nothing_is_known_about_is_told_once_for_each_model(
        self, make_ledger: MakeLedger, caplog: pytest.LogCaptureFixture
    ) -> None:
        ledger = make_ledger(quotas="cost=9/day", clock=Clock())
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                row = answer(ledger, Usage(model="nobody-knows", input_tokens=7, output_tokens=7), flow_name="report")
                answer(ledger, flow_name="report")
        assert (row["cost"], row["estimated_cost"]) == (None, None)
        first, second = caplog.messages
        assert first == (
            "Limits on cost do not count the calls of flow report: the price of nobody-knows is not known, and the "
            "flow has no call whose cost is known. Set DAGMA_PRICES for its model, or give the limit a reserve=USD."
        )
        assert "its model is not known" in second

    def test_nobody_is_warned_where_no_limit_is_on_cost(
        self, make_ledger: MakeLedger, caplog: pytest.LogCaptureFixture
    ) -> None:
        answer(make_ledger(quotas="tokens=9999/day; flow:another cost=1/day"))
        assert caplog.messages == []

    def test_what_is_reported_is_never_estimated(self, make_ledger: MakeLedger) -> None:
        ledger = make_ledger(quotas="tokens=999/day reserve=70", prices=PRICES, clock=Clock())
        row = answer(ledger, Usage(model="tiny", input_tokens=1, output_tokens=1))
        assert (row["total_tokens"], row["estimated_tokens"], row["estimated_cost"]) == (2, None, None)
        assert used(ledger) == [2]

    def test_a_total_without_its_parts_is_priced_by_the_length_of_the_answer(self, make_ledger: MakeLedger) -> None:
        ledger = make_ledger(prices=PRICES)
        row = answer(ledger, Usage(model="tiny", total_tokens=800))
        assert (row["total_tokens"], row["estimated_tokens"]) == (800, None)
        assert (row["cost"], row["estimated_cost"]) == (None, Decimal("0.3") + Decimal(1))

    def test_of_several_models_only_the_silent_one_is_guessed(self, make_ledger: MakeLedger) -> None:
        row = answer(make_ledger(), Usage(model="a", input_tokens=4000, output_tokens=1000), NOTHING)
        assert (row["model"], row["total_tokens"], row["estimated_tokens"]) == ("a, tiny", None, 5000 + GUESSED)

    def test_an_empty_answer_may_have_cost_nothing(self, make_ledger: MakeLedger) -> None:
        row = answer(make_ledger(), NOTHING, text="")
        assert (row["total_tokens"], row["estimated_tokens"]) == (0, None)

    def test_an_answer_that_is_no_text_counts_as_long_as_its_caller_says(self, make_ledger: MakeLedger) -> None:
        ledger = make_ledger()
        begun = ledger.begin(new_call(input_text=""))
        ledger.finish(begun, raw={"table": "x" * 9999}, usages=[NOTHING], answer_characters=40)
        (row,) = last_calls(ledger.database, 1)
        assert (row["estimated_tokens"], row["answer_text"]) == (10, None)

    @pytest.mark.parametrize("end", ["fail", "unknown", "cancelled"])
    def test_a_call_without_an_answer_is_not_guessed(self, make_ledger: MakeLedger, end: str) -> None:
        ledger = make_ledger(quotas="tokens=999/day", clock=Clock())
        begun = ledger.begin(new_call())
        getattr(ledger, end)(begun, *(() if end == "cancelled" else ("ServerError", "HTTP 500")))
        (row,) = last_calls(ledger.database, 1)
        assert (row["estimated_tokens"], row["estimated_cost"], used(ledger)) == (None, None, [0])

    def test_a_job_that_another_caller_finds_again_counts_the_same(self, make_ledger: MakeLedger) -> None:
        call = new_call(mode="job", input_text=INPUT, run_id="run-1")
        ledger = make_ledger(texts="none")
        ledger.submitted(ledger.begin(call), "job-1")
        found = make_ledger().begin(call)
        ledger.finish(found, raw={}, answer=ANSWER, usages=[NOTHING])
        (row,) = last_calls(ledger.database, 1)
        assert (row["estimated_tokens"], row["input_characters"]) == (GUESSED, len(INPUT))

    def test_reports_keep_estimates_apart_from_what_was_reported(self, make_ledger: MakeLedger) -> None:
        ledger = make_ledger(prices=PRICES, clock=Clock())
        answer(ledger, Usage(model="tiny", input_tokens=1000, output_tokens=0))
        answer(ledger, NOTHING)
        ledger.begin(new_call())
        (line,) = sums(ledger.database, "flow", Clock().now)
        assert line == {
            "name": "flow-1",
            "calls": 3,
            "tokens": 1000,
            "cost": 1,
            "unmetered_calls": 2,
            "unpriced_calls": 2,
            "estimated_calls": 1,
            "estimated_tokens": GUESSED,
            "estimated_cost": GUESSED_COST,
        }
