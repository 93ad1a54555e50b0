"""Which flow a call is for, where its server could not be asked."""

from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, or_, select

from dagma.ledger.call import Call
from dagma.ledger.columns import UtcTime
from dagma.ledger.quotas import canonical_flow
from dagma.ledger.tables import calls

# As far back as the longest window of a limit, so that what is not found costs no walk through all that ever was.
KNOWN_DAYS = 31
NEWEST_OF_ADDRESS = (
    select(calls.c.flow_id, calls.c.flow_name)
    .where(
        or_(calls.c.flow_id == bindparam("address"), calls.c.flow_name == bindparam("address")),
        calls.c.backend == bindparam("of_backend"),
        # Only calls whose flow was looked up have one.
        calls.c.flow_version.is_not(None),
        calls.c.begun_at >= bindparam("since", type_=UtcTime),
    )
    .order_by(calls.c.begun_at.desc())
    .limit(1)
)


def identify(connection: Connection, call: Call, now: datetime) -> Call:
    """Give a call the id and name that its flow had when it was last looked up.

    Args:
        connection: In the transaction that begins the call.
        call: The call.
        now: The time.

    Returns:
        The call as it is, if its flow was looked up; if it is not known, with its id as Langflow writes it.
    """
    if call.flow_looked_up:
        return call
    address = call.flow_address or call.flow_id
    values = {"address": canonical_flow(address), "of_backend": call.backend, "since": now - timedelta(days=KNOWN_DAYS)}
    known = connection.execute(NEWEST_OF_ADDRESS, values).first()
    if known is None:
        return replace(call, flow_id=canonical_flow(call.flow_id), flow_address=address)
    return replace(call, flow_id=known.flow_id, flow_name=known.flow_name, flow_address=address, flow_looked_up=True)
