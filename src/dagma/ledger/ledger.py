"""The ledger: begin a call, say how it ended, and never pay for an answer twice."""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, text

from dagma.ledger.admission import GIVEN_UP, Admission
from dagma.ledger.call import MOST_TOKENS, Begun, Call, State, Usage, fill_in, reported
from dagma.ledger.database import Database, insert_once, utc_now
from dagma.ledger.errors import LedgerError, LedgerSettingsError
from dagma.ledger.live_callers import presence_for
from dagma.ledger.prices import Prices
from dagma.ledger.quotas import Meter, parse_quotas
from dagma.ledger.state_changes import ENDS_FROM, Ending, change, end_all
from dagma.ledger.tables import calls, rejections, replays
from dagma.ledger.texts import TextPolicy, storable

ON_UNKNOWN = ("fail", "resend")
DEFAULT_REPLAY_HOURS = 72.0
MOST_REPLAY_HOURS = 87_600
DEFAULT_PATIENCE_SECONDS = 30.0
MOST_SECONDS = 10**9
EXPIRE = text("SELECT ledger_expire_replays()")
STATE = select(calls.c.state).where(calls.c.id == bindparam("of_call"))

logger = logging.getLogger(__name__)


class Ledger:
    """The table of every call: audit log, quota meter and exactly-once memory.

    Threads may share one. Processes may fork with one: each opens its own connections.
    """

    def __init__(
        self,
        url: str,
        *,
        texts: TextPolicy | str = "redacted",
        on_unknown: str = "fail",
        quotas: str = "",
        prices: str = "",
        replay_hours: float = DEFAULT_REPLAY_HOURS,
        patience_seconds: float = DEFAULT_PATIENCE_SECONDS,
        clock: Callable[[], datetime] = utc_now,
    ):
        """Set the ledger up; nothing is opened before the first call.

        Args:
            url: `postgresql://user:password@host/database`, or `sqlite:////path.db`.
            texts: Which inputs, answers and error messages are kept: `full`, `redacted` or `none`.
            on_unknown: What callers are to do about an `OutcomeUnknownError`: `fail`, or `resend` and maybe pay twice.
            quotas: Limits, as `parse_quotas` reads them.
            prices: Own prices, as `Prices` reads them.
            replay_hours: How long raw responses are kept for retries, in hours; ten years at most.
            patience_seconds: How long to wait for a database that is away or restarting.
            clock: Gives the time of this machine, aware. Calls on PostgreSQL are timed by the server's.

        Raises:
            LedgerSettingsError: A setting can't be read.
        """
        if on_unknown not in ON_UNKNOWN:
            raise LedgerSettingsError(
                f"DAGMA_LEDGER_ON_UNKNOWN is {on_unknown!r}. Set it to one of: {', '.join(ON_UNKNOWN)}."
            )
        if not 0 < replay_hours <= MOST_REPLAY_HOURS:  # not a number is neither
            raise LedgerSettingsError(
                f"DAGMA_LEDGER_REPLAY_HOURS is {replay_hours}; a retry needs answers to be kept for a while. Write "
                f"hours from more than 0 to {MOST_REPLAY_HOURS} (ten years)."
            )
        self.database = Database(url, clock)
        self.texts = TextPolicy(texts) if isinstance(texts, str) else texts
        self.prices = Prices(prices)
        self.limits = parse_quotas(quotas)
        self.on_unknown = on_unknown
        self._presence = presence_for(self.database)
        self._meter = Meter(self.limits)
        self._admission = Admission(self.database, self._presence, self._meter, self.texts, patience_seconds)
        self._replay_hours = replay_hours
        self._patience_seconds = patience_seconds
        self._warned_of: set[tuple[str, str | None]] = set()

    def begin(self, call: Call, *, wait_seconds: float = 0.0) -> Begun:
        """Let a call in, before anything is sent; what it returns is committed.

        Args:
            call: The call.
            wait_seconds: How long to wait while another live caller sends the same call, in seconds.

        Returns:
            Whether to send it, to follow its job, or to use the answer that an earlier attempt got.

        Raises:
            QuotaExceededError: A limit leaves no room.
            FlowNotIdentifiedError: Whether a limit applies can't be told.
            OutcomeUnknownError: An earlier attempt may have been paid for. After `resend`, `begin` sends it again.
            OutcomeGivenUpError: The same, and somebody has decided that it stays so.
            CallInFlightError: Another live caller is sending it, and `wait_seconds` are over.
            AnswerExpiredError: It was answered longer than `replay_hours` ago.
            LedgerUnavailableError: The database stayed away.
        """
        return self._admission.admit(call, wait_seconds)

    @contextmanager
    def attempt(self, call: Call, *, wait_seconds: float = 0.0) -> Iterator[Begun]:
        """Begin a call as `begin` does, and let go of it at the end of the block, however that comes.

        An exception that leaves the block makes a direct call `unknown`, unless it was recorded as ended before. A job
        goes on, and the next `begin` finds it.
        """
        begun = self.begin(call, wait_seconds=wait_seconds)
        try:
            yield begun
        except BaseException as error:
            # A call whose end is recorded is marked no more.
            if begun.state == "new" and begun.mode == "direct" and self._presence.is_mine(begun.call_id):
                values = {"state": "unknown", **self._error(type(error).__name__, str(error))}
                with suppress(LedgerError):
                    self._move(begun, values, ("begun",))
            raise
        finally:
            self.release(begun)

    def submitted(self, begun: Begun, job_id: str) -> None:
        """Record the job of a call, as soon as the server has named it."""
        self._move(begun, {"state": "submitted", "job_id": storable(job_id)}, ("begun",))

    def finish(
        self,
        begun: Begun,
        *,
        raw: Any,
        answer: str | None = None,
        usages: Sequence[Usage] = (),
        session_id: str | None = None,
        duration_seconds: float | None = None,
        answer_characters: int | None = None,
    ) -> None:
        """Record the answer, and keep the raw response for retries.

        Usage that was not reported is estimated, and the row says so: see `dagma.ledger.call.fill_in`.

        Args:
            begun: What `begin` gave.
            raw: The raw response; anything that JSON can hold.
            answer: Its text, kept as the setting `texts` says.
            usages: What each model used, as far as it was reported.
            session_id: The session that the server used.
            duration_seconds: How long the server took; by default the time since the call began.
            answer_characters: How long the answer is, where it is no text; by default as long as the raw response.
        """
        now = self.database.clock()
        body = json.dumps(raw)
        usages = reported(usages, answer)
        if answer is not None:
            answer_characters = len(answer)
        used = self._used(usages, now)
        values = {
            **used,
            **self._estimated(begun, usages, used, len(body) if answer_characters is None else answer_characters, now),
            "state": "answered",
            "answer_hash": hashlib.sha256(body.encode()).hexdigest(),
            "answer_text": self.texts.of_text(answer),
        }
        if session_id is not None:
            values["session_id"] = storable(session_id)
        if duration_seconds is not None and 0 <= duration_seconds < MOST_SECONDS:
            values["duration_ms"] = round(duration_seconds * 1000)
        self._end_answered(
            begun, Ending(begun.call_id, self._timed(begun, now, values), body, self._replay_hours * 3600)
        )

    def fail(self, begun: Begun, error_class: str, message: str, *, usages: Sequence[Usage] = ()) -> None:
        """Record that the call failed for certain; a retry may send it again.

        Args:
            begun: What `begin` gave.
            error_class: The error's class name.
            message: The error's message, of which the ledger keeps at most 1,000 characters.
            usages: What was used all the same, as far as it is known.
        """
        now = self.database.clock()
        self._end(begun, now, {**self._used(usages, now), "state": "failed", **self._error(error_class, message)})

    def unknown(self, begun: Begun, error_class: str, message: str) -> None:
        """Record that the call was sent and nobody saw its end: a read time-out, a connection that broke."""
        self._end(begun, self.database.clock(), {"state": "unknown", **self._error(error_class, message)})

    def cancelled(self, begun: Begun, *, usages: Sequence[Usage] = ()) -> None:
        """Record that the call was cancelled on purpose, and its job stopped; `usages` is what is known of its use."""
        now = self.database.clock()
        self._end(begun, now, {**self._used(usages, now), "state": "cancelled"})

    def reject(self, begun: Begun, reason: str) -> None:
        """Record that an answer is of no use (it can't be parsed, a check failed): the next `begin` sends anew.

        Without this a retry would get the same bad answer again. The audit row stays as it is. The reason is kept as
        error messages are.
        """
        self._reject(begun, reason, "answered")

    def resend(self, begun: Begun, reason: str) -> None:
        """Record the decision that a call in the state `unknown` may be sent again, and be paid for twice.

        The reason says who decided so, and where. An answer that came in the meantime stays: the next `begin` gives it.
        """
        self._reject(begun, reason, "unknown")

    def give_up(self, begun: Begun, reason: str) -> None:
        """Record the decision that a call in the state `unknown` is not sent again.

        The reason says who decided so, and where.
        """
        self.unknown(begun, GIVEN_UP, reason)

    def release(self, begun: Begun) -> None:
        """Let go of a call without saying how it ended, as a caller that dies does.

        The next `begin` finds a job again, and takes a direct call as `unknown`. Not needed after a call ended.
        """
        self._presence.release(begun.call_id)

    def expire_replays(self) -> int:
        """Drop raw responses that are past their retention, and return how many: for the nightly pruning."""

        def work(connection: Connection) -> int:
            if not self.database.is_sqlite:
                # The application's role has no right to delete any other.
                return int(connection.execute(EXPIRE).scalar_one())
            return connection.execute(delete(replays).where(replays.c.expires_at < self.database.clock())).rowcount

        return self.database.transact(work, self._patience_seconds, may_take_long=True)

    def close(self) -> None:
        """Close this process's connections."""
        self.database.close()

    def _end(self, begun: Begun, now: datetime, values: Mapping[str, Any]) -> None:
        self._move(begun, self._timed(begun, now, values), ENDS_FROM)
        self._presence.release(begun.call_id)

    def _end_answered(self, begun: Begun, ending: Ending, patience_seconds: float | None = None) -> None:
        def move(connection: Connection) -> bool:
            return bool(end_all(connection, [ending], self.database.clock()))

        self._record(begun, "answered", move, patience_seconds)
        self._presence.release(begun.call_id)

    def _timed(self, begun: Begun, now: datetime, values: Mapping[str, Any]) -> Mapping[str, Any]:
        if not self.database.is_sqlite or values["state"] == "unknown":
            return values  # PostgreSQL does the same, by its own clock
        duration_ms = max(round((now - begun.begun_at).total_seconds() * 1000), 0)
        return {"duration_ms": duration_ms, **values}

    def _move(self, begun: Begun, values: Mapping[str, Any], sources: Sequence[State]) -> None:
        def move(connection: Connection) -> bool:
            return change(connection, begun.call_id, values, sources, self.database.clock())

        self._record(begun, values["state"], move)

    def _record(
        self, begun: Begun, state: State, move: Callable[[Connection], bool], patience_seconds: float | None = None
    ) -> None:
        def work(connection: Connection) -> bool:
            # The row is in this state already after a commit whose reply was lost.
            return move(connection) or connection.scalar(STATE, {"of_call": begun.call_id}) == state

        patience = self._patience_seconds if patience_seconds is None else patience_seconds
        if not self.database.transact(work, patience):
            logger.warning(
                "Call %s is not recorded as %s: another caller has recorded it as finished.", begun.call_id, state
            )

    def _reject(self, begun: Begun, reason: str, state: State) -> None:
        values: dict[str, Any] = {"call_id": begun.call_id, "reason": self.texts.of_error(reason)}
        if self.database.is_sqlite:
            values["rejected_at"] = self.database.clock()

        def work(connection: Connection) -> None:
            # Its raw response goes with it, by a trigger.
            if connection.scalar(STATE.with_for_update(), {"of_call": begun.call_id}) == state:
                insert_once(connection, rejections, values)

        self.database.transact(work, self._patience_seconds)

    def _estimated(
        self, begun: Begun, usages: Sequence[Usage], used: Mapping[str, Any], answer_characters: int, now: datetime
    ) -> dict[str, Any]:
        """Say what limits count for an answered call whose tokens or cost are not known: a `reserve`, else a guess."""
        filled = fill_in(usages, begun.input_characters, answer_characters)
        declared = self._meter.declared(begun.flow_id, begun.flow_name)
        tokens = cost = None
        if used["total_tokens"] is None:
            guess = min(sum(usage.total or 0 for usage in filled), MOST_TOKENS)
            tokens = int(declared["tokens"]) if "tokens" in declared else guess
        if used["cost"] is None:
            cost = declared.get("cost")
            if cost is None and filled != tuple(usages):
                cost = self.prices.cost(filled, now)
            if cost is None:
                cost = begun.reserved_cost or None  # the mean of the flow's calls
            if cost is None:
                self._warn_of_unpriced(begun, used["model"])
        return {"estimated_tokens": tokens, "estimated_cost": cost}

    def _warn_of_unpriced(self, begun: Begun, model: str | None) -> None:
        unpriced = (begun.flow_id, model)
        if unpriced in self._warned_of or not self._meter.limits_cost(begun.flow_id, begun.flow_name):
            return
        self._warned_of.add(unpriced)
        logger.warning(
            "Limits on cost do not count the calls of flow %s: %s, and the flow has no call whose cost is known. Set "
            "DAGMA_PRICES for its model, or give the limit a reserve=USD.",
            begun.flow_name or begun.flow_id,
            f"the price of {model} is not known" if model else "its model is not known",
        )

    def _used(self, usages: Sequence[Usage], now: datetime) -> dict[str, Any]:
        return {
            "model": storable(", ".join(dict.fromkeys(usage.model for usage in usages if usage.model))) or None,
            "input_tokens": _sum([usage.input_tokens for usage in usages]),
            "output_tokens": _sum([usage.output_tokens for usage in usages]),
            "total_tokens": _sum([usage.total for usage in usages]),
            "cost": self.prices.cost(usages, now),
        }

    def _error(self, error_class: str, message: str) -> dict[str, Any]:
        return {"error_class": storable(error_class)[:200], "error_message": self.texts.of_error(message)}


def _sum(amounts: Sequence[int | None]) -> int | None:
    known = [amount for amount in amounts if amount is not None]
    total = sum(known) if known and len(known) == len(amounts) else None
    return total if total is None or total <= MOST_TOKENS else None
