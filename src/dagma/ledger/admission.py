"""Letting a call in: is it new, answered, running as a job, in another caller's hands, or refused by a limit?"""

import hashlib
import json
import logging
import os
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache, partial
from typing import Any, Literal

from sqlalchemy import Connection, TextClause, bindparam, or_, select, text

from dagma.backoff import Backoff
from dagma.ledger.call import Begun, Call
from dagma.ledger.database import Database, UtcTime, insert_once
from dagma.ledger.errors import (
    AnswerExpiredError,
    CallInFlightError,
    FlowNotIdentifiedError,
    LedgerError,
    LedgerUnavailableError,
    OutcomeGivenUpError,
    OutcomeUnknownError,
    QuotaExceededError,
)
from dagma.ledger.live_callers import Presence
from dagma.ledger.quotas import Meter, Unit, canonical_flow, window_start
from dagma.ledger.state_changes import change
from dagma.ledger.tables import calls, rejections, replays, usage_hours
from dagma.ledger.texts import TextPolicy, storable

BACKOFF = Backoff(first=0.05, longest=2.0)
REFUSAL_PATIENCE_SECONDS = 2.0
GIVEN_UP = "GivenUp"
"""The error class of calls that stay unknown, and are not to be sent again."""
LAST_ATTEMPT = (
    select(calls).where(calls.c.key == bindparam("of_key")).order_by(calls.c.attempt.desc()).limit(1).with_for_update()
)
ANSWER = (
    select(replays.c.body, rejections.c.call_id.is_not(None).label("rejected"))
    .select_from(calls.outerjoin(replays).outerjoin(rejections))
    .where(calls.c.id == bindparam("of_call"))
)
NAMES = (
    *("scope", "flow_id", "flow_name", "flow_title", "flow_version"),
    *("backend", "session_id", "run_id", "step"),
)
"""Texts of a call that have a column of the same name."""
# As far back as the longest window of a limit.
KNOWN_DAYS = 31
# From the hourly totals: where no flow can ever be looked up, each call asks this, and there are very many calls.
NEWEST_OF_ADDRESS = (
    select(usage_hours.c.flow_id, usage_hours.c.flow_name)
    .where(
        or_(usage_hours.c.flow_id == bindparam("address"), usage_hours.c.flow_name == bindparam("address")),
        # Only flows that were looked up have one of these.
        or_(usage_hours.c.flow_name.is_not(None), usage_hours.c.flow_title.is_not(None)),
        usage_hours.c.hour >= bindparam("since", type_=UtcTime),
    )
    .order_by(usage_hours.c.hour.desc())
    .limit(1)
)

Refusal = QuotaExceededError | FlowNotIdentifiedError

logger = logging.getLogger(__name__)


class Admission:
    """Decides what becomes of a call, and commits the decision before anything is sent."""

    def __init__(
        self,
        database: Database,
        presence: Presence,
        meter: Meter,
        texts: TextPolicy,
        patience_seconds: float,
    ):
        self._database = database
        self._presence = presence
        self._meter = meter
        self._texts = texts
        self._patience_seconds = patience_seconds
        self._unconfirmed: dict[tuple[int, str], str] = {}
        """Ids, by process and key, of calls that may have begun without a reply: nothing was sent for them."""

    def admit(self, call: Call, wait_seconds: float) -> Begun:
        """Let a call in, as `Ledger.begin` says."""
        deadline = time.monotonic() + wait_seconds
        attempt = 0
        while True:
            attempt += 1
            try:
                return self._admit_now(call)
            except CallInFlightError:
                pause = BACKOFF.seconds(attempt)
                if time.monotonic() + pause > deadline:
                    raise
            except (QuotaExceededError, FlowNotIdentifiedError) as refusal:
                self._record_refusal(call, refusal)
                raise
            time.sleep(pause)

    def admit_new(self, new: Sequence[Call]) -> list[Begun | None]:
        """Let calls in that nobody has made before, in one transaction.

        Returns:
            What to do with each; None where `admit` has to decide, since the call was made before, a limit may leave
            no room for it, or the database was away.
        """
        ids = [uuid.uuid4().hex for _ in new]
        # A call that may have begun already goes on with the id that it began with.
        own = {i: call for i, call in zip(ids, new, strict=True) if (os.getpid(), call.key) not in self._unconfirmed}
        direct = [call_id for call_id, call in own.items() if call.mode == "direct"]
        begun: dict[str, Begun] = {}

        def insert(connection: Connection) -> dict[str, Begun]:
            self._presence.hold(*direct)  # before anybody can see the rows
            return self._insert(connection, own)

        try:
            # Without patience: where the database is away, each call waits for it by itself.
            begun = self._database.transact(insert)
        except LedgerError as error:
            logger.debug("Calls are begun one by one: %s", error)
        finally:
            left = [call_id for call_id in direct if call_id not in begun]
            for call_id in left:  # committed all the same, where the reply to the commit was lost
                self._unconfirmed.setdefault((os.getpid(), own[call_id].key), call_id)
            self._presence.release(*left)
        return [begun.get(call_id) for call_id in ids]

    def take_back(self, *call_ids: str) -> None:
        """Record that calls that have begun were not sent. Where that fails, the next `begin` of each finds out."""
        values = {"state": "failed", "error_class": "Interrupted"}

        def work(connection: Connection) -> None:
            for call_id in call_ids:
                change(connection, call_id, values, ("begun",), self._database.clock())

        with suppress(LedgerError):
            self._database.transact(work)

    def _admit_now(self, call: Call) -> Begun:
        own = (os.getpid(), call.key)
        call_id = self._unconfirmed.pop(own, None) or uuid.uuid4().hex
        try:
            while True:
                decide = partial(self._decide, call=call, call_id=call_id)
                begun = self._database.transact(decide, self._patience_seconds)
                if begun is None or begun.call_id != call_id:
                    self._presence.release(call_id)
                if begun is not None:
                    return begun
                call_id = uuid.uuid4().hex
        except BaseException as error:
            is_interrupt = not isinstance(error, Exception)
            if is_interrupt:
                self.take_back(call_id)  # between the commit and the return
            if call.mode == "direct" and (is_interrupt or isinstance(error, LedgerUnavailableError)):
                self._unconfirmed[own] = call_id
            self._presence.release(call_id)
            raise

    def _decide(self, connection: Connection, call: Call, call_id: str) -> Begun | None:
        """Insert the first attempt, or go by the last one; None after a change to commit before deciding again."""
        if call.mode == "direct":
            self._presence.hold(call_id)  # before anybody can see the row
        attempt = 1
        while not (begun := self._insert(connection, {call_id: call}, attempt).get(call_id)):
            last = connection.execute(LAST_ATTEMPT, {"of_key": call.key}).mappings().one()
            if last["id"] == call_id and last["state"] == "begun":  # committed before, and the reply was lost
                return begun_from_row("new", last)
            if last["state"] in ("begun", "submitted"):
                if last["mode"] == "job":
                    return begun_from_row("running", last)
                self._declare_lost(connection, last["id"])
                return None
            if last["state"] == "answered" and (replay := _replay(connection, last)):
                return replay
            if last["state"] == "unknown":
                _refuse_unknown(connection, last)
            if last["id"] == call_id:  # the same, and others have ended it since: the next attempt has another id
                return None
            attempt = last["attempt"] + 1
        return begun

    def _insert(self, connection: Connection, new: Mapping[str, Call], attempt: int = 1) -> dict[str, Begun]:
        """Insert attempts by their ids, unless they exist, and refuse all where a limit leaves no room for one.

        The unique key makes concurrent callers take turns here.
        """
        now = self._database.clock()
        recorded = {call_id: _as_recorded(connection, call, now) for call_id, call in new.items()}
        reserved: dict[tuple[str, str | None], dict[Unit, Decimal]] = {}
        rows: list[dict[str, Any]] = []
        for call_id, call in recorded.items():
            flow = (call.flow_id, call.flow_name)
            if flow not in reserved:
                reserved[flow] = self._meter.reserve(connection, call, now)
            rows.append(
                {
                    **_row_of(call, self._texts),
                    "id": call_id,
                    "key": new[call_id].key,  # made of the call as its caller gave it
                    "attempt": attempt,
                    "state": "begun",
                    "reserved_tokens": int(reserved[flow]["tokens"]),
                    "reserved_cost": reserved[flow]["cost"],
                }
            )
        begun = _insert_rows(connection, rows, now)
        # The totals count all of them by now: what has room for the last one of a flow, principal and hour had it for
        # the others.
        last = {}
        for call_id, inserted in begun.items():
            call = recorded[call_id]
            hour = window_start("hour", inserted.begun_at)
            last[call.flow_id, call.flow_name, call.counted_principal, hour] = call, inserted.begun_at
        for call, begun_at in last.values():
            self._meter.check(connection, call, reserved[call.flow_id, call.flow_name], begun_at)
        return begun

    def _declare_lost(self, connection: Connection, call_id: str) -> None:
        """Record that a direct call's sender died, unless it lives."""
        if self._presence.is_held(call_id, connection):
            raise CallInFlightError(call_id)
        values = {"state": "unknown", "error_class": "CallerLost"}
        change(connection, call_id, values, ("begun",), self._database.clock())

    def _record_refusal(self, call: Call, refusal: Refusal) -> None:
        def record(connection: Connection) -> None:
            record_refusal(connection, call, refusal, self._texts, self._database.clock())

        try:
            self._database.transact(record, min(self._patience_seconds, REFUSAL_PATIENCE_SECONDS))
        except LedgerError as missed:
            logger.warning("That a call was refused is not recorded: %s", missed)


def _as_recorded(connection: Connection, call: Call, now: datetime) -> Call:
    """Give a call as the ledger records it. Its key is made of the call as its caller gave it.

    Returns:
        The call with texts that the database can hold. A flow that was not looked up has the id and name that it had
        when it last was; where that is not known, its id is written as Langflow writes ids.
    """
    names = (*NAMES, "partition", "row", "principal", "flow_address")
    kept: dict[str, Any] = {name: storable(value) for name in names if (value := getattr(call, name)) is not None}
    call = replace(call, **kept)
    if call.flow_looked_up:
        return call
    address = call.flow_address or call.flow_id
    values = {"address": canonical_flow(address), "since": now - timedelta(days=KNOWN_DAYS)}
    known = connection.execute(NEWEST_OF_ADDRESS, values).first()
    if known is None:
        return replace(call, flow_id=canonical_flow(call.flow_id), flow_address=address)
    return replace(call, flow_id=known.flow_id, flow_name=known.flow_name, flow_address=address, flow_looked_up=True)


def _row_of(call: Call, texts: TextPolicy) -> dict[str, Any]:
    """Describe a call by the columns that never change.

    Who inserts the row adds its id, key, attempt, state and reservation.
    """
    return {
        **{name: getattr(call, name) for name in NAMES},
        "partition_key": call.partition,
        "row_key": call.row,
        "mode": call.mode,
        "principal": call.counted_principal or None,
        "input_characters": len(call.input_text or ""),
        "input_hash": call.input_hash,
        "input_text": texts.of_text(call.input_text),
    }


def _insert_rows(connection: Connection, rows: Sequence[dict[str, Any]], now: datetime) -> dict[str, Begun]:
    """Insert attempts unless they exist, in one statement where the database is a server.

    Returns:
        By id, what to do with those that did not exist.
    """
    # In one order of totals and keys, so that two transactions wait for each other and never both.
    ordered = sorted(rows, key=lambda row: (row["flow_id"], row["principal"] or "", row["key"]))
    if connection.dialect.name == "sqlite":
        times = {row["id"]: now for row in ordered if insert_once(connection, calls, {**row, "begun_at": now})}
    else:
        given = {"rows": json.dumps(ordered, default=str)}
        inserted = connection.execute(_insert_rows_once(tuple(ordered[0])), given) if ordered else ()
        # PostgreSQL's own time, which the windows of limits go by whatever this machine's clock says.
        times = {row.id: row.begun_at.astimezone(UTC) for row in inserted}
    return {
        row["id"]: begun_from_row("new", {**row, "begun_at": times[row["id"]]}) for row in ordered if row["id"] in times
    }


@cache
def _insert_rows_once(names: tuple[str, ...]) -> TextClause:
    # One statement and one parameter for any number of rows. Totals are counted after the last row was inserted: nobody
    # who waits for a row here holds a total that its inserter needs.
    columns = ", ".join(names)
    rows = "json_populate_recordset(NULL::calls, CAST(:rows AS json))"
    return text(
        f"INSERT INTO calls ({columns}) SELECT {columns} FROM {rows} ON CONFLICT DO NOTHING RETURNING id, begun_at"  # noqa: S608 (names of our own)
    )


def record_refusal(connection: Connection, call: Call, refusal: Refusal, texts: TextPolicy, now: datetime) -> None:
    """Record that a call was refused, in a transaction of its own: the one that would have begun it is rolled back.

    Refusals of one flow by one limit share a row for each run, principal and hour, which tells the first of them and
    counts the others. So a loop of refused calls fills no disk.
    """
    call = _as_recorded(connection, call, now)
    hour = window_start("hour", now).isoformat()
    shared = ["refused", refusal.limit, call.flow_id, call.principal, call.run_id, hour]
    row = {
        **_row_of(call, texts),
        "id": uuid.uuid4().hex,
        "key": hashlib.sha256(json.dumps(shared).encode()).hexdigest(),
        "attempt": 0,
        "state": "refused",
        "refusals": 1,
        "reserved_tokens": 0,
        "reserved_cost": Decimal(0),
        "error_class": type(refusal).__name__,
        "error_message": texts.of_error(str(refusal)),
    }
    count = "(key, attempt) DO UPDATE SET refusals = calls.refusals + 1"
    if connection.dialect.name == "sqlite":  # PostgreSQL sets the times by itself
        row.update(begun_at=now, finished_at=now)
        count += ", finished_at = excluded.finished_at"
    insert_once(connection, calls, row, count)


def _refuse_unknown(connection: Connection, row: Mapping[Any, Any]) -> None:
    """Refuse to send a call again whose outcome is unknown, unless somebody has decided that it may be sent."""
    if connection.execute(ANSWER, {"of_call": row["id"]}).one().rejected:
        return
    if row["error_class"] == GIVEN_UP:
        raise OutcomeGivenUpError(row["id"])
    raise OutcomeUnknownError(begun_from_row("unknown", row))


def _replay(connection: Connection, row: Mapping[Any, Any]) -> Begun | None:
    """Give the answer of an answered call, unless it was rejected."""
    # A statement of its own: one that waited for the row still sees the other tables as they were before.
    answer = connection.execute(ANSWER, {"of_call": row["id"]}).one()
    if answer.rejected:
        return None
    if answer.body is None:
        raise AnswerExpiredError(row["id"])
    return begun_from_row("answered", row, raw=json.loads(answer.body))


def begun_from_row(
    state: Literal["new", "answered", "running", "unknown"], row: Mapping[Any, Any], raw: Any = None
) -> Begun:
    """Say what to do with a call, by its row; `raw` is the raw response of an answered one."""
    return Begun(
        state=state,
        call_id=row["id"],
        key=row["key"],
        attempt=row["attempt"],
        begun_at=row["begun_at"],
        mode=row["mode"],
        job_id=row.get("job_id"),
        raw=raw,
        flow_version=row["flow_version"],
        ended_at=row["finished_at"] if state == "unknown" else None,
        error_class=row["error_class"] if state == "unknown" else None,
        flow_id=row["flow_id"],
        flow_name=row["flow_name"],
        input_characters=row["input_characters"] or 0,
        reserved_cost=row["reserved_cost"],
    )
