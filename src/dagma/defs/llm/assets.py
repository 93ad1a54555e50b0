"""The asset that sends one input to a flow and materializes the answer."""

from typing import Any, get_args

import dagster as dg

from dagma.backends.backend import Backend
from dagma.calls.call_record import describe_attempts, describe_calls, describe_flow, record_calls, record_texts
from dagma.calls.request import CallMode, OnUnknown
from dagma.calls.retrying import CALL_ERRORS, retry_or_fail
from dagma.langflow import InputType, OutputType
from dagma.ledger.texts import storable
from dagma.run_config.launch_tweaks import ALWAYS_ALLOWED, check_launch_tweaks

POOL = "langflow"
FLOW_TAG = "dagma/flow"
"""Tag of a run with the flow that it asks, by endpoint name where it has one."""
LONGEST_TAG = 500
"""Characters of a tag's value: Dagster's index on PostgreSQL holds up to 2,700 bytes."""


def _one_of(words: Any) -> dg.Enum:
    """Offer the words of a Literal in the launchpad."""
    known = get_args(words)
    return dg.Enum("_".join(("one_of", *known)), [dg.EnumValue(word) for word in known])


# No `dg.Config`, whose texts take `{env: NAME}`: whoever may launch runs could read every variable of the worker.
RUN_CONFIG = {
    "input_value": dg.Field(str, default_value="ping from dagma", description="The input."),
    "flow_id": dg.Field(
        dg.Noneable(str),
        default_value=None,
        description="Id or endpoint name of the flow. Default: LANGFLOW_DEFAULT_FLOW_ID.",
    ),
    "input_type": dg.Field(
        _one_of(InputType), default_value="chat", description="Which of the flow's inputs gets the input."
    ),
    "output_type": dg.Field(
        _one_of(OutputType), default_value="chat", description="Which of the flow's outputs is returned."
    ),
    "tweaks": dg.Field(
        dict,
        default_value={},
        description="Component fields to set for this call only: {component id: {field: value}}. Which: "
        f"{ALWAYS_ALLOWED}, and what DAGMA_RUN_CONFIG_TWEAKS adds.",
    ),
    "session_id": dg.Field(
        dg.Noneable(str),
        default_value=None,
        description="The conversation to continue. Default: one of the call's own, which its retries share.",
    ),
    "mode": dg.Field(
        dg.Noneable(_one_of(CallMode)),
        default_value=None,
        description="direct: one request. job: a durable job, which outlives the worker. auto: job where the flow's "
        "types allow it. Default: LANGFLOW_MODE.",
    ),
    "on_unknown": dg.Field(
        dg.Noneable(_one_of(OnUnknown)),
        default_value=None,
        description="What to do if an earlier attempt of the call was sent, and what became of it can't be found out. "
        "fail: fail, and look again when the run is retried. resend: send it again, which may pay twice. give_up: "
        "fail, and at each retry too. Default: DAGMA_LEDGER_ON_UNKNOWN.",
    ),
}


@dg.asset(
    group_name="langflow",
    kinds={"langflow"},
    pool=POOL,
    config_schema=RUN_CONFIG,
    description="Sends one input to a Langflow flow and materializes the answer. Skipped while no flow is configured.",
)
def langflow_run_flow(context: dg.AssetExecutionContext, backend: Backend) -> dg.MaterializeResult[dict[str, Any]]:
    """Send the configured input to the configured flow.

    Returns:
        The raw response, or `{"status": "skipped"}` where no flow is configured.
    """
    config = dict(context.op_execution_context.op_config)
    texts = record_texts()  # told before a call is paid for
    tweaks = config.pop("tweaks") or None
    flow_id = config.pop("flow_id") or backend.default_flow()
    if flow_id is None:
        context.log.info("No flow is configured: set LANGFLOW_DEFAULT_FLOW_ID, or flow_id in the run's config.")
        return dg.MaterializeResult(value={"status": "skipped"}, metadata={"status": "skipped"})

    flow = backend.look_up(flow_id)
    # Any text may stand in the run's config, and so in the id of a flow that is not there.
    tag = storable(flow.endpoint_name or flow.name or flow.flow_id)[:LONGEST_TAG]
    context.instance.add_run_tags(context.run.run_id, {FLOW_TAG: tag})
    with record_calls() as calls:
        try:
            if tweaks:
                check_launch_tweaks(tweaks, flow)
            response = backend.run_flow(**config, tweaks=tweaks, flow=flow, flow_id=flow_id)
        except CALL_ERRORS as error:
            metadata = describe_flow(flow) | describe_attempts(calls.begun)
            retry_or_fail(error, retry_number=context.retry_number, metadata=metadata, policy=backend.policy)

    # Keys only: logs are read by more people, and kept in more places, than an answer is meant for.
    context.log.info("langflow_run_flow summary=%s", sorted(response))
    value = response if texts else {"status": "completed", "keys": sorted(response)}
    metadata = describe_calls(calls, flow, texts=texts)
    return dg.MaterializeResult(value=value, metadata=metadata)
