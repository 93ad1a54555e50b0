"""The database itself refuses to have its history changed, whoever asks with the application's rights."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import DBAPIError

from dagma.ledger import Ledger, LedgerUnavailableError, Usage
from dagma.ledger.migrate import migrate
from dagma.ledger.pruning import prune_expired
from dagma.ledger.reports import last_calls
from dagma.ledger.tables import calls, rejections, replays
from dagma.ledger.totals import GROUPS, sums
from ledger_suites.tools import Clock, MakeLedger, new_call

FINISHED = ["answered", "failed", "cancelled"]


def finish_as(ledger: Ledger, state: str) -> str:
    begun = ledger.begin(new_call())
    if state == "answered":
        ledger.finish(begun, raw="Paris", answer="Paris", usages=[Usage(total_tokens=5)])
    elif state == "failed":
        ledger.fail(begun, "ServerError", "HTTP 500")
    else:
        ledger.cancelled(begun)
    return begun.call_id


def refused(ledger: Ledger, statement: object) -> str:
    """Run a statement that must be refused, and give the reason."""
    with pytest.raises(DBAPIError) as caught, ledger.database.engine.begin() as connection:
        connection.execute(statement)  # type: ignore[call-overload]
    return str(caught.value.orig)


class TestAudit:
    @pytest.mark.parametrize("state", FINISHED)
    def test_a_finished_call_can_not_be_changed(self, make_ledger: MakeLedger, state: str) -> None:
        ledger = make_ledger()
        call_id = finish_as(ledger, state)
        before = last_calls(ledger.database, 1)
        for change in ({"state": "failed"}, {"total_tokens": 1}, {"cost": None}, {"answer_text": "Rome"}):
            reason = refused(ledger, update(calls).where(calls.c.id == call_id).values(change))
            assert "finished call can not be changed" in reason
        assert last_calls(ledger.database, 1) == before

    @pytest.mark.parametrize("state", [*FINISHED, "begun"])
    def test_a_young_call_can_not_be_deleted(self, make_ledger: MakeLedger, state: str) -> None:
        ledger = make_ledger()
        call_id = ledger.begin(new_call()).call_id if state == "begun" else finish_as(ledger, state)
        reason = refused(ledger, delete(calls).where(calls.c.id == call_id))
        assert "can not be deleted" in reason or "permission denied" in reason
        assert len(last_calls(ledger.database, 10)) == 1

    def test_what_identifies_a_live_call_can_not_be_changed(self, make_ledger: MakeLedger) -> None:
        ledger = make_ledger()
        begun = ledger.begin(new_call())
        for change in (
            {"flow_id": "another"},
            {"input_hash": "0" * 64},
            {"begun_at": datetime(2020, 1, 1, tzinfo=UTC)},
            {"reserved_tokens": 0},
            {"run_id": "another"},
        ):
            reason = refused(ledger, update(calls).where(calls.c.id == begun.call_id).values(change))
            assert "can not be changed" in reason or "permission denied" in reason

    def test_a_call_can_not_be_invented_as_finished(self, make_ledger: MakeLedger) -> None:
        ledger = make_ledger()
        ledger.begin(new_call())
        with ledger.database.read() as connection:
            row = dict(connection.execute(select(calls)).mappings().one())
        invented = {**row, "id": "f" * 32, "attempt": 2, "state": "answered"}
        reason = refused(ledger, insert(calls).values(invented))
        assert "starts in the state begun" in reason or "permission denied" in reason

    def test_a_rejection_can_not_be_changed_or_taken_back(self, make_ledger: MakeLedger) -> None:
        ledger = make_ledger()
        begun = ledger.begin(new_call())
        ledger.finish(begun, raw="Paris")
        ledger.reject(begun, "wrong")
        for statement in (update(rejections).values(reason="fine"), delete(rejections)):
            reason = refused(ledger, statement)
            assert "rejection" in reason
        assert last_calls(ledger.database, 1)[0]["rejected_reason"] == "wrong"

    def test_pruning_deletes_old_calls_only_and_keeps_the_totals(self, make_ledger: MakeLedger, owner_url: str) -> None:
        clock = Clock(datetime.now(UTC) - timedelta(days=40))
        ledger = make_ledger(clock=clock)
        finish_as(ledger, "answered")
        old = ledger.begin(new_call())
        ledger.finish(old, raw="Rome", usages=[Usage(total_tokens=2)])
        ledger.reject(old, "wrong")
        ledger.begin(new_call(mode="job"))
        clock.advance(days=35)
        young = finish_as(ledger, "answered")
        migrate(owner_url, keep_days=30)
        assert prune_expired(ledger.database, keep_days=30) == 3
        assert [row["id"] for row in last_calls(ledger.database, 10)] == [young]
        with ledger.database.read() as connection:
            assert connection.execute(select(replays.c.call_id)).scalars().all() == [young]
            assert connection.execute(select(rejections)).all() == []
        long_ago = clock.now - timedelta(days=35)
        for by in (*GROUPS, None):
            lines = sums(ledger.database, by, long_ago)
            assert sum(line["calls"] for line in lines) == 4, by
            assert sum(line["tokens"] for line in lines) == 12, by

    def test_the_application_prunes_what_is_past_its_days_in_batches(
        self, make_ledger: MakeLedger, owner_url: str
    ) -> None:
        clock = Clock(datetime.now(UTC) - timedelta(days=101))
        ledger = make_ledger(clock=clock)
        for _ in range(3):
            finish_as(ledger, "answered")
        clock.advance(days=2)
        young = finish_as(ledger, "answered")
        migrate(owner_url, keep_days=100)
        assert [prune_expired(ledger.database, keep_days=100, most=2) for _ in range(3)] == [2, 1, 0]
        assert [row["id"] for row in last_calls(ledger.database, 10)] == [young]
        with ledger.database.read() as connection:
            assert connection.execute(select(replays.c.call_id)).scalars().all() == [young]
        (line,) = sums(ledger.database, None, clock.now - timedelta(days=2))
        assert line["calls"] == 4

    def test_zero_days_keep_every_call(self, make_ledger: MakeLedger, owner_url: str) -> None:
        ledger = make_ledger(clock=Clock(datetime.now(UTC) - timedelta(days=4000)))
        finish_as(ledger, "answered")
        migrate(owner_url, keep_days=0)
        assert prune_expired(ledger.database, keep_days=0) == 0
        assert len(last_calls(ledger.database, 10)) == 1

    @pytest.mark.parametrize("days", [-1, 1, 29, 36_501])
    def test_the_database_takes_no_fewer_days_than_thirty(
        self, make_ledger: MakeLedger, owner_url: str, days: int
    ) -> None:
        make_ledger().database.check_version()
        with pytest.raises(LedgerUnavailableError, match="retention_days"):
            migrate(owner_url, keep_days=days)
