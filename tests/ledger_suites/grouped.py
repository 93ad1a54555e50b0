"""Many calls at a time: what is begun ahead and ended later is what each call would have begun and ended alone."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from dagma.ledger import Begun, Call, CallInFlightError, Ledger, OutcomeUnknownError, Usage
from dagma.ledger.grouped_ledger import GroupedLedger
from dagma.ledger.reports import all_calls
from dagma.ledger.totals import sums
from ledger_suites.concurrency import TestConcurrency, at_once
from ledger_suites.crashes import DONE, KILLED, count_down
from ledger_suites.exactly_once import TestExactlyOnce
from ledger_suites.refusals import TestRefusals
from ledger_suites.tools import NOON, Clock, MakeLedger, in_child, new_call

MakeGrouped = Callable[..., GroupedLedger]


@contextmanager
def writing_later(ledger: GroupedLedger) -> Iterator[None]:
    """Keep what writes ends busy until the end of the block."""
    ledger._writing = busy = Future[None]()
    try:
        yield
    finally:
        busy.set_result(None)


class AtOnce(GroupedLedger):
    """Begins each call ahead, and waits for its end to be written: the ways of a group for callers that come alone."""

    def begin(self, call: Call, *, wait_seconds: float = 0.0) -> Begun:
        self.begin_ahead([call])
        return super().begin(call, wait_seconds=wait_seconds)

    def finish(self, begun: Begun, **answer: Any) -> None:
        super().finish(begun, **answer)
        self.flush()


class Grouped:
    @pytest.fixture
    def make_ledger(self, make_ledger: MakeLedger) -> MakeLedger:
        """Open ledgers that begin and end calls in groups."""
        return lambda **settings: AtOnce(make_ledger(**settings))


class TestGroupedConcurrency(Grouped, TestConcurrency):
    pass


class TestGroupedExactlyOnce(Grouped, TestExactlyOnce):
    pass


class TestGroupedRefusals(Grouped, TestRefusals):
    pass


class TestManyAtATime:
    @pytest.fixture
    def make_grouped(self, make_ledger: MakeLedger) -> MakeGrouped:
        return lambda **settings: GroupedLedger(make_ledger(**settings))

    def test_each_thread_gets_the_answer_of_its_own_call(
        self, make_ledger: MakeLedger, make_grouped: MakeGrouped
    ) -> None:
        ledger, calls = (
            make_grouped(prices="tiny=1/2"),
            [new_call(flow_id=f"flow-{number % 3}") for number in range(60)],
        )

        def ask(number: int) -> Any:
            with ledger.attempt(calls[number]) as begun:
                usage = Usage(model="tiny", input_tokens=number, output_tokens=1) if number else Usage()
                ledger.finish(begun, raw={"text": f"{number} \x00\ud83d"}, answer=f"{number} \x00", usages=[usage])
            return begun.state, begun.attempt

        ledger.begin_ahead(calls[:40])
        assert at_once(60, ask) == [("new", 1)] * 60
        ledger.flush()
        rows = {row["key"]: row for row in all_calls(ledger.database)}
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

    def test_totals_count_what_was_begun_and_ended_in_groups(self, make_grouped: MakeGrouped) -> None:
        ledger, calls = make_grouped(clock=Clock()), [new_call(flow_id=f"flow-{number % 2}") for number in range(30)]
        ledger.begin_ahead(calls)
        for call in calls:
            ledger.finish(ledger.begin(call), raw="", usages=[Usage(total_tokens=7)])
        ledger.flush()
        assert [(line["name"], line["calls"], line["tokens"]) for line in sums(ledger.database, "flow", NOON)] == [
            ("flow-0", 15, 105),
            ("flow-1", 15, 105),
        ]

    def test_a_call_that_cant_be_finished_leaves_the_others_alone(
        self, make_ledger: MakeLedger, make_grouped: MakeGrouped
    ) -> None:
        ledger = make_grouped()
        begun = [ledger.begin(new_call()) for _ in range(8)]
        make_ledger().fail(begun[0], "FlowFailed", "It is over already.")
        with writing_later(ledger):
            for each in begun:
                ledger.finish(each, raw="Paris")
        ledger.flush()
        states = [row["state"] for row in all_calls(ledger.database)]
        assert sorted(states) == ["answered"] * 7 + ["failed"]

    def test_calls_that_a_group_cant_begin_begin_alone(
        self, make_ledger: MakeLedger, make_grouped: MakeGrouped
    ) -> None:
        calls, ledger = [new_call() for _ in range(3)], make_grouped()
        make_ledger().finish(make_ledger().begin(calls[1]), raw="Paris")
        ledger.begin_ahead(calls)
        assert [ledger.begin(call).state for call in calls] == ["new", "answered", "new"]

    def test_what_was_begun_ahead_and_not_made_is_sent_by_the_next(
        self, make_ledger: MakeLedger, make_grouped: MakeGrouped
    ) -> None:
        calls, ledger = [new_call() for _ in range(3)], make_grouped()
        ledger.begin_ahead(calls)
        ledger.begin(calls[0])
        ledger.take_back(10)
        with pytest.raises(CallInFlightError):
            make_ledger().begin(calls[0])
        for call in calls[1:]:
            begun = make_ledger().begin(call)
            assert (begun.state, begun.attempt) == ("new", 2)

    def test_a_call_is_in_flight_until_its_end_is_written(
        self, make_ledger: MakeLedger, make_grouped: MakeGrouped
    ) -> None:
        call, ledger = new_call(), make_grouped()
        with writing_later(ledger):
            with ledger.attempt(call) as begun:
                ledger.finish(begun, raw="Paris")
            assert not ledger.flush(0.01)
            with pytest.raises(CallInFlightError):
                make_ledger().begin(call)
        assert ledger.begin(call).raw == "Paris"
        assert make_ledger().begin(call).raw == "Paris"

    def test_an_answer_is_rejected_after_its_end_was_written(self, make_grouped: MakeGrouped) -> None:
        call, ledger = new_call(), make_grouped()
        begun = ledger.begin(call)
        ledger.finish(begun, raw="Paris")
        ledger.reject(begun, "It has no columns.")
        again = ledger.begin(call)
        assert (again.state, again.attempt) == ("new", 2)

    def test_calls_killed_at_any_statement_lose_nothing_and_pay_once(
        self, make_ledger: MakeLedger, make_grouped: MakeGrouped
    ) -> None:
        found, retrying = set[str](), make_ledger()
        for statements in range(1, 80):
            calls = [new_call() for _ in range(3)]
            reading, writing = os.pipe()
            code = in_child(lambda at=statements, of=calls, to=writing: live_and_die(make_grouped(), of, at, to))  # type: ignore[misc]
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


def live_and_die(ledger: GroupedLedger, calls: list[Call], statements: int, sent: int) -> int:
    """Make calls in threads, telling through a pipe which were sent, unless death comes first."""
    count_down(ledger, statements)

    def make(number: int) -> None:
        begun = ledger.begin(calls[number])
        os.write(sent, bytes([number]))
        ledger.finish(begun, raw={"text": "Paris"}, usages=[Usage(total_tokens=5)])

    ledger.begin_ahead(calls[:2])
    with ThreadPoolExecutor(len(calls)) as pool:
        list(pool.map(make, range(len(calls))))
    ledger.flush()
    return DONE


def what_a_retry_finds(ledger: Ledger, call: Call, was_sent: bool) -> str:
    try:
        # The database may learn of a death a moment later, when the statement of that moment has ended.
        begun = ledger.begin(call, wait_seconds=10)
    except OutcomeUnknownError:
        return "unknown"
    assert begun.attempt == 1
    if begun.state == "answered":
        assert (was_sent, begun.raw) == (True, {"text": "Paris"})
    else:
        assert not was_sent
        ledger.cancelled(begun)
    return begun.state
