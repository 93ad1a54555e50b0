"""What becomes of a call's retry, by how its earlier attempt ended."""

import logging
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from dagma.ledger import (
    AnswerExpiredError,
    Call,
    CallInFlightError,
    Ledger,
    LedgerUnavailableError,
    OutcomeGivenUpError,
    OutcomeUnknownError,
    Usage,
)
from dagma.ledger.reports import last_calls
from dagma.ledger.tables import calls
from ledger_suites.tools import Clock, MakeLedger, new_call

RAW = {"outputs": [{"text": "Paris ✓ \x00 \ud800"}], "session_id": "s"}


def begin_without_reply(ledger: Ledger, call: Call, monkeypatch: pytest.MonkeyPatch, *, does_work: bool = True) -> None:
    """Begin while the database goes away: with the reply to the commit, or before the work was done."""
    transact = ledger.database.transact

    def lose(work: Callable[..., Any], *options: Any, **more: Any) -> None:
        if does_work:
            transact(work, *options, **more)
        raise LedgerUnavailableError("The reply was lost.")

    ledger.database.check_version()
    with monkeypatch.context() as patch:
        patch.setattr(ledger.database, "transact", lose)
        with pytest.raises(LedgerUnavailableError):
            ledger.begin(call)


class TestExactlyOnce:
    def test_a_new_call_is_to_be_sent(self, make_ledger: MakeLedger) -> None:
        call = new_call()
        begun = make_ledger().begin(call)
        assert (begun.state, begun.attempt, begun.key, begun.job_id) == ("new", 1, call.key, None)
        assert begun.idempotency_key == f"{call.key}-1"

    def test_an_answered_call_gives_its_raw_response_to_the_retry(self, make_ledger: MakeLedger) -> None:
        call = new_call()
        first = make_ledger()
        first.finish(first.begin(call), raw=RAW, answer="Paris")
        again = make_ledger(texts="none").begin(call)
        assert (again.state, again.attempt, again.raw) == ("answered", 1, RAW)

    def test_executing_from_scratch_starts_over(self, make_ledger: MakeLedger) -> None:
        ledger = make_ledger()
        ledger.finish(ledger.begin(new_call(scope="run-1")), raw=RAW)
        assert ledger.begin(new_call(scope="run-2")).state == "new"

    @pytest.mark.parametrize("end", ["fail", "cancelled"])
    def test_a_call_that_failed_or_was_cancelled_is_sent_as_a_new_attempt(
        self, make_ledger: MakeLedger, end: str
    ) -> None:
        ledger, call = make_ledger(), new_call()
        begun = ledger.begin(call)
        ledger.fail(begun, "ServerError", "HTTP 500") if end == "fail" else ledger.cancelled(begun)
        again = ledger.begin(call)
        assert (again.state, again.attempt) == ("new", 2)
        assert again.idempotency_key == f"{call.key}-2"

    def test_a_job_that_runs_is_found_again(self, make_ledger: MakeLedger) -> None:
        call = new_call(mode="job")
        first = make_ledger()
        begun = first.begin(call)
        first.submitted(begun, "job-7")
        again = make_ledger().begin(call)
        assert (again.state, again.job_id, again.call_id) == ("running", "job-7", begun.call_id)

    def test_a_job_whose_submit_reply_was_lost_is_submitted_under_the_same_key(self, make_ledger: MakeLedger) -> None:
        call = new_call(mode="job")
        begun = make_ledger().begin(call)
        again = make_ledger().begin(call)
        assert (again.state, again.job_id) == ("running", None)
        assert again.idempotency_key == begun.idempotency_key

    def test_a_lost_job_is_sent_again_under_another_key(self, make_ledger: MakeLedger) -> None:
        ledger, call = make_ledger(), new_call(mode="job")
        begun = ledger.begin(call)
        ledger.submitted(begun, "job-7")
        ledger.fail(ledger.begin(call), "JobLost", "Langflow has no job job-7")
        again = ledger.begin(call)
        assert (again.state, again.attempt) == ("new", 2)
        assert again.idempotency_key != begun.idempotency_key

    def test_a_direct_call_of_a_lost_caller_is_not_sent_again_by_default(self, make_ledger: MakeLedger) -> None:
        ledger, call = make_ledger(), new_call()
        begun = ledger.begin(call)
        ledger.release(begun)
        for _ in range(2):
            with pytest.raises(OutcomeUnknownError, match=begun.call_id):
                make_ledger().begin(call)
        (row,) = last_calls(ledger.database, 10)
        assert (row["state"], row["error_class"]) == ("unknown", "CallerLost")

    @pytest.mark.parametrize("does_work", [True, False])
    def test_a_begin_whose_reply_was_lost_is_taken_up_by_its_own_process(
        self, make_ledger: MakeLedger, monkeypatch: pytest.MonkeyPatch, does_work: bool
    ) -> None:
        ledger, call = make_ledger(), new_call()
        begin_without_reply(ledger, call, monkeypatch, does_work=does_work)
        for _ in range(2):
            begin_without_reply(ledger, call, monkeypatch)
        begun = ledger.begin(call)
        assert (begun.state, begun.attempt) == ("new", 1)
        with pytest.raises(CallInFlightError):
            ledger.begin(call)
        ledger.finish(begun, raw=RAW)
        assert ledger.begin(call).raw == RAW

    @pytest.mark.parametrize("decides", [False, True])
    def test_a_begin_whose_reply_was_lost_is_left_to_whoever_judged_it_since(
        self, make_ledger: MakeLedger, monkeypatch: pytest.MonkeyPatch, decides: bool
    ) -> None:
        ledger, call = make_ledger(), new_call()
        begin_without_reply(ledger, call, monkeypatch)
        with pytest.raises(OutcomeUnknownError) as caught:
            make_ledger().begin(call)
        if decides:
            ledger.resend(caught.value.begun, "decided by a test")
            assert ledger.begin(call).attempt == 2
        else:
            with pytest.raises(OutcomeUnknownError):
                ledger.begin(call)

    def test_a_call_marked_unknown_is_not_sent_again(self, make_ledger: MakeLedger) -> None:
        ledger, call = make_ledger(), new_call()
        ledger.unknown(ledger.begin(call), "ReadTimeout", "no answer within 60 s")
        with pytest.raises(OutcomeUnknownError):
            ledger.begin(call)

    def test_the_error_of_an_unknown_call_carries_what_is_needed_to_find_it(self, make_ledger: MakeLedger) -> None:
        ledger, call = make_ledger(), new_call()
        begun = ledger.begin(call)
        ledger.unknown(begun, "ReadTimeout", "no answer within 60 s")
        with pytest.raises(OutcomeUnknownError) as caught:
            make_ledger().begin(call)
        found = caught.value.begun
        assert (found.state, found.call_id, found.key, found.attempt) == ("unknown", begun.call_id, call.key, 1)
        assert (found.error_class, found.flow_version) == ("ReadTimeout", call.flow_version)
        assert found.ended_at is not None
        assert found.ended_at >= begun.begun_at
        make_ledger().finish(found, raw=RAW)
        assert ledger.begin(call).raw == RAW

    def test_the_decision_to_send_an_unknown_call_again_is_kept(self, make_ledger: MakeLedger) -> None:
        ledger, call = make_ledger(), new_call()
        begun = ledger.begin(call)
        ledger.unknown(begun, "ReadTimeout", "no answer within 60 s")
        ledger.resend(begun, "decided by a test")
        assert make_ledger().begin(call).attempt == 2
        first, _second = last_calls(ledger.database, 10)
        assert (first["state"], first["rejected_reason"]) == ("unknown", "decided by a test")

    def test_a_call_that_was_given_up_is_not_sent_again(self, make_ledger: MakeLedger) -> None:
        ledger, call = make_ledger(), new_call()
        begun = ledger.begin(call)
        ledger.unknown(begun, "ReadTimeout", "no answer within 60 s")
        ledger.give_up(begun, "decided by a test")
        with pytest.raises(OutcomeGivenUpError, match=begun.call_id):
            make_ledger().begin(call)
        ledger.resend(begun, "decided otherwise")
        assert make_ledger().begin(call).attempt == 2

    def test_an_answer_that_comes_late_settles_an_unknown_call(self, make_ledger: MakeLedger) -> None:
        ledger, call = make_ledger(), new_call()
        begun = ledger.begin(call)
        ledger.unknown(begun, "ConnectionError", "reset")
        ledger.finish(begun, raw=RAW)
        assert ledger.begin(call).raw == RAW

    def test_an_answer_that_came_before_the_decision_to_send_again_is_kept(self, make_ledger: MakeLedger) -> None:
        ledger, call = make_ledger(), new_call()
        begun = ledger.begin(call)
        ledger.unknown(begun, "ReadTimeout", "no answer within 60 s")
        make_ledger().finish(begun, raw=RAW)
        ledger.resend(begun, "decided by somebody who has not seen it")
        assert ledger.begin(call).raw == RAW

    def test_a_rejected_answer_is_not_given_again(self, make_ledger: MakeLedger) -> None:
        ledger, call = make_ledger(), new_call()
        begun = ledger.begin(call)
        ledger.finish(begun, raw=RAW)
        ledger.reject(begun, "the answer is no JSON")
        again = ledger.begin(call)
        assert (again.state, again.attempt) == ("new", 2)
        first, second = last_calls(ledger.database, 10)
        assert (first["state"], first["rejected_reason"]) == ("answered", "the answer is no JSON")
        assert (second["state"], second["rejected_at"]) == ("begun", None)

    def test_an_answer_past_its_retention_is_not_paid_for_again(self, make_ledger: MakeLedger) -> None:
        clock = Clock()
        ledger, call = make_ledger(clock=clock, replay_hours=2), new_call()
        ledger.finish(ledger.begin(call), raw=RAW)
        clock.advance(hours=3)
        assert ledger.expire_replays() == 1
        with pytest.raises(AnswerExpiredError, match="from scratch"):
            ledger.begin(call)

    def test_the_end_that_was_recorded_first_stays(
        self, make_ledger: MakeLedger, caplog: pytest.LogCaptureFixture
    ) -> None:
        ledger, call = make_ledger(), new_call(mode="job")
        begun = ledger.begin(call)
        ledger.cancelled(begun)
        with caplog.at_level(logging.WARNING):
            ledger.finish(begun, raw=RAW)
        (row,) = last_calls(ledger.database, 10)
        assert row["state"] == "cancelled"
        assert begun.call_id in caplog.text

    @pytest.mark.parametrize("odd", ["\ud800", "a\x00b"])
    def test_a_name_that_can_not_be_stored_hinders_no_call(self, make_ledger: MakeLedger, odd: str) -> None:
        ledger = make_ledger(quotas="flow:* calls=9/day")
        names = dict.fromkeys(("flow_id", "flow_name", "flow_version", "session_id", "run_id"), odd)
        call = new_call(**names, step=odd, partition=odd, row=odd, scope=f"{odd} {uuid.uuid4().hex}")
        begun = ledger.begin(call)
        assert begun.key == call.key
        ledger.finish(begun, raw=RAW)
        assert ledger.begin(call).state == "answered"
        assert ledger.begin(replace(call, row=odd.replace("\x00", "\ufffd").replace("\ud800", "?"))).state == "new"

    def test_a_row_tells_everything_about_its_call(self, make_ledger: MakeLedger) -> None:
        clock = Clock()
        ledger = make_ledger(clock=clock, prices="tiny=1/2", texts="full")
        call = new_call(
            flow_name="assistant",
            flow_version="v3",
            session_id="asked",
            run_id="run-9",
            step="ask",
            partition="03",
        )
        begun = ledger.begin(call)
        clock.advance(seconds=2.5)
        usage = Usage(model="tiny", input_tokens=1000, output_tokens=500)
        ledger.finish(begun, raw=RAW, answer="Paris", usages=[usage], session_id="given")
        (row,) = last_calls(ledger.database, 10)
        expected = {
            "key": call.key,
            "attempt": 1,
            "flow_id": "flow-1",
            "flow_name": "assistant",
            "flow_version": "v3",
            "backend": "langflow",
            "mode": "direct",
            "session_id": "given",
            "run_id": "run-9",
            "step": "ask",
            "partition_key": "03",
            "row_key": None,
            "state": "answered",
            "duration_ms": 2500,
            "model": "tiny",
            "input_tokens": 1000,
            "output_tokens": 500,
            "total_tokens": 1500,
            "input_hash": call.input_hash,
            "input_text": "What is the capital of France?",
            "answer_text": "Paris",
            "error_class": None,
        }
        assert {name: row[name] for name in expected} == expected
        assert str(row["cost"]) == "0.002000000"
        assert row["finished_at"] == clock.now

    def test_a_duration_of_the_callers_own_is_kept(self, make_ledger: MakeLedger) -> None:
        ledger = make_ledger()
        ledger.finish(ledger.begin(new_call()), raw=RAW, duration_seconds=1.5)
        (row,) = last_calls(ledger.database, 10)
        assert row["duration_ms"] == 1500

    def test_an_exception_that_leaves_the_block_makes_a_direct_call_unknown(self, make_ledger: MakeLedger) -> None:
        ledger, call = make_ledger(), new_call()
        with pytest.raises(KeyboardInterrupt), ledger.attempt(call):
            raise KeyboardInterrupt
        (row,) = last_calls(ledger.database, 10)
        assert (row["state"], row["error_class"]) == ("unknown", "KeyboardInterrupt")

    def test_an_exception_after_the_end_changes_nothing(self, make_ledger: MakeLedger) -> None:
        ledger, call = make_ledger(), new_call()

        def answer_and_raise() -> None:
            with ledger.attempt(call) as begun:
                ledger.finish(begun, raw=RAW)
                raise ValueError("unusable")

        with pytest.raises(ValueError, match="unusable"):
            answer_and_raise()
        assert ledger.begin(call).state == "answered"

    def test_an_exception_that_leaves_the_block_lets_a_job_run_on(self, make_ledger: MakeLedger) -> None:
        ledger, call = make_ledger(), new_call(mode="job")

        def submit_and_raise() -> None:
            with ledger.attempt(call) as begun:
                ledger.submitted(begun, "job-1")
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            submit_and_raise()
        assert ledger.begin(call).job_id == "job-1"

    def test_a_second_live_caller_may_not_send(self, make_ledger: MakeLedger) -> None:
        call = new_call()
        first = make_ledger()
        begun = first.begin(call)
        for other in (first, make_ledger()):
            with pytest.raises(CallInFlightError, match=begun.call_id):
                other.begin(call)
        first.finish(begun, raw=RAW)
        assert make_ledger().begin(call).raw == RAW

    def test_no_row_is_left_by_a_refused_begin(self, make_ledger: MakeLedger) -> None:
        ledger, call = make_ledger(), new_call()
        ledger.begin(call)
        with pytest.raises(CallInFlightError):
            make_ledger().begin(call)
        with ledger.database.read() as connection:
            assert len(connection.execute(select(calls)).all()) == 1
