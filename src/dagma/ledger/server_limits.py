"""What all batches may do at a server together: so many calls in flight, so many a second, none while it asks to wait.

Batches of any worker and machine meet in the ledger's database. Each renews its share about once a second, which is one
short transaction for all calls of that second.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, insert, select, update

from dagma.ledger.database import Database, insert_once
from dagma.ledger.tables import servers, shares

# A batch renews its share far more often, unless it has died.
LEASE_SECONDS = 15.0
# How far ahead calls are given their times.
AHEAD_SECONDS = 1.0
# Of the calls in flight one in so many is left to calls that belong to no batch.
ROOM_SHARE = 8


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a batch would like.

    Attributes:
        slots: How many calls to have in flight.
        in_flight: How many it has.
        starts: How many calls to begin within the next second.
        held_seconds: For how long the server wants to be left alone, as it has told this batch.
    """

    slots: int
    in_flight: int
    starts: int
    held_seconds: float


@dataclass(frozen=True, kw_only=True)
class Share:
    """What a batch may do until it renews its share.

    Attributes:
        slots: How many calls it may have in flight.
        held_seconds: For how long the server wants to be left alone, as it has told any batch.
        starts: In how many seconds from now each of the next calls may begin; None where nothing limits that.
    """

    slots: int
    held_seconds: float
    starts: tuple[float, ...] | None


class ServerLimits:
    """The limits of one server, as one batch keeps them.

    Args:
        database: The ledger's database, where the batches meet.
        server: The server.
        holder: The batch: a name of its own, of at most 32 characters.
        most_in_flight: How many calls may be in flight. An eighth is left to calls that belong to no batch.
        most_per_second: How many calls may begin a second; None for any number.
    """

    def __init__(
        self, database: Database, server: str, holder: str, most_in_flight: int, most_per_second: float | None
    ) -> None:
        self._database = database
        self._server = server
        self._holder = holder
        self._most_in_flight = max(most_in_flight - max(most_in_flight // ROOM_SHARE, 1), 1)
        self._most_per_second = most_per_second

    def renew(self, wish: Wish) -> Share:
        """Take or renew this batch's share. All shares together are never more than the limit.

        Raises:
            LedgerError: The database is away.
        """
        return self._database.transact(lambda connection: self._renew(connection, wish))

    def give_back(self) -> None:
        """Give this batch's share to the others.

        Raises:
            LedgerError: The database is away. The share expires by itself.
        """
        mine = delete(shares).where(shares.c.server == self._server, shares.c.holder == self._holder)
        self._database.transact(lambda connection: connection.execute(mine))

    def _renew(self, connection: Connection, wish: Wish) -> Share:
        now = self._database.now(connection)
        held_until, next_start_at = self._locked(connection, now)
        if wish.held_seconds:
            held_until = max(held_until, now + timedelta(seconds=wish.held_seconds))
        slots = self._take_slots(connection, wish, now)
        if self._most_per_second is not None:
            # A batch of another setting, such as one call in an hour, may have put it further away.
            next_start_at = min(next_start_at, now + timedelta(seconds=AHEAD_SECONDS + 1 / self._most_per_second))
        first = max(next_start_at, held_until, now)
        starts, next_start_at = self._take_starts(wish.starts if slots else 0, first, now)
        values = {"held_until": held_until, "next_start_at": next_start_at}
        connection.execute(update(servers).where(servers.c.server == self._server).values(values))
        return Share(slots=slots, held_seconds=max((held_until - now).total_seconds(), 0.0), starts=starts)

    def _locked(self, connection: Connection, now: datetime) -> tuple[datetime, datetime]:
        """Let one batch at a time go on from here; give what the others have left."""
        query = select(servers.c.held_until, servers.c.next_start_at).where(servers.c.server == self._server)
        row = connection.execute(query.with_for_update()).first()
        if row is None:
            insert_once(connection, servers, {"server": self._server, "held_until": now, "next_start_at": now})
            row = connection.execute(query.with_for_update()).one()
        return row.held_until, row.next_start_at

    def _take_slots(self, connection: Connection, wish: Wish, now: datetime) -> int:
        of_server = shares.c.server == self._server
        connection.execute(delete(shares).where(of_server, shares.c.expires_at < now))
        others = connection.execute(
            select(shares.c.wants, shares.c.slots).where(of_server, shares.c.holder != self._holder)
        ).all()
        # Each of the others may have an equal part. A batch that waits for its turn wants the first that is free.
        equal = max(self._most_in_flight // (len(others) + 1), 1)
        fair = max(self._most_in_flight - sum(min(other.wants, equal) for other in others), 1)
        free = self._most_in_flight - sum(other.slots for other in others)
        slots: int = max(min(wish.slots, fair, free), 0)
        # Calls in flight can't be taken back: what others should get of them they get when they have ended.
        taken = max(slots, wish.in_flight)
        values = {"wants": wish.slots, "slots": taken, "expires_at": now + timedelta(seconds=LEASE_SECONDS)}
        mine = update(shares).where(of_server, shares.c.holder == self._holder)
        if connection.execute(mine.values(values)).rowcount == 0:
            connection.execute(insert(shares).values(server=self._server, holder=self._holder, **values))
        return slots

    def _take_starts(self, count: int, first: datetime, now: datetime) -> tuple[tuple[float, ...] | None, datetime]:
        if self._most_per_second is None:
            return None, first
        starts: list[float] = []
        while len(starts) < count and (seconds := (first - now).total_seconds()) <= AHEAD_SECONDS:
            starts.append(seconds)
            first += timedelta(seconds=1 / self._most_per_second)
        return tuple(starts), first
