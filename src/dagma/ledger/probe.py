"""Whether the ledger can do its work, asked without leaving anything behind."""

import uuid
from contextlib import suppress
from dataclasses import replace

from sqlalchemy import Connection, select

from dagma.ledger.call import Call
from dagma.ledger.database import HEAD
from dagma.ledger.ledger_settings import LedgerSettings
from dagma.ledger.tables import calls


class _Undone(Exception):  # noqa: N818 (not an error)
    """Raised at the end of the transaction, so that it is rolled back."""


def write_and_read(settings: LedgerSettings) -> str:
    """Write a call's row as calls do, and read it, in a transaction that is rolled back.

    Args:
        settings: The ledger's; its quotas are left out, so that none is asked for room.

    Returns:
        The version of the tables.

    Raises:
        LedgerError: The database can't be reached, is not migrated, or refuses the row.
    """
    ledger = replace(settings, quotas="").open()
    name = uuid.uuid4().hex
    call = Call(flow_id="dagma-doctor", input_hash=name, scope=f"doctor-{name}", mode="job", backend="doctor")

    def work(connection: Connection) -> None:
        ledger._admission._insert(connection, {name: call})
        connection.execute(select(calls).where(calls.c.id == name)).one()
        raise _Undone

    try:
        with suppress(_Undone):
            ledger.database.transact(work)
    finally:
        ledger.close()
    return HEAD
