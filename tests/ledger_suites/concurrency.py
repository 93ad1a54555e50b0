"""Callers at the same time: one sends, the others wait or are refused; limits hold."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest

from dagma.ledger import (
    Begun,
    Call,
    CallInFlightError,
    Ledger,
    LedgerError,
    OutcomeUnknownError,
    QuotaExceededError,
    Usage,
)
from dagma.ledger.quotas import parse_quotas
from dagma.ledger.reports import standings
from ledger_suites.tools import NOON, Clock, MakeLedger, new_call, start_child, wait_for


def at_once(count: int, work: Any) -> list[Any]:
    """Do work in threads that start together; give results, or the ledger's errors."""
    barrier = threading.Barrier(count)

    def run(number: int) -> Any:
        barrier.wait()
        try:
            return work(number)
        except LedgerError as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


class TestConcurrency:
    def test_of_many_callers_of_one_key_one_sends(self, make_ledger: MakeLedger) -> None:
        ledgers, call = [make_ledger(), make_ledger()], new_call()
        results = at_once(8, lambda number: ledgers[number % 2].begin(call))
        assert sum(isinstance(result, CallInFlightError) for result in results) == 7
        assert [result.state for result in results if not isinstance(result, LedgerError)] == ["new"]

    def test_the_others_wait_for_its_answer(self, make_ledger: MakeLedger) -> None:
        ledger, call = make_ledger(), new_call()

        def ask(_: int) -> tuple[str, Any]:
            with ledger.attempt(call, wait_seconds=20) as begun:
                if begun.state == "new":
                    ledger.finish(begun, raw="Paris")
                return begun.state, begun.raw

        results = at_once(6, ask)
        assert sorted(results, key=str) == [("answered", "Paris")] * 5 + [("new", None)]

    def test_of_many_retries_of_an_unknown_call_one_sends(self, make_ledger: MakeLedger) -> None:
        ledger, call = make_ledger(), new_call()
        first = ledger.begin(call)
        ledger.release(first)

        def resend(_: int) -> Begun:
            with suppress(OutcomeUnknownError):
                return ledger.begin(call)
            ledger.resend(first, "decided by a test")
            return ledger.begin(call)

        results = at_once(6, resend)
        sent = [result for result in results if not isinstance(result, LedgerError)]
        assert [(begun.state, begun.attempt) for begun in sent] == [("new", 2)]

    def test_concurrent_callers_of_a_job_share_one_idempotency_key(self, make_ledger: MakeLedger) -> None:
        ledger, call = make_ledger(), new_call(mode="job")
        results = at_once(6, lambda _: ledger.begin(call))
        assert {begun.idempotency_key for begun in results} == {f"{call.key}-1"}
        assert sorted(begun.state for begun in results) == ["new"] + ["running"] * 5

    @pytest.mark.parametrize(
        "quota", ["calls=10/day", "flow:flow-1 calls=10/hour", "flow:* calls=10/month", "tokens=1000/day reserve=100"]
    )
    def test_threads_can_not_pass_a_limit_together(self, make_ledger: MakeLedger, quota: str) -> None:
        ledgers = [make_ledger(quotas=quota, clock=Clock()) for _ in range(2)]
        results = at_once(16, lambda number: ledgers[number % 2].begin(new_call()))
        assert sum(isinstance(result, QuotaExceededError) for result in results) == 6

    def test_flows_of_one_name_can_not_pass_its_limit_together(self, make_ledger: MakeLedger) -> None:
        ledger = make_ledger(quotas="flow:assistant calls=10/day; flow:* calls=9/day", clock=Clock())

        def begin(number: int) -> Any:
            return ledger.begin(new_call(flow_id=f"flow-{number % 4}", flow_name="assistant"))

        assert sum(isinstance(result, QuotaExceededError) for result in at_once(16, begin)) == 6

    def test_flows_share_an_overall_limit(self, make_ledger: MakeLedger) -> None:
        ledger = make_ledger(quotas="calls=10/day; flow:* calls=9/day", clock=Clock())
        results = at_once(16, lambda number: ledger.begin(new_call(flow_id=f"flow-{number % 4}")))
        assert sum(isinstance(result, QuotaExceededError) for result in results) == 6

    def test_processes_can_not_pass_a_limit_together(self, make_ledger: MakeLedger) -> None:
        start, tell_start = os.pipe()

        def work() -> int:
            os.close(tell_start)
            ledger = make_ledger(quotas="calls=11/day", clock=Clock())
            os.read(start, 1)  # returns in all of them when the test closes its end
            return sum(is_let_in(ledger, new_call(mode="job")) for _ in range(6))

        children = [start_child(work) for _ in range(4)]
        os.close(tell_start)
        assert sum(wait_for(child) for child in children) == 11

    def test_what_is_in_flight_counts_by_the_mean_of_its_flow(self, make_ledger: MakeLedger) -> None:
        ledger = make_ledger(quotas="tokens=1000/day", clock=Clock())
        ledger.finish(ledger.begin(new_call()), raw="", usages=[Usage(total_tokens=200)])
        results = at_once(12, lambda _: ledger.begin(new_call()))
        assert sum(not isinstance(result, LedgerError) for result in results) == 4
        (standing,) = standings(ledger.database, parse_quotas("tokens=1000/day"), NOON)
        assert standing["used"] == Decimal(1000)


def is_let_in(ledger: Ledger, call: Call) -> bool:
    try:
        ledger.begin(call)
    except QuotaExceededError:
        return False
    return True
