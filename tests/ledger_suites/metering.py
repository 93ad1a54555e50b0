"""Limits: what counts, when a call is refused, and when the limit frees."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from dagma.ledger import FlowNotIdentifiedError, Ledger, QuotaExceededError, Usage
from dagma.ledger.quotas import parse_quotas
from dagma.ledger.reports import last_calls, standings
from dagma.ledger.totals import sums
from ledger_suites.tools import NOON, Clock, MakeLedger, new_call, watch_statements

FLOW_ID = "5c0ffee0-2222-4000-8000-000000000001"


def spend(ledger: Ledger, tokens: int | None, model: str | None = None, **changes: Any) -> None:
    usages = [Usage(model=model, input_tokens=tokens, output_tokens=0)] if tokens is not None else []
    ledger.finish(ledger.begin(new_call(**changes)), raw="", usages=usages)


class TestMetering:
    def test_a_refused_call_is_told_which_limit_how_much_and_when_it_frees(self, make_ledger: MakeLedger) -> None:
        ledger = make_ledger(quotas="calls=2/hour", clock=Clock(datetime(2026, 3, 10, 12, 20, tzinfo=UTC)))
        spend(ledger, 1)
        spend(ledger, 1)
        with pytest.raises(QuotaExceededError) as caught:
            ledger.begin(new_call())
        error = caught.value
        assert (error.limit, error.used, error.needed) == ("calls=2/hour", 2, 1)
        assert error.frees_at == datetime(2026, 3, 10, 13, tzinfo=UTC)
        assert str(error) == (
            "Quota 'calls=2/hour' leaves no room: 2 used, 1 needed for this call. "
            "It frees at 2026-03-10 13:00 UTC. Nothing was sent. Wait, or raise it in DAGMA_QUOTAS."
        )
        states = [row["state"] for row in last_calls(ledger.database, 10)]
        assert sorted(states) == ["answered", "answered", "refused"]

    def test_of_several_spent_limits_the_one_that_frees_last_is_told(self, make_ledger: MakeLedger) -> None:
        quota = "calls=1/hour; calls=1/month; calls=1/day; calls=9/month"
        ledger = make_ledger(quotas=quota, clock=Clock(datetime(2026, 3, 10, 12, tzinfo=UTC)))
        spend(ledger, 1)
        with pytest.raises(QuotaExceededError) as caught:
            ledger.begin(new_call())
        assert (caught.value.limit, caught.value.frees_at) == ("calls=1/month", datetime(2026, 4, 1, tzinfo=UTC))

    def test_a_limit_of_nothing_lets_no_call_in(self, make_ledger: MakeLedger) -> None:
        for quota in ("calls=0/day", "tokens=0/day"):
            with pytest.raises(QuotaExceededError, match="leaves no room: 0 used"):
                make_ledger(quotas=quota).begin(new_call())

    @pytest.mark.parametrize(
        ("window", "before", "after"),
        [
            ("hour", datetime(2026, 3, 10, 12, 59, 59, tzinfo=UTC), datetime(2026, 3, 10, 13, tzinfo=UTC)),
            ("day", datetime(2026, 3, 10, 23, 59, 59, tzinfo=UTC), datetime(2026, 3, 11, tzinfo=UTC)),
            ("month", datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
        ],
    )
    def test_a_limit_frees_at_the_end_of_its_window(
        self, make_ledger: MakeLedger, window: str, before: datetime, after: datetime
    ) -> None:
        clock = Clock(before)
        ledger = make_ledger(quotas=f"calls=1/{window}", clock=clock)
        spend(ledger, 1)
        with pytest.raises(QuotaExceededError) as caught:
            ledger.begin(new_call())
        assert caught.value.frees_at == after
        clock.now = after
        assert ledger.begin(new_call()).state == "new"

    def test_a_limit_of_a_flow_leaves_others_alone(self, make_ledger: MakeLedger) -> None:
        ledger = make_ledger(quotas="flow:assistant calls=1/day", clock=Clock())
        spend(ledger, 1, flow_name="assistant")
        with pytest.raises(QuotaExceededError):
            ledger.begin(new_call(flow_name="assistant"))
        assert ledger.begin(new_call(flow_id="flow-2", flow_name="other")).state == "new"

    def test_a_limit_of_a_principal_leaves_others_alone(self, make_ledger: MakeLedger) -> None:
        ledger = make_ledger(quotas="principal:anna@example.com calls=2/day; principal:anna@example.com tokens=100/day")
        spend(ledger, 1, principal="anna@example.com")
        spend(ledger, 1, principal="anna@example.com", flow_id="flow-2")
        for other in ("bert@example.com", "anna", None):
            spend(ledger, 1, principal=other)
        with pytest.raises(QuotaExceededError) as caught:
            ledger.begin(new_call(principal="anna@example.com", flow_id="flow-3"))
        assert (caught.value.limit, caught.value.used) == ("principal:anna@example.com calls=2/day", 2)

    def test_each_principal_stands_by_itself(self, make_ledger: MakeLedger) -> None:
        quotas = "principal:* calls=2/day; flow:* principal:* tokens=10/day; flow:flow-1 principal:bert calls=1/day"
        ledger = make_ledger(quotas=quotas, clock=Clock())
        spend(ledger, 10, principal="anna")
        with pytest.raises(QuotaExceededError, match="'flow:\\* principal:\\* tokens=10/day' leaves no room: 10 used"):
            ledger.begin(new_call(principal="anna"))
        spend(ledger, 1, principal="bert")
        with pytest.raises(QuotaExceededError, match="'flow:flow-1 principal:bert calls=1/day' leaves no room: 1 used"):
            ledger.begin(new_call(principal="bert"))
        spend(ledger, 1, principal="anna", flow_id="flow-2")
        with pytest.raises(QuotaExceededError, match="'principal:\\* calls=2/day' leaves no room: 2 used"):
            ledger.begin(new_call(principal="anna", flow_id="flow-2"))
        lines = standings(ledger.database, parse_quotas(quotas), Clock().now)
        assert [(line["flow"], line["principal"], line["used"]) for line in lines] == [
            ("all", "anna", 2),
            ("all", "bert", 1),
            ("flow-1", "anna", 10),
            ("flow-1", "bert", 1),
            ("flow-2", "anna", 1),
            ("flow-1", "bert", 1),
        ]

    def test_a_principal_longer_than_the_ledger_keeps_is_limited_all_the_same(self, make_ledger: MakeLedger) -> None:
        ledger = make_ledger(quotas="principal:* calls=1/day")
        spend(ledger, 1, principal="a" * 300)
        with pytest.raises(QuotaExceededError):
            ledger.begin(new_call(principal="a" * 300))

    def test_a_flow_that_nobody_knows_is_no_matter_of_a_limit_on_somebody_else(self, make_ledger: MakeLedger) -> None:
        ledger = make_ledger(quotas="flow:assistant principal:anna calls=1/day")
        ledger.begin(new_call(flow_id=FLOW_ID, flow_looked_up=False, principal="bert"))
        with pytest.raises(FlowNotIdentifiedError):
            ledger.begin(new_call(flow_id=FLOW_ID.replace("1", "2"), flow_looked_up=False, principal="anna"))

    def test_flows_of_one_name_share_the_limit_of_that_name(self, make_ledger: MakeLedger) -> None:
        quota = "flow:assistant calls=2/day"
        ledger = make_ledger(quotas=quota, clock=Clock())
        for flow_id in ("flow-1", "flow-2"):
            ledger.begin(new_call(flow_id=flow_id, flow_name="assistant"))
        for flow_id in ("flow-1", "flow-2", "flow-3"):
            with pytest.raises(QuotaExceededError):
                ledger.begin(new_call(flow_id=flow_id, flow_name="assistant"))
        (standing,) = standings(ledger.database, parse_quotas(quota), Clock().now)
        assert (standing["used"], standing["left"]) == (2, 0)

    @pytest.mark.parametrize("looked_up", [True, False])
    def test_an_id_is_the_same_however_it_is_written(self, make_ledger: MakeLedger, *, looked_up: bool) -> None:
        ledger = make_ledger(quotas=f"flow:{FLOW_ID.upper()} calls=1/day", clock=Clock())
        spend(ledger, 1, flow_id=FLOW_ID)
        asked = new_call(flow_id=FLOW_ID if looked_up else FLOW_ID.upper(), flow_looked_up=looked_up)
        with pytest.raises(QuotaExceededError):
            ledger.begin(asked)

    @pytest.mark.parametrize("address", [FLOW_ID, "assistant"])
    def test_a_flow_that_can_not_be_looked_up_is_the_one_that_the_ledger_knows(
        self, make_ledger: MakeLedger, address: str
    ) -> None:
        ledger = make_ledger(quotas="flow:assistant calls=2/day", clock=Clock())
        spend(ledger, 1, flow_id=FLOW_ID, flow_name="assistant", flow_version="1")
        unseen = new_call(flow_id=address, flow_address=address, flow_looked_up=False)
        assert ledger.begin(unseen).key == unseen.key
        last = last_calls(ledger.database, 10)[-1]
        assert (last["flow_id"], last["flow_name"]) == (FLOW_ID, "assistant")
        with pytest.raises(QuotaExceededError):
            ledger.begin(new_call(flow_id=address, flow_looked_up=False))

    def test_a_flow_that_can_not_be_looked_up_is_looked_for_in_no_other_call(self, make_ledger: MakeLedger) -> None:
        ledger = make_ledger()
        ledger.begin(new_call())
        asked: list[str] = []
        watch_statements(ledger, asked.append)
        ledger.begin(new_call(flow_id=FLOW_ID, flow_looked_up=False))
        assert any("usage_hours" in statement for statement in asked)
        assert not [statement for statement in asked if "FROM calls" in statement]

    @pytest.mark.parametrize(("address", "limited"), [(FLOW_ID, "assistant"), ("assistant", FLOW_ID)])
    def test_a_flow_that_nobody_knows_is_refused_where_a_limit_may_be_for_it(
        self, make_ledger: MakeLedger, address: str, limited: str
    ) -> None:
        ledger = make_ledger(quotas=f"flow:{limited} calls=2/day", clock=Clock())
        with pytest.raises(FlowNotIdentifiedError, match=f"flow:{limited} calls=2/day.*{address}"):
            ledger.begin(new_call(flow_id=address, flow_looked_up=False))
        (row,) = last_calls(ledger.database, 10)
        assert (row["state"], row["error_class"], row["flow_id"]) == ("refused", "FlowNotIdentifiedError", address)

    def test_an_answer_is_replayed_although_nobody_knows_the_flow(self, make_ledger: MakeLedger) -> None:
        call = new_call(flow_id=FLOW_ID, flow_looked_up=False)
        ledger = make_ledger()
        ledger.finish(ledger.begin(call), raw="Paris")
        assert make_ledger(quotas="flow:assistant calls=1/day").begin(call).raw == "Paris"

    @pytest.mark.parametrize("quota", ["flow:assistant calls=2/day", "flow:* calls=2/day"])
    def test_what_a_flow_used_under_its_name_counts_when_its_id_is_known(
        self, make_ledger: MakeLedger, quota: str
    ) -> None:
        ledger = make_ledger(quotas=f"{quota}; flow:report calls=9/day", clock=Clock())
        for _ in range(2):
            ledger.begin(new_call(flow_id="assistant", flow_looked_up=False))
        with pytest.raises(QuotaExceededError):
            ledger.begin(new_call(flow_id="assistant", flow_looked_up=False))
        with pytest.raises(QuotaExceededError):
            ledger.begin(new_call(flow_id=FLOW_ID, flow_name="assistant", flow_version="1"))

    def test_a_replayed_answer_counts_for_nothing(self, make_ledger: MakeLedger) -> None:
        ledger, call = make_ledger(quotas="calls=1/day", clock=Clock()), new_call()
        ledger.finish(ledger.begin(call), raw="Paris")
        assert ledger.begin(call).raw == "Paris"

    def test_a_job_that_is_found_again_counts_once(self, make_ledger: MakeLedger) -> None:
        ledger, call = make_ledger(quotas="calls=1/day", clock=Clock()), new_call(mode="job")
        ledger.begin(call)
        assert ledger.begin(call).state == "running"

    def test_a_refused_call_is_let_in_when_there_is_room(self, make_ledger: MakeLedger) -> None:
        clock = Clock()
        ledger, call = make_ledger(quotas="calls=1/hour", clock=clock), new_call()
        spend(ledger, 1)
        with pytest.raises(QuotaExceededError):
            ledger.begin(call)
        clock.advance(hours=1)
        begun = ledger.begin(call)
        assert (begun.state, begun.attempt) == ("new", 1)

    def test_tokens_that_were_used_count_and_reservations_go(self, make_ledger: MakeLedger) -> None:
        quota = "tokens=1000/day reserve=400"
        ledger = make_ledger(quotas=quota, clock=Clock())
        first, second = ledger.begin(new_call()), ledger.begin(new_call())
        with pytest.raises(QuotaExceededError) as caught:
            ledger.begin(new_call())
        assert (caught.value.used, caught.value.needed) == (800, 400)
        ledger.finish(first, raw="", usages=[Usage(total_tokens=90)])
        ledger.fail(second, "ServerError", "HTTP 500")
        (standing,) = standings(ledger.database, parse_quotas(quota), Clock().now)
        assert (standing["used"], standing["left"]) == (90, 910)

    def test_cost_counts_where_the_price_is_known(self, make_ledger: MakeLedger) -> None:
        ledger = make_ledger(quotas="cost=1/month", prices="dear=1000/1000", clock=Clock())
        spend(ledger, 400, model="dear")
        assert ledger.begin(new_call()).state == "new"  # 0.40 used, and the mean of 0.40 in flight
        with pytest.raises(QuotaExceededError) as caught:
            ledger.begin(new_call())
        assert (caught.value.used, caught.value.needed) == (Decimal("0.8"), Decimal("0.4"))

    @pytest.mark.parametrize("amount", [-1, 10**30, 10**12 + 1, True, "12", 1.5, float("nan")])
    def test_what_can_be_no_number_of_tokens_counts_as_not_reported(self, make_ledger: MakeLedger, amount: Any) -> None:
        quota = "tokens=1000/day reserve=300"
        ledger, call = make_ledger(quotas=quota, prices="tiny=1/1", clock=Clock()), new_call()
        usage = Usage(model="tiny", input_tokens=amount, output_tokens=amount, total_tokens=amount)
        ledger.finish(ledger.begin(call), raw="Paris", usages=[usage], duration_seconds=float("inf"))
        (row,) = last_calls(ledger.database, 1)
        assert (row["state"], row["model"], row["input_tokens"], row["total_tokens"], row["cost"]) == (
            "answered",
            "tiny",
            None,
            None,
            None,
        )
        (standing,) = standings(ledger.database, parse_quotas(quota), Clock().now)
        assert standing["used"] == 300
        assert ledger.begin(call).raw == "Paris"

    def test_a_cost_that_no_call_can_have_is_none(self, make_ledger: MakeLedger) -> None:
        ledger = make_ledger(prices="dear=1000000/1000000")
        spend(ledger, 10**12, model="dear")
        (row,) = last_calls(ledger.database, 1)
        assert (row["total_tokens"], row["cost"]) == (10**12, None)

    def test_a_cost_is_told_as_exactly_as_it_is_kept(self, make_ledger: MakeLedger) -> None:
        ledger = make_ledger(quotas="cost=0.0101/day", prices="own=1/1")
        for tokens in (1000, 1000, 5000):
            spend(ledger, tokens, "own")
        ledger.begin(new_call(mode="job"))
        with pytest.raises(QuotaExceededError, match=r"0\.009333333 used, 0\.002333333 needed for this call"):
            ledger.begin(new_call())

    def test_a_spent_limit_refuses_even_where_no_mean_is_known(self, make_ledger: MakeLedger) -> None:
        ledger = make_ledger(quotas="tokens=100/day", clock=Clock())
        spend(ledger, 100)
        with pytest.raises(QuotaExceededError):
            ledger.begin(new_call(flow_id="never-called"))

    def test_an_unknown_outcome_keeps_its_reservation(self, make_ledger: MakeLedger) -> None:
        quota = "tokens=1000/day reserve=300"
        ledger = make_ledger(quotas=quota, clock=Clock())
        ledger.unknown(ledger.begin(new_call()), "ReadTimeout", "")
        (standing,) = standings(ledger.database, parse_quotas(quota), Clock().now)
        assert standing["used"] == 300

    def test_a_call_counts_in_the_window_in_which_it_began(self, make_ledger: MakeLedger) -> None:
        clock = Clock(datetime(2026, 3, 10, 12, 59, 59, tzinfo=UTC))
        ledger = make_ledger(clock=clock)
        begun = ledger.begin(new_call())
        clock.advance(seconds=2)
        ledger.finish(begun, raw="", usages=[Usage(total_tokens=50)])
        limits = parse_quotas("tokens=100/hour; tokens=100/day")
        assert [standing["used"] for standing in standings(ledger.database, limits, clock.now)] == [0, 50]

    def test_totals_never_take_an_unknown_cost_for_nothing(self, make_ledger: MakeLedger) -> None:
        ledger = make_ledger(prices="tiny=1/1", clock=Clock())
        spend(ledger, 1000, model="nobody-knows", flow_name="assistant")
        (line,) = sums(ledger.database, "flow", Clock().now)
        assert (line["name"], line["calls"], line["tokens"]) == ("assistant", 1, 1000)
        assert (line["cost"], line["unpriced_calls"]) == (None, 1)
        spend(ledger, 1000, model="tiny")
        spend(ledger, None)
        (line,) = sums(ledger.database, None, Clock().now)
        assert (line["calls"], line["cost"]) == (3, Decimal("0.001"))
        assert (line["unmetered_calls"], line["unpriced_calls"]) == (1, 2)

    def test_a_flow_is_shown_under_its_endpoint_name_else_its_name(self, make_ledger: MakeLedger) -> None:
        ledger = make_ledger(quotas="flow:* calls=9/day", clock=Clock())
        spend(ledger, 1, flow_id="a", flow_title="Report")
        spend(ledger, 1, flow_id="b", flow_name="assistant", flow_title="Assistant")
        spend(ledger, 1, flow_id="c")
        assert [line["name"] for line in sums(ledger.database, "flow", NOON)] == ["Report", "assistant", "c"]
        lines = standings(ledger.database, ledger.limits, Clock().now)
        assert [line["flow"] for line in lines] == ["Report", "assistant", "c"]

    def test_each_flow_stands_by_itself(self, make_ledger: MakeLedger) -> None:
        ledger = make_ledger(clock=Clock())
        spend(ledger, 1, flow_name="assistant")
        spend(ledger, 1, flow_id="flow-2")
        lines = standings(ledger.database, parse_quotas("flow:* calls=3/day; flow:assistant calls=1/day"), Clock().now)
        assert [(line["flow"], line["used"], line["left"]) for line in lines] == [
            ("assistant", 1, 2),
            ("flow-2", 1, 2),
            ("assistant", 1, 0),
        ]
