"""What the runs of flows leave on a Langflow server: messages and traces."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dagma.langflow.errors import FlowNotFound, MalformedResponse
from dagma.langflow.flow import checked_uuid
from dagma.langflow.http.connection import Connection
from dagma.langflow.untrusted_json import (
    json_object,
    json_objects,
    malformed,
    moment_or_none,
    objects,
    text_or_none,
)

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
        listed = self._messages(
            flow_id=checked_uuid("flow_id", flow_id), order="DESC", offset=str(offset), limit=str(limit)
        )
        return [_record(each, "session_id", "timestamp") for each in listed]

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
        listed = self._traces(end_time=until.astimezone(UTC).isoformat(), page=str(page))
        return [_record(each, "sessionId", "startTime") for each in listed]

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

    def _messages(self, **params: str) -> list[dict[str, Any]]:
        reply = self._send("GET", "/api/v1/monitor/messages", "list of messages", {"limit": str(PAGE), **params})
        return json_objects(reply)

    def _traces(self, **params: str) -> list[dict[str, Any]]:
        reply = self._send("GET", "/api/v1/monitor/traces", "list of traces", {"size": str(PAGE), **params})
        listed = json_object(reply, outcome="not_run").get("traces")
        if not isinstance(listed, list):
            raise malformed(reply, "no list of traces", outcome="not_run")
        return objects(listed)


def _record(body: Mapping[str, Any], session: str, time: str) -> StoredRecord:
    key, at = text_or_none(body.get("id")), moment_or_none(body.get(time))
    if key is None or at is None:
        raise MalformedResponse("Langflow listed a record without an id or a time.", outcome="not_run")
    return StoredRecord(key, text_or_none(body.get(session)) or "", at)
