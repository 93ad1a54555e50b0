"""The flows on a Langflow server."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from dagma.langflow.errors import (
    BadRequest,
    FlowNotFound,
    Forbidden,
    LangflowError,
    Unauthorized,
    nothing_runs_yet,
    quoting,
)
from dagma.langflow.flow import Flow
from dagma.langflow.http.connection import Connection
from dagma.langflow.http.patience import Deadline
from dagma.langflow.http.transport import Reply
from dagma.langflow.run_request import check_flow_id, checked_uuid, uuid_or_none
from dagma.langflow.untrusted_json import json_object, json_objects, text_or_none

logger = logging.getLogger(__name__)

# Told once for a flow, and not for each call of a batch.
_UNCHECKED: set[tuple[str, str]] = set()


class FlowsApi(Connection):
    """Reads and writes flows."""

    def get_flow(self, flow_id: str) -> Flow:
        """Return a flow.

        Args:
            flow_id: Id of the flow; Langflow takes no endpoint name here.

        Raises:
            LangflowError: It can't be had.
        """
        return self._get_flow(checked_uuid("flow_id", flow_id), None)

    def find_flow(self, flow_id: str, *, deadline: Deadline | None = None) -> Flow:
        """Return a flow.

        Args:
            flow_id: Id or endpoint name of the flow.
            deadline: When to give up; 30 s from now by default.

        Raises:
            LangflowError: It can't be had.
        """
        check_flow_id(flow_id)
        deadline = deadline or self._quick_deadline()
        return self._get_flow(uuid_or_none(flow_id) or self._id_of(flow_id, deadline), deadline)

    def recent_flow(self, flow_id: str) -> Flow:
        """Return a flow as it was at most 10 s ago. Callers that ask at the same time share a look-up.

        Args:
            flow_id: Id or endpoint name of the flow.

        Raises:
            LangflowError: It can't be had.
        """
        return self._flow_cache.get_or_fetch(flow_id, lambda: self.find_flow(flow_id))

    def list_flows(self, *, with_data: bool = False, deadline: Deadline | None = None) -> list[Flow]:
        """Return the flows of the user.

        Args:
            with_data: Fetch the graphs as well; without them the list is small and flows have no version.
            deadline: When to give up; 30 s from now by default.

        Raises:
            LangflowError: They can't be had.
        """
        params = {"get_all": "true", "remove_example_flows": "true", "header_flows": "false" if with_data else "true"}
        reply = self._send("GET", "/api/v1/flows/", "list of flows", params, deadline=deadline)
        with quoting(lambda: reply.excerpt):
            return [Flow.of(body) for body in json_objects(reply)]

    def list_projects(self) -> dict[str, str]:
        """Return the names of the user's projects, which hold flows, by id: the `folder_id` of a flow's JSON.

        Raises:
            LangflowError: They can't be had.
        """
        reply = self._send("GET", "/api/v1/projects/", "list of projects")
        found = ((text_or_none(body.get("id")), text_or_none(body.get("name"))) for body in json_objects(reply))
        return {project_id: name for project_id, name in found if project_id and name}

    def upsert_flow(self, flow: Mapping[str, Any], *, flow_id: str | None = None) -> tuple[Flow, bool]:
        """Create a flow under its id, or replace the one that has it.

        Args:
            flow: The flow's JSON, as exported from Langflow or kept in files.
            flow_id: The id, if not the one in the JSON.

        Returns:
            The flow as stored, and whether it was created. On creation Langflow numbers a name that is taken: the
            stored flow is then called "name (1)".

        Raises:
            Conflict: Another flow has the endpoint name, or, on replacement, the name.
            LangflowError: It can't be stored.
        """
        key = checked_uuid("flow_id", flow_id or flow.get("id") or "")
        subject = f"upload of flow {key!r}"
        reply = self._send("PUT", f"/api/v1/flows/{key}", subject, payload={**flow, "id": key})
        self._flow_cache.forget(key)
        return _read_flow(reply), reply.status == 201

    def delete_flow(self, flow_id: str) -> None:
        """Delete a flow.

        Raises:
            FlowNotFound: There is none with this id.
            LangflowError: It can't be deleted.
        """
        key = checked_uuid("flow_id", flow_id)
        self._flow_cache.forget(key)
        # Not idempotent: the second of two deletions is answered with 404.
        self._send("DELETE", f"/api/v1/flows/{key}", f"deletion of flow {key!r}", idempotent=False)

    def _check_tweaks(self, flow_id: str, tweaks: Mapping[str, Any], deadline: Deadline) -> None:
        """Refuse tweaks of components or fields that a flow does not have, which Langflow ignores without a word.

        The flow is kept for 10 s, and fetched again before anything is refused.
        """
        if (kept := self._flow_cache.get(flow_id)) is not None:
            # The flow may have been edited since it was kept.
            with suppress(BadRequest):
                kept.check_tweaks(tweaks)
                return
        with nothing_runs_yet():
            try:
                flow = self.find_flow(flow_id, deadline=deadline)
            except LangflowError as error:
                if not is_refused_look_up(error):
                    raise
                # The run itself may work, as behind a gateway that passes on nothing else, and says where it does not.
                self._warn_unchecked(flow_id, error)
                return
        self._flow_cache.put(flow_id, flow)
        flow.check_tweaks(tweaks)

    def _get_flow(self, key: str, deadline: Deadline | None) -> Flow:
        return _read_flow(self._send("GET", f"/api/v1/flows/{key}", f"look-up of flow {key!r}", deadline=deadline))

    def _id_of(self, endpoint_name: str, deadline: Deadline) -> str:
        for header in self.list_flows(deadline=deadline):
            if header.endpoint_name == endpoint_name:
                return checked_uuid("flow_id", header.id)
        raise FlowNotFound(f"Langflow has no flow with the id or endpoint name {endpoint_name!r}.")

    def _warn_unchecked(self, flow_id: str, error: LangflowError) -> None:
        if (self.base_url, flow_id) not in _UNCHECKED:
            _UNCHECKED.add((self.base_url, flow_id))
            logger.warning(
                "Tweaks of flow %r are sent unchecked, since the flow can't be looked up at %s: %s A tweak of a "
                "component or field that the flow does not have changes nothing, and nobody says so.",
                flow_id,
                self.base_url,
                error.cause,
            )

    @nothing_runs_yet()
    def _resolved(self, flow_id: str, deadline: Deadline) -> str:
        """Return the id of a flow given by id or endpoint name, since v2 takes ids only."""
        check_flow_id(flow_id)
        if (key := uuid_or_none(flow_id)) is not None:
            return key
        if (flow := self._flow_cache.get(flow_id)) is None:
            flow = self.find_flow(flow_id, deadline=deadline)
            self._flow_cache.put(flow_id, flow)
        return flow.id


def is_refused_look_up(error: LangflowError) -> bool:
    """Whether a server does not let a flow be looked up, or knows no such request; it may run the flow all the same."""
    return isinstance(error, Unauthorized | Forbidden | FlowNotFound) or error.status in (405, 501)


def _read_flow(reply: Reply) -> Flow:
    with quoting(lambda: reply.excerpt):
        return Flow.of(json_object(reply, outcome="not_run"))
