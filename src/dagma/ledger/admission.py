"""Letting a call in: is it new, answered already, running as a job, or in another caller's hands?"""

import json
import logging
import os
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any, Literal

from sqlalchemy import Connection, Row, Table, TextClause, bindparam, select, text

from dagma.backoff import Backoff
from dagma.ledger.call import Begun, Call
from dagma.ledger.call_row import row_of, storable_call
from dagma.ledger.database import Database
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
from dagma.ledger.flow_identity import identify
from dagma.ledger.live_callers import Presence
from dagma.ledger.lost_callers import record_lost
from dagma.ledger.meter import Meter
from dagma.ledger.refusals import Refusal, record_refusal
from dagma.ledger.state_changes import change
from dagma.ledger.tables import calls, rejections, replays
from dagma.ledger.texts import TextPolicy

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

logger = logging.getLogger(__name__)


class Admission:
    """Decides what becomes of a call, and commits the decision before anything is sent."""

    def __init__(
        self,
        database: Database,
        presence: Presence,
        meter: Meter,
        texts: TextPolicy,
        on_unknown: str,
        patience_seconds: float,
        clock: Callable[[], datetime],
    ):
        """Join what a decision needs; `Ledger` says what each is."""
        self._database = database
        self._presence = presence
        self._meter = meter
        self._texts = texts
        self._on_unknown = on_unknown
        self._patience_seconds = patience_seconds
        self._clock = clock
        self._unconfirmed: dict[tuple[int, str], str] = {}
        """Ids, by process and key, of calls that may have begun without a reply: nothing was sent for them."""

    def admit(self, call: Call, wait_seconds: float) -> Begun:
        """Let a call in, as `Ledger.begin` says.

        Args:
            call: The call.
            wait_seconds: How long to wait for another live caller of it, in seconds.

        Returns:
            What to do with it.
        """
        deadline = time.monotonic() + wait_seconds
        attempt = 0
        while True:
            attempt += 1
            pause = BACKOFF.seconds(attempt)
            try:
                return self._admit_now(call)
            except CallInFlightError:
                if time.monotonic() + pause > deadline:
                    raise
            except (QuotaExceededError, FlowNotIdentifiedError) as refusal:
                self._record_refusal(call, refusal)
                raise
            time.sleep(pause)

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
                self._take_back(call_id)
            if call.mode == "direct" and (is_interrupt or isinstance(error, LedgerUnavailableError)):
                self._unconfirmed[own] = call_id
            self._presence.release(call_id)
            raise

    def _decide(self, connection: Connection, call: Call, call_id: str) -> Begun | None:
        """Insert the first attempt, or go by the last one; None after a change to commit before deciding again."""
        if call.mode == "direct":
            self._presence.hold(call_id)  # before anybody can see the row
        attempt = 1
        while not (begun := self._insert(connection, call, call_id, attempt)):
            last = connection.execute(LAST_ATTEMPT, {"of_key": call.key}).one()
            if last.id == call_id and last.state == "begun":  # committed before, and the reply was lost
                return begun_from_row("new", last)
            if last.state in ("begun", "submitted"):
                if last.mode == "job":
                    return begun_from_row("running", last)
                self._declare_lost(connection, last.id)
                return None
            if last.state == "answered" and (replay := _replay(connection, last)):
                return replay
            if last.state == "unknown":
                self._refuse_unknown(connection, last, call)
            if last.id == call_id:  # the same, and others have recorded an end since: the next attempt has another id
                return None
            attempt = last.attempt + 1
        return begun

    def _refuse_unknown(self, connection: Connection, row: Row[Any], call: Call) -> None:
        """Refuse to send a call again whose outcome is unknown, unless somebody has decided that it may be sent."""
        if connection.execute(ANSWER, {"of_call": row.id}).one().rejected:
            return
        if row.error_class == GIVEN_UP:
            raise OutcomeGivenUpError(row.id)
        if (call.on_unknown or self._on_unknown) == "fail":
            raise OutcomeUnknownError(begun_from_row("unknown", row))

    def _insert(self, connection: Connection, call: Call, call_id: str, attempt: int) -> Begun | None:
        """Insert an attempt unless it exists; the unique key makes concurrent callers take turns here."""
        now, key = self._clock(), call.key
        call = identify(connection, storable_call(call), now)
        reservation = self._meter.reserve(connection, call, now)
        row = {
            **row_of(call, self._texts),
            "id": call_id,
            "key": key,
            "attempt": attempt,
            "state": "begun",
            "reserved_tokens": reservation.tokens,
            "reserved_cost": reservation.cost,
        }
        if self._database.is_sqlite:
            row["begun_at"] = now
        inserted = insert_once(connection, calls, row, returning="begun_at")
        if inserted is None:
            return None
        # PostgreSQL's own time, which the windows of limits go by whatever this machine's clock says.
        begun_at = now if self._database.is_sqlite else inserted[0].astimezone(UTC)
        self._meter.check(connection, call, reservation, begun_at)
        return Begun(
            state="new",
            call_id=call_id,
            key=key,
            attempt=attempt,
            begun_at=begun_at,
            mode=call.mode,
            flow_id=call.flow_id,
            flow_name=call.flow_name,
            input_characters=row["input_characters"],
            reserved_cost=reservation.cost,
        )

    def _declare_lost(self, connection: Connection, call_id: str) -> None:
        """Record that a direct call's sender died, unless it lives."""
        if self._presence.is_held(call_id, connection):
            raise CallInFlightError(call_id)
        record_lost(connection, call_id, self._clock())

    def _take_back(self, call_id: str) -> None:
        """Record that nothing was sent, after an interrupt between the commit and the return."""
        values = {"state": "failed", "error_class": "Interrupted"}
        with suppress(LedgerError):
            self._database.transact(lambda connection: change(connection, call_id, values, ("begun",), self._clock()))

    def _record_refusal(self, call: Call, refusal: Refusal) -> None:
        record = partial(record_refusal, call=call, refusal=refusal, texts=self._texts, now=self._clock())
        try:
            self._database.transact(record, min(self._patience_seconds, REFUSAL_PATIENCE_SECONDS))
        except LedgerError as missed:
            logger.warning("That a call was refused is not recorded: %s", missed)


def insert_once(connection: Connection, table: Table, values: Mapping[str, Any], returning: str) -> Any:
    """Insert a row unless its key is taken, waiting for whoever is inserting the same key now.

    Args:
        connection: In a transaction.
        table: One of the ledger's tables.
        values: The row.
        returning: The column to return.

    Returns:
        A row with that column; None where nothing was inserted.
    """
    return connection.execute(_insert_once(table, tuple(values), returning), values).first()


@cache
def _insert_once(table: Table, names: tuple[str, ...], returning: str) -> TextClause:
    # Both databases read this, and SQLAlchemy's own ON CONFLICT is compiled anew each time, which takes a millisecond.
    columns, values = ", ".join(names), ", ".join(f":{name}" for name in names)
    statement = f"INSERT INTO {table.name} ({columns}) VALUES ({values}) ON CONFLICT DO NOTHING RETURNING {returning}"  # noqa: S608 (names of our own)
    return text(statement).bindparams(*(bindparam(name, type_=table.c[name].type) for name in names))


def _replay(connection: Connection, row: Row[Any]) -> Begun | None:
    """Give the answer of an answered call, unless it was rejected."""
    # A statement of its own: one that waited for the row still sees the other tables as they were before.
    answer = connection.execute(ANSWER, {"of_call": row.id}).one()
    if answer.rejected:
        return None
    if answer.body is None:
        raise AnswerExpiredError(row.id)
    return begun_from_row("answered", row, raw=json.loads(answer.body))


def begun_from_row(state: Literal["new", "answered", "running", "unknown"], row: Row[Any], raw: Any = None) -> Begun:
    """Say what to do with a call.

    Args:
        state: As in `Begun`.
        row: The call's row.
        raw: The raw response of an answered call.
    """
    return Begun(
        state=state,
        call_id=row.id,
        key=row.key,
        attempt=row.attempt,
        begun_at=row.begun_at,
        mode=row.mode,
        job_id=row.job_id,
        raw=raw,
        flow_version=row.flow_version,
        ended_at=row.finished_at if state == "unknown" else None,
        error_class=row.error_class if state == "unknown" else None,
        flow_id=row.flow_id,
        flow_name=row.flow_name,
        input_characters=row.input_characters or 0,
        reserved_cost=row.reserved_cost,
    )
