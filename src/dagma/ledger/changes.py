"""Changes of a call's row: one statement each on PostgreSQL, where every message to the server is waited for."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, TextClause, bindparam, insert, text, update

from dagma.ledger.call import State
from dagma.ledger.database import first_row
from dagma.ledger.tables import calls, replays

CHANGE = update(calls).where(calls.c.id == bindparam("of_id"), calls.c.state.in_(bindparam("sources", expanding=True)))


def change(
    connection: Connection, call_id: str, values: Mapping[str, Any], sources: Sequence[State], body: str | None
) -> bool:
    """Move a call on.

    Args:
        connection: To the ledger's database; on SQLite in a transaction.
        call_id: The ledger's id of the call.
        values: What its row is to say; `finished_at` among it where there is a body.
        sources: The states from which it may be moved.
        body: The raw response to keep for retries, if there is one.

    Returns:
        Whether its row was in one of these states.
    """
    parameters = {"of_id": call_id, "sources": list(sources), **values}
    if body is None:
        return connection.execute(CHANGE, parameters).rowcount > 0
    if connection.dialect.name == "postgresql":
        statement = _change_and_keep(tuple(values))
        return first_row(connection, statement, {**parameters, "replay_body": body}) is not None
    if connection.execute(CHANGE, parameters).rowcount == 0:
        return False
    connection.execute(insert(replays).values(call_id=call_id, body=body, created_at=values["finished_at"]))
    return True


@cache
def _change_and_keep(names: tuple[str, ...]) -> TextClause:
    # SQLAlchemy's own would be built anew for each call.
    columns = ", ".join(f"{name} = :{name}" for name in names)
    statement = (
        f"WITH changed AS (UPDATE calls SET {columns} WHERE id = :of_id AND state = ANY(:sources) RETURNING id) "  # noqa: S608 (names of our own)
        "INSERT INTO replays (call_id, body, created_at) SELECT id, :replay_body, :finished_at FROM changed "
        "RETURNING call_id"
    )
    typed = [bindparam(name, type_=calls.c[name].type) for name in names]
    return text(statement).bindparams(*typed)
