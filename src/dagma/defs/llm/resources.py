"""Langflow over REST as the backend of calls."""

import logging
import os
import uuid
from typing import Any, TypedDict

import dagster as dg
from pydantic import Field, PrivateAttr
from typing_extensions import override

from dagma import environment
from dagma.defs.llm.backend import Backend, FlowReference
from dagma.langflow import (
    TLS,
    ApiKey,
    InputType,
    LangflowClient,
    LangflowError,
    OutputType,
    Timeouts,
)

logger = logging.getLogger(__name__)

DEFAULT_BASE_URL = "http://127.0.0.1:7860"


class Choices(TypedDict):
    """What a direct and a streamed call have in common."""

    input_type: InputType
    output_type: OutputType
    tweaks: dict[str, Any] | None
    session_id: str | None


class LangflowRestResource(Backend):
    """Answers calls with the flows of a Langflow server: `POST /api/v1/run/{flow_id}`."""

    base_url: str = Field(
        default=DEFAULT_BASE_URL, description="Where Dagster reaches Langflow: scheme, host and port, as in a browser."
    )
    api_key: str | None = Field(
        default=None,
        description="Langflow's API key, sent as header x-api-key. Give it as an EnvVar, so that it is stored nowhere.",
    )
    timeout: float = Field(
        default=300.0,
        gt=0,
        description="Seconds for a whole call, its retries included. Langflow says nothing until a flow is done, so "
        "this is also the longest that a flow may take.",
    )
    default_flow_id: str | None = Field(
        default=None,
        description="Id or endpoint name of the flow for calls that name none. Empty: such calls are skipped.",
    )
    verify_tls: bool = Field(default=True, description="Check the server's certificate.")
    ca_bundle: str | None = Field(
        default=None,
        description="PEM file of the authorities that sign the server's certificate, instead of the usual.",
    )
    public_url: str = Field(
        default=DEFAULT_BASE_URL, description="Where people's browsers reach Langflow; links in the UI start with it."
    )
    _client: LangflowClient = PrivateAttr()

    @override
    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        self._client = LangflowClient(
            self.base_url,
            auth=ApiKey(self.api_key) if self.api_key else None,
            timeouts=Timeouts(read=self.timeout, total=self.timeout),
            tls=TLS(verify=self.verify_tls, ca_bundle=self.ca_bundle),
        )

    @override
    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        self._client.close()

    @override
    def run_flow(
        self,
        input_value: str,
        output_type: OutputType = "chat",
        input_type: InputType = "chat",
        tweaks: dict[str, Any] | None = None,
        session_id: str | None = None,
        stream: bool = False,
        *,
        flow_id: str | None = None,
    ) -> dict[str, Any]:
        flow = flow_id or self.default_flow() or ""
        choices: Choices = {
            "input_type": input_type,
            "output_type": output_type,
            "tweaks": tweaks,
            "session_id": session_id,
        }
        if not stream:
            return self._client.run(flow, input_value, **choices)
        # The client ends a stream with the result, or raises.
        results = [event.result for event in self._client.stream(flow, input_value, **choices) if event.result]
        return dict(results[-1].raw)

    @override
    def default_flow(self) -> str | None:
        return (self.default_flow_id or "").strip() or None

    @override
    def refer_to(self, flow_id: str) -> FlowReference:
        # Langflow's pages know flows by UUID; an endpoint name has to be looked for in the list.
        page = f"flow/{flow_id}" if _is_uuid(flow_id) else "flows"
        return FlowReference(flow_id, url=f"{self.public_url.rstrip('/')}/{page}")

    @override
    def look_up(self, flow_id: str) -> FlowReference:
        try:
            flows = [self._client.get_flow(flow_id)] if _is_uuid(flow_id) else self._client.list_flows()
        except LangflowError as error:
            logger.warning("Flow %s could not be looked up for its name: %s", flow_id, error)
            return self.refer_to(flow_id)
        for flow in flows:
            if flow_id in (flow.id, flow.endpoint_name):
                return FlowReference(flow.id, name=flow.name, url=self.refer_to(flow.id).url)
        return self.refer_to(flow_id)


def _is_uuid(flow_id: str) -> bool:
    try:
        uuid.UUID(flow_id)
    except ValueError:
        return False
    return True


def langflow_from_environment() -> LangflowRestResource:
    """Configure Langflow from `LANGFLOW_*` variables.

    What may hold a secret is an EnvVar, which every process reads for itself and no snapshot holds. Dagster refuses an
    EnvVar whose variable is not set, so the optional ones are left out where they are not.
    """
    secrets = {
        field: dg.EnvVar(variable)
        for field, variable in {
            "base_url": "LANGFLOW_BASE_URL",
            "api_key": "LANGFLOW_API_KEY",
            "default_flow_id": "LANGFLOW_DEFAULT_FLOW_ID",
        }.items()
        if os.environ.get(variable)
    }
    return LangflowRestResource(
        timeout=environment.positive_number("LANGFLOW_TIMEOUT_SECONDS", default=300.0),
        verify_tls=environment.flag("LANGFLOW_VERIFY_TLS", default=True),
        ca_bundle=environment.text("LANGFLOW_CA_BUNDLE"),
        public_url=environment.text("LANGFLOW_PUBLIC_URL", default=DEFAULT_BASE_URL),
        **secrets,
    )
