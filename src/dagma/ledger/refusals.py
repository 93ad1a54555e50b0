"""Calls that a limit refused: a row each in the audit log, and no more than that however often they are tried."""

import hashlib
import json
import uuid
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection

from dagma.ledger.call import Call
from dagma.ledger.database import insert_once
from dagma.ledger.errors import FlowNotIdentifiedError, QuotaExceededError
from dagma.ledger.quotas import window_start
from dagma.ledger.tables import calls

Refusal = QuotaExceededError | FlowNotIdentifiedError


def record_refusal(
    connection: Connection, call: Call, described: Mapping[str, Any], refusal: Refusal, now: datetime
) -> None:
    """Record that a call was refused, in a transaction of its own: the one that would have begun it is rolled back.

    Refusals of one flow by one limit share a row for each run, principal and hour, which tells the first of them and
    counts the others. So a loop of refused calls fills no disk.

    Args:
        connection: In a transaction.
        call: The call, as it is recorded.
        described: What its row says of it, and the error's message.
        refusal: Why it was refused.
        now: The time by this machine.
    """
    shared = [
        "refused",
        refusal.limit,
        call.flow_id,
        call.principal,
        call.run_id,
        window_start("hour", now).isoformat(),
    ]
    row = {
        **described,
        "id": uuid.uuid4().hex,
        "key": hashlib.sha256(json.dumps(shared).encode()).hexdigest(),
        "attempt": 0,
        "state": "refused",
        "refusals": 1,
        "reserved_tokens": 0,
        "reserved_cost": Decimal(0),
        "error_class": type(refusal).__name__,
    }
    count = "(key, attempt) DO UPDATE SET refusals = calls.refusals + 1"
    if connection.dialect.name == "sqlite":  # PostgreSQL sets the times by itself
        row.update(begun_at=now, finished_at=now)
        count += ", finished_at = excluded.finished_at"
    insert_once(connection, calls, row, count)
