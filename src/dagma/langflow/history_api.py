"""What the runs of flows leave on a Langflow server: messages and traces."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dagma.langflow.errors import FlowNotFound
from dagma.langflow.http.connection import Connection
from dagma.langflow.http.transport import Reply
from dagma.langflow.run_request import checked_uuid
from dagma.langflow.untrusted_json import json_object, json_objects, malformed, text_or_none

PAGE = 200
"""Langflow gives no more at a time."""


@dataclass(frozen=True)
class StoredRecord:
    """A message or a trace, without its content.

    Attributes:
        id: Its id.
        session_id: The session that it belongs to.
        at: When it was stored, or when the run began.
    """

    id: str
    session_id: str
    at: datetime


class HistoryApi(Connection):
    """Lists and deletes messages and traces."""

    def list_messages(self, flow_id: str, *, offset: int = 0, limit: int = PAGE) -> list[StoredRecord]:
        """Return messages of a flow, the newest first.

        Args:
            flow_id: Id of the flow.
            offset: How many newer ones to pass over.
            limit: How many at most, up to 200.

        Raises:
            LangflowError: They can't be had.
        """
        params = {"flow_id": checked_uuid("flow_id", flow_id), "order": "DESC", "offset": str(offset)}
        reply = self._send("GET", "/api/v1/monitor/messages", "list of messages", {**params, "limit": str(limit)})
        return [_record(reply, each, "session_id", "timestamp") for each in json_objects(reply)]

    def delete_messages(self, message_ids: Sequence[str]) -> None:
        """Delete messages; ids that are gone already are passed over.

        Raises:
            LangflowError: They can't be deleted.
        """
        payload = [checked_uuid("message_id", each) for each in message_ids]
        self._send("DELETE", "/api/v1/monitor/messages", "deletion of messages", payload=payload)

    def list_traces(self, until: datetime, *, page: int = 1) -> list[StoredRecord]:
        """Return a page of 200 traces of the runs that began before a time, the newest first.

        Args:
            until: The time, aware.
            page: Which page, from 1.

        Raises:
            LangflowError: They can't be had.
        """
        params = {"end_time": until.astimezone(UTC).isoformat(), "page": str(page), "size": str(PAGE)}
        reply = self._send("GET", "/api/v1/monitor/traces", "list of traces", params)
        traces = json_object(reply, outcome="not_run").get("traces")
        if not isinstance(traces, list) or not all(isinstance(each, dict) for each in traces):
            raise malformed(reply, "no list of traces", outcome="not_run")
        return [_record(reply, each, "sessionId", "startTime") for each in traces]

    def delete_trace(self, trace_id: str) -> bool:
        """Delete a trace with its spans.

        Returns:
            False where there was none.

        Raises:
            LangflowError: It can't be deleted.
        """
        with suppress(FlowNotFound):
            self._send("DELETE", f"/api/v1/monitor/traces/{checked_uuid('trace_id', trace_id)}", "deletion of a trace")
            return True
        return False


def _record(reply: Reply, body: Mapping[str, Any], session: str, time: str) -> StoredRecord:
    try:
        # Messages say "2026-11-28 06:12:36.865515 UTC", traces "2026-11-28T06:12:36.863820Z".
        at = datetime.fromisoformat(str(body.get(time)).replace(" UTC", "+00:00"))
    except ValueError:
        raise malformed(reply, "a record without a time", outcome="not_run") from None
    if (key := text_or_none(body.get("id"))) is None:
        raise malformed(reply, "a record without an id", outcome="not_run")
    return StoredRecord(key, text_or_none(body.get(session)) or "", at if at.tzinfo else at.replace(tzinfo=UTC))
