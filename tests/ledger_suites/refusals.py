"""Calls that a limit refused: they leave a row, count for nothing, and fill no disk."""

from datetime import UTC, datetime

import pytest

from dagma.ledger import Call, Ledger, LedgerUnavailableError, QuotaExceededError, admission
from dagma.ledger.reports import last_calls, standings
from dagma.ledger.totals import sums
from ledger_suites.tools import Clock, MakeLedger, new_call


def refuse(ledger: Ledger, call: Call) -> None:
    with pytest.raises(QuotaExceededError):
        ledger.begin(call)


class TestRefusals:
    def test_a_refused_call_leaves_a_row_that_says_who_asked_what_and_why(self, make_ledger: MakeLedger) -> None:
        clock = Clock()
        ledger = make_ledger(quotas="calls=0/day", clock=clock, texts="full")
        call = new_call(flow_name="assistant", run_id="run-1", step="ask", principal="cli:anna", input_text="Who?")
        refuse(ledger, call)
        (row,) = last_calls(ledger.database, 10)
        expected = {
            "state": "refused",
            "attempt": 0,
            "refusals": 1,
            "flow_name": "assistant",
            "run_id": "run-1",
            "step": "ask",
            "principal": "cli:anna",
            "input_text": "Who?",
            "error_class": "QuotaExceededError",
            "begun_at": clock.now,
            "finished_at": clock.now,
            "reserved_tokens": 0,
        }
        assert {name: row[name] for name in expected} == expected
        assert row["error_message"].startswith("Quota 'calls=0/day' leaves no room")
        assert row["key"] != call.key

    def test_it_is_in_no_total_and_counts_for_no_limit(self, make_ledger: MakeLedger) -> None:
        clock = Clock()
        ledger = make_ledger(quotas="calls=1/hour; tokens=99/day reserve=9", clock=clock)
        ledger.begin(new_call())
        for _ in range(5):
            refuse(ledger, new_call())
        assert [standing["used"] for standing in standings(ledger.database, ledger.limits, clock.now)] == [1, 9]
        assert [line["calls"] for line in sums(ledger.database, None, clock.now)] == [1]

    def test_a_loop_of_refused_calls_fills_no_disk(self, make_ledger: MakeLedger) -> None:
        clock = Clock(datetime(2026, 3, 10, 12, 58, tzinfo=UTC))
        ledger = make_ledger(quotas="calls=0/day", clock=clock)
        for number in range(30):
            refuse(ledger, new_call(input_text=f"question {number}"))
        clock.advance(minutes=1)
        refuse(ledger, new_call())
        (row,) = last_calls(ledger.database, 99)
        assert (row["refusals"], row["finished_at"]) == (31, clock.now)
        clock.advance(minutes=1)
        refuse(ledger, new_call())
        assert [row["refusals"] for row in last_calls(ledger.database, 99)] == [31, 1]

    def test_each_run_principal_flow_and_limit_has_a_row_of_its_own(self, make_ledger: MakeLedger) -> None:
        ledger = make_ledger(quotas="flow:a calls=0/day; flow:b calls=0/day", clock=Clock())
        for _ in range(2):
            for flow_id in ("a", "b"):
                for run_id, principal in (("run-1", "ui"), ("run-2", "ui"), (None, "ui"), (None, "cli:anna")):
                    refuse(ledger, new_call(flow_id=flow_id, run_id=run_id, principal=principal))
        rows = last_calls(ledger.database, 99)
        assert len(rows) == 8
        assert {row["refusals"] for row in rows} == {2}

    def test_the_same_call_is_sent_as_its_first_attempt_when_there_is_room(self, make_ledger: MakeLedger) -> None:
        clock = Clock()
        ledger, call = make_ledger(quotas="calls=1/hour", clock=clock), new_call()
        ledger.begin(new_call())
        refuse(ledger, call)
        clock.advance(hours=1)
        begun = ledger.begin(call)
        assert (begun.state, begun.attempt) == ("new", 1)
        ledger.finish(begun, raw="Paris")
        assert ledger.begin(call).raw == "Paris"

    def test_what_can_not_be_recorded_is_refused_all_the_same(
        self, make_ledger: MakeLedger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        ledger = make_ledger(quotas="calls=0/day")

        def fail(*_: object, **__: object) -> None:
            raise LedgerUnavailableError("away")

        monkeypatch.setattr(admission, "record_refusal", fail)
        refuse(ledger, new_call())
        assert "That a call was refused is not recorded: away" in caplog.text
