"""Many threads at a time: what they begin and finish together is what each would have begun and finished alone."""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from dagma.ledger import Call, Ledger, OutcomeUnknownError, Usage
from dagma.ledger.grouped_ledger import GroupedLedger
from dagma.ledger.reports import Filter, all_calls
from dagma.ledger.totals import totals
from ledger_suites.concurrency import Concurrency, at_once
from ledger_suites.crashes import DONE, KILLED, count_down
from ledger_suites.exactly_once import ExactlyOnce
from ledger_suites.refusals import Refusals
from ledger_suites.tools import NOON, Clock, MakeLedger, in_child, new_call


class Grouped:
    @pytest.fixture
    def make_ledger(self, make_ledger: MakeLedger) -> MakeLedger:
        """Open ledgers whose threads share transactions."""
        return lambda **settings: GroupedLedger(make_ledger(**settings))


class GroupedConcurrency(Grouped, Concurrency):
    pass


class GroupedExactlyOnce(Grouped, ExactlyOnce):
    pass


class GroupedRefusals(Grouped, Refusals):
    pass


class ManyAtATime(Grouped):
    def test_each_thread_gets_the_answer_of_its_own_call(self, make_ledger: MakeLedger) -> None:
        ledger, calls = make_ledger(prices="tiny=1/2"), [new_call(flow_id=f"flow-{number % 3}") for number in range(60)]

        def ask(number: int) -> Any:
            with ledger.attempt(calls[number]) as begun:
                usage = Usage(model="tiny", input_tokens=number, output_tokens=1) if number else Usage()
                ledger.finish(begun, raw={"text": f"{number} \x00\ud83d"}, answer=f"{number} \x00", usages=[usage])
            return begun.state, begun.attempt

        assert at_once(60, ask) == [("new", 1)] * 60
        rows = {row["key"]: row for row in all_calls(ledger.database, Filter())}
        another = make_ledger()
        for number, call in enumerate(calls):
            assert another.begin(call).raw == {"text": f"{number} \x00\ud83d"}
            row = rows[call.key]
            assert (row["flow_id"], row["state"], row["total_tokens"]) == (
                call.flow_id,
                "answered",
                number + 1 if number else None,
            )
            assert row["finished_at"] >= row["begun_at"]
            assert row["duration_ms"] >= 0

    def test_totals_count_what_was_finished_together(self, make_ledger: MakeLedger) -> None:
        ledger = make_ledger(clock=Clock())
        begun = at_once(30, lambda number: ledger.begin(new_call(flow_id=f"flow-{number % 2}")))
        at_once(30, lambda number: ledger.finish(begun[number], raw="", usages=[Usage(total_tokens=7)]))
        assert [(line.flow, line.calls, line.tokens) for line in totals(ledger.database, NOON)][:3] == [
            ("flow-0", 15, 105),
            ("flow-1", 15, 105),
            (None, 30, 210),
        ]

    def test_a_call_that_cant_be_finished_leaves_the_others_alone(self, make_ledger: MakeLedger) -> None:
        ledger = make_ledger()
        begun = at_once(8, lambda _: ledger.begin(new_call()))
        make_ledger().fail(begun[0], "FlowFailed", "It is over already.")
        at_once(8, lambda number: ledger.finish(begun[number], raw="Paris"))
        states = [row["state"] for row in all_calls(ledger.database, Filter())]
        assert sorted(states) == ["answered"] * 7 + ["failed"]

    def test_threads_killed_at_any_statement_lose_nothing_and_pay_once(self, make_ledger: MakeLedger) -> None:
        found, retrying = set[str](), make_ledger()
        for statements in range(1, 80):
            calls = [new_call() for _ in range(3)]
            reading, writing = os.pipe()
            code = in_child(lambda at=statements, of=calls, to=writing: live_and_die(make_ledger(), of, at, to))  # type: ignore[misc]
            os.close(writing)
            sent = os.read(reading, 3)
            os.close(reading)
            if code == DONE:
                break
            assert code == KILLED
            found |= {what_a_retry_finds(retrying, call, bytes([n]) in sent) for n, call in enumerate(calls)}
        else:
            pytest.fail("the calls never came to their end")
        assert found >= {"new", "unknown"}


def live_and_die(ledger: Ledger, calls: list[Call], statements: int, sent: int) -> int:
    """Make calls in threads, telling through a pipe which were sent, unless death comes first."""
    count_down(ledger, statements)

    def make(number: int) -> None:
        begun = ledger.begin(calls[number])
        os.write(sent, bytes([number]))
        ledger.finish(begun, raw={"text": "Paris"}, usages=[Usage(total_tokens=5)])

    with ThreadPoolExecutor(len(calls)) as pool:
        list(pool.map(make, range(len(calls))))
    return DONE


def what_a_retry_finds(ledger: Ledger, call: Call, was_sent: bool) -> str:
    try:
        begun = ledger.begin(call)
    except OutcomeUnknownError:
        return "unknown"
    assert begun.attempt == 1
    if begun.state == "answered":
        assert (was_sent, begun.raw) == (True, {"text": "Paris"})
    else:
        assert not was_sent
        ledger.cancelled(begun)
    return begun.state
