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

CHANGE = update(calls).where(calls.c.id == bindparam("of_id"), calls.c.state.in_(bindparam("sources", expanding=True)))


@dataclass(frozen=True)
class Replay:
    """A raw response to keep for retries.

    Attributes:
        body: The response as JSON, whose hash is the call's `answer_hash`.
        keep_seconds: How long to keep it.
    """

    body: str
    keep_seconds: float


def change(
    connection: Connection,
    call_id: str,
    values: Mapping[str, Any],
    sources: Sequence[State],
    now: datetime,
    replay: Replay | None = None,
) -> bool:
    """Move a call on.

    Args:
        connection: To the ledger's database; on SQLite in a transaction.
        call_id: The ledger's id of the call.
        values: What its row is to say, its `state` among it. PostgreSQL adds the time of the change.
        sources: The states from which it may be moved.
        now: The time of the change on SQLite.
        replay: The raw response to keep for retries, if there is one.

    Returns:
        Whether its row was in one of these states.
    """
    parameters = {"of_id": call_id, "sources": list(sources), **values}
    if connection.dialect.name == "postgresql":
        if replay is None:
            return connection.execute(CHANGE, parameters).rowcount > 0
        kept = {"replay_body": replay.body, "keep_seconds": replay.keep_seconds}
        return connection.execute(_change_and_keep(tuple(values)), {**parameters, **kept}).first() is not None
    parameters["submitted_at" if values["state"] == "submitted" else "finished_at"] = now
    if connection.execute(CHANGE, parameters).rowcount == 0:
        return False
    if replay is not None:
        times = {"created_at": now, "expires_at": now + timedelta(seconds=replay.keep_seconds)}
        connection.execute(insert(replays).values(call_id=call_id, body=replay.body, **times))
    return True


@dataclass(frozen=True)
class Ending:
    """The end of an answered call.

    Attributes:
        call_id: The ledger's id of the call.
        values: What its row is to say.
        sources: The states from which it may end.
        replay: The raw response to keep for retries.
    """

    call_id: str
    values: Mapping[str, Any]
    sources: Sequence[State]
    replay: Replay


def end_all(connection: Connection, endings: Sequence[Ending], now: datetime) -> set[str]:
    """End calls, in one statement on PostgreSQL.

    Args:
        connection: To the ledger's database; on SQLite in a transaction.
        endings: The ends.
        now: The time of the ends on SQLite.

    Returns:
        The ids of those whose row was in one of its states.
    """
    if connection.dialect.name != "postgresql":
        return {
            each.call_id
            for each in endings
            if change(connection, each.call_id, each.values, each.sources, now, each.replay)
        }
    names = tuple(dict.fromkeys(name for each in endings for name in each.values))
    rows = [
        {
            **each.values,
            "id": each.call_id,
            "sources": list(each.sources),
            "replay_body": each.replay.body,
            "keep_seconds": each.replay.keep_seconds,
        }
        for each in endings
    ]
    return set(connection.scalars(_end_all(names), {"rows": json.dumps(rows, default=str)}))


@cache
def _end_all(names: tuple[str, ...]) -> TextClause:
    # What one of them does not say stays as it is.
    columns = ", ".join(f"{name} = COALESCE(given.{name}, calls.{name})" for name in names)
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    types = ", ".join(f"{name} {calls.c[name].type.compile(dialect)}" for name in names)
    statement = (
        f"WITH given AS (SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS given ({types}, "  # noqa: S608 (names of our own)
        "id text, sources text[], replay_body text, keep_seconds float)), "
        f"changed AS (UPDATE calls SET {columns} FROM given WHERE calls.id = given.id "
        "AND calls.state = ANY(given.sources) RETURNING calls.id, replay_body, keep_seconds) "
        "INSERT INTO replays (call_id, body, expires_at) "
        "SELECT id, replay_body, ledger_now() + make_interval(secs => keep_seconds) FROM changed RETURNING call_id"
    )
    return text(statement)


@cache
def _change_and_keep(names: tuple[str, ...]) -> TextClause:
    # SQLAlchemy's own would be built anew for each call.
    columns = ", ".join(f"{name} = :{name}" for name in names)
    statement = (
        f"WITH changed AS (UPDATE calls SET {columns} WHERE id = :of_id AND state = ANY(:sources) RETURNING id) "  # noqa: S608 (names of our own)
        "INSERT INTO replays (call_id, body, expires_at) "
        "SELECT id, :replay_body, ledger_now() + make_interval(secs => :keep_seconds) FROM changed RETURNING call_id"
    )
    typed = [bindparam(name, type_=calls.c[name].type) for name in names]
    return text(statement).bindparams(*typed)
