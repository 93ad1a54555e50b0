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
from datetime import UTC, datetime, timedelta

from dagma.langflow import LangflowClient
from dagma.langflow.past_runs_api import PAGE, StoredRecord

CALL_SESSION = re.compile(r"call-[0-9a-f]{32}")
"""The sessions that Dagma makes for its calls."""
CALL_FILE = re.compile(r"dagma-[0-9a-f]{32}-[0-9a-f]{12}( \(\d+\))?")
"""The names of files that Dagma uploads for its calls; Langflow numbers one that was sent twice."""


class LangflowPruner:
    """Deletes messages, traces and files that are past their days.

    Args:
        history: Asks Langflow.
        days: For how many days the sessions and files of calls are kept; 0 for ever.
        chats_days: For how many days all others are kept; 0 for ever.
        now: The time, aware.
    """

    def __init__(self, history: LangflowClient, *, days: int, chats_days: int, now: datetime | None = None) -> None:
        now = now or datetime.now(UTC)
        self._history = history
        self._of_calls = now - timedelta(days=days) if days else None
        self._of_others = now - timedelta(days=chats_days) if chats_days else None

    def prune(self) -> dict[str, int]:
        """Delete what is past its days, and return how many of each kind.

        Raises:
            LangflowError: Langflow can't be asked, or refuses.
        """
        cutoffs = [cutoff for cutoff in (self._of_calls, self._of_others) if cutoff]
        if not cutoffs:
            return {}
        return {
            "messages": sum(self._prune_messages(flow.id) for flow in self._history.list_flows()),
            "traces": self._prune_traces(max(cutoffs)),
            "files": self._prune_files(self._of_calls) if self._of_calls else 0,
        }

    def _prune_messages(self, flow_id: str) -> int:
        count = offset = 0
        deleted: set[str] = set()
        while True:
            page = self._history.list_messages(flow_id, offset=offset)
            # What is still listed after its deletion is another user's, whose flow is shared with this one.
            expired = [each.id for each in page if self._is_expired(each) and each.id not in deleted]
            count += len(expired) - sum(each.id in deleted for each in page)
            if expired:
                self._history.delete_messages(expired)
                deleted = set(expired)
            if len(page) < PAGE:
                return count
            offset += len(page) - len(expired)

    def _prune_traces(self, latest: datetime) -> int:
        count, page = 0, 1
        while traces := self._history.list_traces(latest, page=page):
            deleted = sum(self._history.delete_trace(each.id) for each in traces if self._is_expired(each))
            count += deleted
            # What follows moves up to where the deleted ones were.
            if not deleted:
                page += 1
        return count

    def _prune_files(self, until: datetime) -> int:
        files = [each for each in self._history.list_files() if CALL_FILE.fullmatch(each.name)]
        expired = [each.id for each in files if each.created_at is not None and each.created_at < until]
        return sum(map(self._history.delete_file, expired))

    def _is_expired(self, record: StoredRecord) -> bool:
        cutoff = self._of_calls if CALL_SESSION.fullmatch(record.session_id) else self._of_others
        return cutoff is not None and record.at < cutoff
