"""Errors of the ledger, one per cause; each message says the cause and the fix."""

from datetime import datetime
from decimal import Decimal

from dagma.ledger.call import Begun
from dagma.ledger.formats import show_decimal


class LedgerError(Exception):
    """Stand for every error that the ledger raises."""


class LedgerSettingsError(LedgerError):
    """A setting of the ledger (URL, quotas, prices, texts) can't be read."""


class LedgerNotMigratedError(LedgerError):
    """The database's tables are missing, or of another version than this code."""


class LedgerUnavailableError(LedgerError):
    """The database can't be reached, or refused a statement."""


class NoSuchRecordError(LedgerError):
    """The ledger has no call, run or flow of that name, or several; the message lists them."""


class CallInFlightError(LedgerError):
    """Another caller that is alive is sending this very call now: wait for it and begin again."""

    def __init__(self, call_id: str):
        super().__init__(
            f"Call {call_id} is being sent by another caller that is alive. "
            "Begin again later, or pass wait_seconds to wait for its answer."
        )


class OutcomeUnknownError(LedgerError):
    """An earlier attempt was sent and nobody saw its end."""

    def __init__(self, begun: Begun, why: str = ""):
        """Name the call, and why its outcome could not be found out, if that was tried."""
        self.begun = begun
        self.call_id = begun.call_id
        super().__init__(
            f"Call {self.call_id} was sent, and its caller died or lost the connection before the answer: it may have "
            f"been paid for. {f'{why} ' if why else ''}{both_ways_on(self.call_id)}"
        )


class OutcomeGivenUpError(LedgerError):
    """An earlier attempt was sent and nobody saw its end, and somebody has decided not to send the call again."""

    def __init__(self, call_id: str):
        super().__init__(
            f"Call {call_id} was sent, nobody saw its end, and it was given up: it is not sent again. To send it all "
            f"the same, run `dagma ledger resolve {call_id[:8]} --resend` and retry the run from failure."
        )


def both_ways_on(call_id: str) -> str:
    """Say what a person can do about a call whose outcome is unknown."""
    return (
        f"To send it again, run `dagma ledger resolve {call_id[:8]} --resend` and retry the run from failure; to let "
        f"it fail for good, run `dagma ledger resolve {call_id[:8]} --give-up`."
    )


class AnswerExpiredError(LedgerError):
    """The call was answered, and the raw response that a retry needs is past its retention."""

    def __init__(self, call_id: str):
        super().__init__(
            f"Call {call_id} was answered, but its raw response is past its retention and can't be given to a "
            "retry (DAGMA_LEDGER_REPLAY_HOURS). Re-execute the run from scratch to send the call again."
        )


class FlowNotIdentifiedError(LedgerError):
    """A limit is for a flow by name or id, and whether this call is for that flow can't be told; nothing was sent."""

    def __init__(self, limit: str, flow: str):
        """Name the limit as the settings do, and the flow as the call does."""
        self.limit = limit
        super().__init__(
            f"Quota {limit!r} may be for flow {flow!r}, which could not be looked up, and which the ledger does not "
            "know either. Nothing was sent. Try again later, or name the flow in DAGMA_QUOTAS as the call does."
        )


class QuotaExceededError(LedgerError):
    """A limit leaves no room for this call; nothing was sent."""

    def __init__(self, limit: str, used: Decimal, needed: Decimal, frees_at: datetime):
        """Say which limit, how much of it is used, and when it frees.

        Args:
            limit: The limit as it is written in the settings, such as `calls=1000/day`.
            used: What calls that finished or are in flight use of it (calls, tokens or USD).
            needed: What this call would have added.
            frees_at: When the limit's window ends and it counts from 0 again (UTC).
        """
        self.limit = limit
        self.used = used
        self.needed = needed
        self.frees_at = frees_at
        super().__init__(
            f"Quota {limit!r} leaves no room: {show_decimal(used)} used, {show_decimal(needed)} needed for this call. "
            f"It frees at {frees_at:%Y-%m-%d %H:%M} UTC. Nothing was sent. Wait, or raise it in DAGMA_QUOTAS."
        )
