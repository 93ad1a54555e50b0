"""Changes of calls' rows: one statement each on PostgreSQL, where every message to the server is waited for."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import Connection, TextClause, bindparam, insert, text, update
from sqlalchemy.dialects import postgresql

from dagma.ledger.call import State
from dagma.ledger.tables import calls, replays

ENDS_FROM: tuple[State, ...] = ("begun", "submitted", "unknown")
"""The states of calls that can still end."""
CHANGE = update(calls).where(calls.c.id == bindparam("of_id"), calls.c.state.in_(bindparam("sources", expanding=True)))


def change(
    connection: Connection, call_id: str, values: Mapping[str, Any], sources: Sequence[State], now: datetime
) -> bool:
    """Move a call on, and tell whether its row was in one of the states that it may be moved from.

    `values` have its new `state`. `now` is the time of the change on SQLite; PostgreSQL goes by its own.
    """
    parameters = {"of_id": call_id, "sources": list(sources), **values}
    if connection.dialect.name == "sqlite":
        parameters["submitted_at" if values["state"] == "submitted" else "finished_at"] = now
    return connection.execute(CHANGE, parameters).rowcount > 0


@dataclass(frozen=True)
class Ending:
    """The end of an answered call."""

    call_id: str
    values: Mapping[str, Any]
    body: str
    """The raw response as JSON, whose hash is the call's `answer_hash`."""
    keep_seconds: float


def end_all(connection: Connection, endings: Sequence[Ending], now: datetime) -> set[str]:
    """End answered calls and keep their raw responses, in one statement on PostgreSQL; give the ids of those ended."""
    if connection.dialect.name == "sqlite":
        changed = [each for each in endings if change(connection, each.call_id, each.values, ENDS_FROM, now)]
        for each in changed:
            times = {"created_at": now, "expires_at": now + timedelta(seconds=each.keep_seconds)}
            connection.execute(insert(replays).values(call_id=each.call_id, body=each.body, **times))
        return {each.call_id for each in changed}
    names = tuple(dict.fromkeys(name for each in endings for name in each.values))
    rows = [
        {**each.values, "id": each.call_id, "replay_body": each.body, "keep_seconds": each.keep_seconds}
        for each in endings
    ]
    ids = [each.call_id for each in endings]
    return set(connection.scalars(_end_all(names), {"rows": json.dumps(rows, default=str), "ids": ids}))


@cache
def _end_all(names: tuple[str, ...]) -> TextClause:
    # What one of them does not say stays as it is.
    columns = ", ".join(f"{name} = COALESCE(given.{name}, calls.{name})" for name in names)
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    types = ", ".join(f"{name} {calls.c[name].type.compile(dialect)}" for name in names)
    sources = ", ".join(f"'{state}'" for state in ENDS_FROM)
    statement = (
        f"WITH given AS (SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS given ({types}, "  # noqa: S608 (names of our own)
        "id text, replay_body text, keep_seconds float)), "
        # The ids once more, since PostgreSQL takes any JSON for a hundred rows and would read the whole table.
        f"changed AS (UPDATE calls SET {columns} FROM given WHERE calls.id = given.id AND calls.id = ANY(:ids) "
        f"AND calls.state IN ({sources}) RETURNING calls.id, replay_body, keep_seconds) "
        "INSERT INTO replays (call_id, body, expires_at) "
        "SELECT id, replay_body, ledger_now() + make_interval(secs => keep_seconds) FROM changed RETURNING call_id"
    )
    return text(statement)
