"""The contract of a backend: whatever answers a call.

A backend of your own says how to get an answer, in its method `answer`. Ledger, quotas, retries and metadata are the
same for all. `CallBackend` lists what else a class may override, and `dagma.testing.backend_conformance` tests it.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import dagster as dg
from dagster_shared.check import CheckError
from pydantic import Field, PrivateAttr
from typing_extensions import override

from dagma.calls.attached_files import attach_files
from dagma.calls.call_backend import CallBackend
from dagma.calls.call_path import CallPath
from dagma.calls.call_policy import CallPolicy
from dagma.calls.request import Caller, CallMode, CallRequest, FlowReference, OnUnknown
from dagma.langflow import BadRequest, InputType, OutputType
from dagma.ledger import Ledger, LedgerError
from dagma.ledger.ledger_settings import ledger_from_environment
from dagma.run_config.fixed_resource import FixedResource


class Backend(FixedResource, CallBackend):
    """Answers calls. What a class of your own overrides, `CallBackend` describes."""

    policy: CallPolicy = Field(
        default=CallPolicy(), description="How patiently calls are made: attempts, waits and deadlines."
    )
    _ledger: Ledger | None = PrivateAttr(default=None)

    @override
    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        # A setting that can't be used is an error of the call.
        with suppress(LedgerError):
            self._ledger = ledger_from_environment()

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
        flow: FlowReference | None = None,
        mode: CallMode | None = None,
        row: str | None = None,
        files: Mapping[str, Any] | None = None,
        on_unknown: OnUnknown | None = None,
    ) -> dict[str, Any]:
        """Answer one input with one flow, by the one path that every call goes.

        Args:
            input_value: The input.
            output_type: Which of the flow's outputs to return: `chat`, `text`, `any` or `debug`.
            input_type: Which of the flow's inputs gets the input: `chat`, `text` or `any`.
            tweaks: Values of component fields for this call only, by component id.
            session_id: The conversation that the call belongs to. Without it the call has one of its own, which its
                retries share.
            stream: Take the answer as it is produced, so that giving up stops the flow; the response is the same.
            flow_id: Id or endpoint name of the flow; that of `flow`, or the default flow, where it is None.
            flow: What `look_up` gave for it, so that it is not looked up again.
            mode: `direct` (one request), `job` (durable) or `auto`; the backend's setting where it is None.
            row: What tells this call from the others of its step, such as the row of a batch. Without it, equal
                calls of a step are told apart by their order.
            files: Files for fields of the flow, by `component.field`, such as `File-a1b2c.path`: bytes, a path in the
                project's data folder, or a list of them.
            on_unknown: What to do if an earlier attempt was sent and what became of it can't be found out: `fail`,
                `resend` (and maybe pay twice) or `give_up`; where it is None, what `policy` says, and else
                `DAGMA_LEDGER_ON_UNKNOWN`.

        Returns:
            The raw response. `read` says what it means, `record_calls` what the call took.

        Raises:
            LangflowError: There is no answer; the error says why, and what to do.
            LedgerError: The call was not let in: a quota leaves no room, an earlier attempt may have been paid for, or
                the ledger can't be reached.
        """
        address = flow_id or (flow.flow_id if flow is not None else self.default_flow())
        if address is None:
            raise BadRequest(
                "The call names no flow, and there is no default flow.",
                fix="Give flow_id, or set LANGFLOW_DEFAULT_FLOW_ID.",
            )
        request = CallRequest(
            flow_id=address,
            input_value=input_value,
            output_type=output_type,
            input_type=input_type,
            tweaks=tweaks,
            session_id=session_id,
            stream=stream,
            mode=mode,
            row=row,
            files=attach_files(files, tweaks) if files else None,
            on_unknown=on_unknown,
        )
        caller = Caller.current(self._init_context())
        if caller.run_id is not None and caller.step is None:
            raise BadRequest(
                "The call does not know its step, as in a thread without the step's context: another step of the run "
                "that asks the same would get its answer, and a retry might not find it and pay for it again.",
                fix="Start the thread's work with contextvars.copy_context().run(...).",
            )
        flow = flow or self.look_up(address)
        ledger = self._ledger or ledger_from_environment()
        return CallPath(self, request, flow, caller, ledger).answered().response

    def _init_context(self) -> dg.InitResourceContext | None:
        try:
            return self.get_resource_context()
        except CheckError:
            # Made by a program, without Dagster.
            return None
