"""The ledger for many threads: calls that begin or are answered at the same time share a transaction."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from dagma.ledger.call import Begun, Call, State
from dagma.ledger.errors import LedgerError
from dagma.ledger.ledger import Ledger
from dagma.ledger.state_changes import Ending, Replay, end_all
from dagma.ledger.together import Together

LONGEST = 100_000
"""Longer inputs and answers, in characters, are written alone: many of them would be one huge statement."""


class GroupedLedger(Ledger):
    """A ledger for the threads of a batch, which are never interrupted from outside.

    It does what the ledger does, with the same rows and errors. What many threads ask of it at the same time is one
    transaction, so that they don't wait for the disk one after the other. Whatever such a transaction can't decide or
    do, each thread does by itself.

    Args:
        ledger: The ledger, whose settings and connections it shares.
    """

    def __init__(self, ledger: Ledger) -> None:
        vars(self).update(vars(ledger))
        self._beginnings = Together(self._admission.admit_new)
        self._endings = Together(self._end_together)

    def begin(self, call: Call, *, wait_seconds: float = 0.0) -> Begun:
        """Let a call in, as `Ledger.begin` does."""
        self._tidy_now_and_then()
        is_long = len(call.input_text or "") > LONGEST
        begun = None if is_long else self._beginnings.do(call)
        return begun or self._admission.admit(call, wait_seconds)

    def _set_state(
        self,
        call_id: str,
        values: Mapping[str, Any],
        sources: Sequence[State],
        replay: Replay | None = None,
        patience_seconds: float | None = None,
    ) -> bool:
        if replay is not None and len(replay.body) <= LONGEST:
            ending = Ending(call_id, values, sources, replay)
            if self._endings.do(ending):
                return True
        return super()._set_state(call_id, values, sources, replay, patience_seconds)

    def _end_together(self, endings: Sequence[Ending]) -> list[bool]:
        def work(connection: Connection) -> set[str]:
            return end_all(connection, endings, self._clock())

        try:
            ended = self.database.transact(work)
        except LedgerError:
            # One of them may be to blame, or the database is away: each tries alone, and patiently.
            return [False] * len(endings)
        self._presence.forget(*ended)
        return [each.call_id in ended for each in endings]
