"""A caller dies at every statement in turn; what its retry finds must be true, and must not cost twice."""

import os
from typing import Any

import pytest

from dagma.ledger import Call, CallInFlightError, Ledger, OutcomeUnknownError, Usage
from dagma.ledger.reports import last_calls
from dagma.ledger.totals import sums
from ledger_suites.tools import MakeLedger, die, in_child, new_call, start_child, wait_for, watch_statements

KILLED = -9
DONE = 0


def count_down(ledger: Ledger, statements: int) -> None:
    """Die at the moment of that number: before a statement, after it, or before a commit."""
    left = statements

    def step(*_: Any) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            die()

    watch_statements(ledger, step, step)


def live_and_die(ledger: Ledger, call: Call, statements: int, sent: int) -> int:
    """Make the whole call, telling through a pipe what was sent, unless death comes first."""
    count_down(ledger, statements)
    begun = ledger.begin(call)
    os.write(sent, b"!")
    if call.mode == "job":
        ledger.submitted(begun, "job-1")
    ledger.finish(begun, raw={"text": "Paris"}, usages=[Usage(total_tokens=5)])
    return DONE


class TestCrashes:
    @pytest.mark.parametrize("mode", ["direct", "job"])
    def test_a_caller_killed_at_any_statement_loses_nothing_and_pays_once(
        self, make_ledger: MakeLedger, mode: Any
    ) -> None:
        found = []
        for statements in range(1, 60):
            call = new_call(mode=mode)
            reading, writing = os.pipe()
            code = in_child(lambda at=statements, of=call, to=writing: live_and_die(make_ledger(), of, at, to))  # type: ignore[misc]
            os.close(writing)
            was_sent = os.read(reading, 1) == b"!"
            os.close(reading)
            if code == DONE:
                break
            assert code == KILLED
            found.append(self.check_retry(make_ledger(), call, was_sent))
        else:
            pytest.fail("the call never came to its end")
        # The walk has met every kind of death, from before the row until after the answer.
        expected = {"new", "unknown"} if mode == "direct" else {"new", "running", "submitted"}
        assert set(found) == expected

    def check_retry(self, ledger: Ledger, call: Call, was_sent: bool) -> str:
        try:
            # The database may learn of the death a moment later.
            begun = ledger.begin(call, wait_seconds=10)
        except OutcomeUnknownError:
            assert call.mode == "direct"
            return "unknown"
        assert begun.attempt == 1
        if begun.state == "new":
            assert not was_sent
            ledger.cancelled(begun)
            return "new"
        if begun.state == "answered":
            assert (was_sent, begun.raw) == (True, {"text": "Paris"})
            return "answered"
        assert (call.mode, begun.state) == ("job", "running")
        ledger.finish(begun, raw={"text": "Paris"})
        assert ledger.begin(call).raw == {"text": "Paris"}
        return "submitted" if begun.job_id else "running"

    def test_the_retry_of_a_killed_caller_is_told_at_once(self, make_ledger: MakeLedger) -> None:
        call = new_call()

        def begin_and_die() -> int:
            make_ledger().begin(call)
            die()
            return DONE

        assert in_child(begin_and_die) == KILLED
        with pytest.raises(OutcomeUnknownError):
            make_ledger().begin(call, wait_seconds=0)

    def test_a_caller_that_lives_in_another_process_is_told_from_a_dead_one(self, make_ledger: MakeLedger) -> None:
        call = new_call()
        ready, tell_ready = os.pipe()
        go, tell_go = os.pipe()

        def begin_and_wait() -> int:
            os.close(tell_go)
            ledger = make_ledger()
            begun = ledger.begin(call)
            os.write(tell_ready, b"!")
            os.read(go, 1)
            ledger.finish(begun, raw="Paris")
            return DONE

        child = start_child(begin_and_wait)
        assert os.read(ready, 1) == b"!"
        with pytest.raises(CallInFlightError):
            make_ledger().begin(call)
        os.write(tell_go, b"!")
        assert wait_for(child) == DONE
        assert make_ledger().begin(call, wait_seconds=5).raw == "Paris"

    def test_a_forked_process_uses_connections_of_its_own(self, make_ledger: MakeLedger) -> None:
        ledger = make_ledger()
        mine, childs = new_call(), new_call()
        begun = ledger.begin(mine)

        def use_the_parents_ledger() -> int:
            with pytest.raises(CallInFlightError):
                ledger.begin(mine)
            ledger.finish(ledger.begin(childs), raw="from the child")
            return DONE

        assert in_child(use_the_parents_ledger) == DONE
        with pytest.raises(CallInFlightError):  # the child's end has not taken the parent's mark away
            make_ledger().begin(mine)
        ledger.finish(begun, raw="from the parent")
        assert ledger.begin(childs).raw == "from the child"
        assert ledger.begin(mine).raw == "from the parent"

    def test_a_parents_death_is_seen_although_its_child_lives(self, make_ledger: MakeLedger) -> None:
        call = new_call()
        go, tell_go = os.pipe()

        def begin_fork_and_die() -> int:
            os.close(tell_go)
            make_ledger().begin(call)
            start_child(lambda: len(os.read(go, 1)))  # lives until the test lets it go
            die()
            return DONE

        assert in_child(begin_fork_and_die) == KILLED
        with pytest.raises(OutcomeUnknownError):
            make_ledger().begin(call)
        os.close(tell_go)

    def test_totals_count_a_killed_call_once(self, make_ledger: MakeLedger) -> None:
        call = new_call(mode="job")

        def begin_and_die() -> int:
            make_ledger().begin(call)
            die()
            return DONE

        assert in_child(begin_and_die) == KILLED
        ledger = make_ledger()
        ledger.finish(ledger.begin(call), raw="Paris", usages=[Usage(total_tokens=7)])
        (row,) = last_calls(ledger.database, 10)
        (used,) = sums(ledger.database, "flow", row["begun_at"])
        assert (used["calls"], used["tokens"], used["unmetered_calls"]) == (1, 7, 0)
