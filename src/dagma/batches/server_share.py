"""The part that a batch has in what all batches may do at its server."""

import logging
import math
import time
import uuid

from dagma import environment
from dagma.batches.pace import Pace
from dagma.ledger import Ledger, LedgerError
from dagma.ledger.server_limits import ServerLimits, Wish

DEFAULT_IN_FLIGHT = 32
MOST_IN_FLIGHT = 10_000
LEAST_PER_SECOND = 0.001
RENEW_SECONDS = 1.0
# While others have what this batch wants, or the server has asked to slow down.
HURRIED_SECONDS = 0.25
# Clocks and messages make the same hold look longer or shorter by so much.
SAME_HOLD_SECONDS = 0.5

logger = logging.getLogger(__name__)


class ServerShare:
    """Keeps a batch's pace within what the limits of its server leave for it.

    Args:
        ledger: Where all batches meet.
        server: What they share: the backend's identity.
        pace: The batch's pace.
    """

    def __init__(self, ledger: Ledger, server: str, pace: Pace) -> None:
        self._limits = ServerLimits(
            ledger.database, server, uuid.uuid4().hex, in_flight_from_environment(), per_second_from_environment()
        )
        self._pace = pace
        self._renewed_at = -math.inf
        self._known_hold_ends = 0.0

    def keep(self, in_flight: int, has_more: bool) -> None:
        """Renew the share where it is time: to be called several times a second.

        Args:
            in_flight: How many calls the batch has in flight.
            has_more: Whether it has more to make.
        """
        pace, now = self._pace, time.monotonic()
        # A hold that the others know is not told them again: counted from later each time, it would never end.
        has_news = pace.seconds_held > 0 and now + pace.seconds_held > self._known_hold_ends + SAME_HOLD_SECONDS
        if now - self._renewed_at < (HURRIED_SECONDS if pace.is_short or has_news else RENEW_SECONDS):
            return
        self._renewed_at = now
        wish = Wish(
            slots=pace.wanted if has_more else in_flight,
            in_flight=in_flight,
            starts=pace.starts_wanted,
            held_seconds=pace.seconds_held if has_news else 0.0,
        )
        try:
            share = self._limits.renew(wish)
        except LedgerError as error:
            # The calls of the batch will tell, and more patiently.
            logger.warning("The batch goes on with the share of its server that it has: %s", error)
            return
        pace.bound(share.slots)
        pace.schedule(share.starts)
        # Counted from before the ledger was asked, so that the time that it took does not prolong the hold.
        self._known_hold_ends = now + share.held_seconds
        held_seconds = self._known_hold_ends - time.monotonic()
        if held_seconds > pace.seconds_held + SAME_HOLD_SECONDS:
            pace.slow_down(held_seconds)

    def give_back(self) -> None:
        """Leave the share to the other batches."""
        try:
            self._limits.give_back()
        except LedgerError as error:
            logger.debug("The share of the batch expires by itself: %s", error)


def in_flight_from_environment() -> int:
    """Read how many calls may be in flight at a server from `DAGMA_MAX_IN_FLIGHT`.

    Raises:
        SettingError: It is no whole number from 1 to 10,000.
    """
    number = environment.positive_number("DAGMA_MAX_IN_FLIGHT", default=float(DEFAULT_IN_FLIGHT))
    if number != int(number) or number > MOST_IN_FLIGHT:
        raise environment.SettingError(
            f"DAGMA_MAX_IN_FLIGHT is {number:g}. Write a whole number from 1 to {MOST_IN_FLIGHT}."
        )
    return int(number)


def per_second_from_environment() -> float | None:
    """Read how many calls may begin a second at a server from `DAGMA_MAX_PER_SECOND`; None for any number.

    Raises:
        SettingError: It is no number from 0.001.
    """
    if environment.text("DAGMA_MAX_PER_SECOND") is None:
        return None
    number = environment.positive_number("DAGMA_MAX_PER_SECOND", default=10.0)
    if number < LEAST_PER_SECOND:
        raise environment.SettingError(f"DAGMA_MAX_PER_SECOND is {number:g}. Write a number from {LEAST_PER_SECOND}.")
    return number
