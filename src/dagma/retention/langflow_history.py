"""Prunes the messages, traces and files that calls leave in Langflow, over its REST API.

Sessions that Dagma made for single calls go after a while. All others belong to somebody: people who chat in the
playground, and pipelines that name their sessions. They have a setting of their own, which keeps them for ever by
default.

Files are deleted by the calls that uploaded them. What is left is that of jobs, which outlive their callers, of calls
whose outcome nobody knew, and of workers that were killed.

Langflow prunes its jobs by itself (`LANGFLOW_BACKGROUND_RETENTION_DAYS`), and keeps no more than 3,000 transactions and
3,000 vertex builds.
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from dagma.langflow import LangflowClient
from dagma.langflow.past_runs_api import PAGE, StoredRecord
from dagma.retention.store_pruning import Pace, Pruned

CALL_SESSION = re.compile(r"call-[0-9a-f]{32}")
"""The sessions that Dagma makes for its calls."""
CALL_FILE = re.compile(r"dagma-[0-9a-f]{32}-[0-9a-f]{12}( \(\d+\))?")
"""The names of files that Dagma uploads for its calls; Langflow numbers one that was sent twice."""
AT_ONCE = 20
"""How many are deleted in a row of what Langflow deletes one by one."""


class LangflowPruner:
    """Deletes messages, traces and files that are past their days.

    Args:
        history: Asks Langflow.
        days: For how many days the sessions and files of calls are kept; 0 for ever.
        chats_days: For how many days all others are kept; 0 for ever.
        pace: How hard and how long it works.
        now: The time, aware.
    """

    def __init__(
        self,
        history: LangflowClient,
        *,
        days: int,
        chats_days: int,
        pace: Pace | None = None,
        now: datetime | None = None,
    ) -> None:
        now = now or datetime.now(UTC)
        self._history = history
        self._of_calls = now - timedelta(days=days) if days else None
        self._of_others = now - timedelta(days=chats_days) if chats_days else None
        self._pace = pace or Pace()

    def prune(self) -> Pruned:
        """Delete what is past its days.

        Raises:
            LangflowError: Langflow can't be asked, or refuses.
        """
        cutoffs = [cutoff for cutoff in (self._of_calls, self._of_others) if cutoff]
        if not cutoffs:
            return Pruned({}, kept_for_ever=True)
        latest = max(cutoffs)
        messages = sum(self._prune_messages(flow.id, latest) for flow in self._history.list_flows())
        traces = self._prune_traces(latest)
        files = self._prune_files(self._of_calls) if self._of_calls else 0
        deleted = {"messages": messages, "traces": traces, "files": files}
        return Pruned(deleted, is_complete=not self._pace.is_over)

    def _prune_messages(self, flow_id: str, latest: datetime) -> int:
        count = 0
        offset = self._first_before(flow_id, latest)
        deleted: set[str] = set()
        while self._pace.goes_on():
            page = self._history.list_messages(flow_id, offset=offset)
            # What is still listed after its deletion is another user's, whose flow is shared with this one.
            expired = [each.id for each in page if self._is_expired(each) and each.id not in deleted]
            count += len(expired) - sum(each.id in deleted for each in page)
            if expired:
                self._history.delete_messages(expired)
                deleted = set(expired)
            if len(page) < PAGE:
                break
            offset += len(page) - len(expired)
        return count

    def _first_before(self, flow_id: str, time: datetime) -> int:
        """Find how many messages of a flow are younger: what is to be deleted stands at the end of a long list."""

        def is_before(offset: int) -> bool:
            found = self._history.list_messages(flow_id, offset=offset, limit=1)
            return not found or found[0].at < time

        if is_before(0):
            return 0
        young, old = 0, PAGE
        while not is_before(old):
            young, old = old, old * 4
        while old - young > PAGE:
            middle = (young + old) // 2
            young, old = (young, middle) if is_before(middle) else (middle, old)
        return young

    def _prune_traces(self, latest: datetime) -> int:
        count, page = 0, 1
        while self._pace.goes_on() and (traces := self._history.list_traces(latest, page=page)):
            expired = [each.id for each in traces if self._is_expired(each)]
            deleted = self._delete(expired, self._history.delete_trace)
            count += deleted
            # What follows moves up to where the deleted ones were.
            if not deleted:
                page += 1
        return count

    def _prune_files(self, until: datetime) -> int:
        if not self._pace.goes_on():
            return 0
        files = [each for each in self._history.list_files() if CALL_FILE.fullmatch(each.name)]
        expired = [each.id for each in files if each.created_at is not None and each.created_at < until]
        return self._delete(expired, self._history.delete_file)

    def _delete(self, ids: Sequence[str], delete: Callable[[str], bool]) -> int:
        count = 0
        for index, each in enumerate(ids):
            if index and index % AT_ONCE == 0 and not self._pace.goes_on():
                break
            count += delete(each)
        return count

    def _is_expired(self, record: StoredRecord) -> bool:
        cutoff = self._of_calls if CALL_SESSION.fullmatch(record.session_id) else self._of_others
        return cutoff is not None and record.at < cutoff
