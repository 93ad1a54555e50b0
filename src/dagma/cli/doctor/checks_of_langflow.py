"""Does Langflow work, does it let us in, and does its LLM answer?"""

import uuid
from typing import Any

from dagma import environment
from dagma.backends.langflow.access_variables import langflow_client
from dagma.cli.doctor.check import Problem, Skipped
from dagma.flows import ASSISTANT
from dagma.flows.document import nodes_of, template_fields
from dagma.langflow import CallTimeout, Flow, FlowNotFound
from dagma.langflow.flow import uuid_or_none
from dagma.langflow.redaction import bare_url
from dagma.wording import counted

QUICK_SECONDS = 10.0
# The first call of a Langflow process loads the provider's client, and a small machine needs its time.
LLM_SECONDS = 40.0
_HOW_TO_ASK = "`make flows-push FORCE=1` restores the one of flows/."


def check_langflow() -> str:
    """Ask Langflow for its health, its database included."""
    with langflow_client(QUICK_SECONDS) as client:
        client.health_check()
        return f"{bare_url(client.base_url)} and its database answer, version {client.version()}"


def check_api_key() -> str:
    """List flows, which needs a valid key."""
    with langflow_client(QUICK_SECONDS) as client:
        return f"Langflow takes it, and shows {counted(len(client.list_flows()), 'flows')}"


def check_default_flow() -> str:
    """Look for the default flow."""
    flow_id = environment.text("LANGFLOW_DEFAULT_FLOW_ID")
    if flow_id is None:
        raise Skipped("LANGFLOW_DEFAULT_FLOW_ID is not set, so calls that name no flow are skipped.")
    with langflow_client(QUICK_SECONDS) as client:
        try:
            flow = client.find_flow(flow_id)
        except FlowNotFound:
            kind = "id" if uuid_or_none(flow_id) else "endpoint name"
            raise Problem(
                f"Langflow has no flow with the {kind} {flow_id!r}. Push it with `make flows-push`, or set "
                "LANGFLOW_DEFAULT_FLOW_ID to one that Langflow has."
            ) from None
    return f"Langflow has {flow.name} ({flow.id})"


def check_llm() -> str:
    """Have the shipped flow `assistant` ask its LLM for one token, which leaves no message and no row in the ledger."""
    backend = environment.text("DAGMA_BACKEND", "langflow")
    if backend != "langflow":
        raise Skipped(f"DAGMA_BACKEND is {backend}, so Langflow's LLM answers no calls.")
    with langflow_client(LLM_SECONDS) as client:
        try:
            flow = client.find_flow(ASSISTANT)
        except FlowNotFound:
            raise Skipped(f"Langflow has no flow `assistant`, which the check of the LLM asks. {_HOW_TO_ASK}") from None
        tweaks = one_token(flow)
        try:
            # The session of a call: its trace is pruned as those of calls are.
            result = client.run(ASSISTANT, "Hi", tweaks=tweaks, session_id=f"call-{uuid.uuid4().hex}")
        except CallTimeout:
            raise Problem(
                f"The LLM gave no token within {LLM_SECONDS:g} s. Check that the server at LLM_BASE_URL answers "
                "(`make logs s=llm` shows the local one), and is not overloaded."
            ) from None
        return f"asked for one token, {result.model or 'the model'} answered"


def one_token(flow: Flow) -> dict[str, Any]:
    """Give tweaks that make a flow ask for one token and store no message.

    Raises:
        Skipped: The flow has no model.
    """
    tiny = {"max_tokens": 1, "should_store_message": False}
    tweaks = {}
    for node in nodes_of(dict(flow.raw)):
        if chosen := {name: value for name, value in tiny.items() if name in template_fields(node)}:
            tweaks[str(node.get("id"))] = chosen
    if not any("max_tokens" in fields for fields in tweaks.values()):
        raise Skipped(f"The flow `assistant`, which the check of the LLM asks, has no model. {_HOW_TO_ASK}")
    return tweaks
