"""The contract of a backend: whatever answers a call.

A backend of your own says how to get an answer. Ledger, quotas, retries and metadata are the same for all:

    class Shouting(Backend):
        def answer(self, request: CallRequest) -> dict[str, Any]:
            return {"text": request.input_value.upper()}

        def default_flow(self) -> str:
            return "shouting"

Put it into `project/` and name it in `DAGMA_BACKEND`. No asset changes. `dagma.testing.backend_conformance` tests it.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

import dagster as dg
from dagster_shared.check import CheckError
from pydantic import Field, PrivateAttr
from typing_extensions import override

from dagma.calls.answer import Answer
from dagma.calls.attached_files import attach_files
from dagma.calls.call_backend import CannotTell, Finding, Jobs
from dagma.calls.call_path import CallPath
from dagma.calls.call_policy import CallPolicy
from dagma.calls.caller import Caller, EqualCalls
from dagma.calls.request import CallMode, CallRequest, FlowReference, OnUnknown
from dagma.langflow import BadRequest, InputType, LangflowError, OutputType
from dagma.ledger import Begun, Ledger, LedgerError, Usage
from dagma.ledger.call import Mode
from dagma.ledger.ledger_settings import ledger_from_environment
from dagma.run_config.fixed_resource import FixedResource


class BackendError(LangflowError):
    """A backend raised an error of its own kind instead of answering."""

    default_fix = "Look at the backend's code and at the service that it asks."


class Backend(FixedResource, ABC):
    """Answers calls.

    Errors are `dagma.langflow.LangflowError`s, which say whether a retry may help, and whether the call may have to be
    paid already. What else `answer` raises goes through `explain`.
    """

    policy: CallPolicy = Field(
        default=CallPolicy(), description="How patiently calls are made: attempts, waits and deadlines."
    )
    _equal_calls: EqualCalls = PrivateAttr(default_factory=EqualCalls)
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
            flow_id: Id or endpoint name of the flow; the default flow where it is None.
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
        address = flow_id or self.default_flow()
        if address is None:
            raise BadRequest("The call names no flow, and there is no default flow.", fix="Give flow_id.")
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
        flow = flow or self.look_up(address)
        ledger = self._ledger or ledger_from_environment()
        return CallPath(self, request, flow, caller, ledger, self._equal_calls).answered().response

    @abstractmethod
    def answer(self, request: CallRequest) -> dict[str, Any]:
        """Send the call and wait for its answer.

        Returns:
            The raw response, of types that JSON has: `{"text": ...}`, or another shape with a `read` of its own.
        """

    def read(self, response: Mapping[str, Any]) -> Answer:
        """Say what a raw response means. Override it where the response is not `{"text": ...}`.

        Raises:
            LangflowError: The response holds no answer. A retry then sends the call anew.
        """
        return Answer.from_response(response)

    def explain(self, error: Exception) -> LangflowError:
        """Say what an exception of `answer` means. Override it where you know whether the call may have been paid.

        Args:
            error: What `answer` raised.

        Returns:
            The error to raise; `outcome="unknown"`, as here, keeps a retry from sending the call again.
        """
        return BackendError(f"The backend raised {type(error).__name__}: {error}.", outcome="unknown")

    def spent(self, error: Exception) -> tuple[Usage, ...]:  # noqa: ARG002 (for those who override)
        """Tell what a call used that ended with an exception of `answer`. Override it where that is known."""
        return ()

    def find_outcome(self, request: CallRequest, begun: Begun) -> Finding:  # noqa: ARG002 (for those who override)
        """Find out what became of a direct call that was sent and whose end nobody saw. It must not raise.

        Override it where the server can be asked. Without it such a call fails, since sending it again may pay twice.

        Args:
            request: What was asked, in the session that it was asked in.
            begun: The attempt.
        """
        return CannotTell(f"{self.backend_name} can't be asked what became of it.")

    def tells_unsent(self, request: CallRequest) -> bool:  # noqa: ARG002 (for those who override)
        """Say whether `find_outcome` tells a direct call that was never sent from one whose answer was lost.

        A batch then begins such calls in the ledger many at a time, a moment before they are sent. It must not raise.

        Args:
            request: What would be asked.
        """
        return False

    @property
    def takes_files(self) -> bool:
        """Whether `answer` hands `request.files` to the flow. Override it if yours does."""
        return False

    def keeping_files(self) -> AbstractContextManager[None]:
        """Say that many calls follow, some of them with the same files. Override it where files are uploaded."""
        return nullcontext()

    @property
    def outcome_seconds(self) -> float:
        """How long `find_outcome` is asked again while a call goes on, in seconds."""
        return 0.0

    def default_flow(self) -> str | None:
        """Name the flow for calls that name none; None where nothing is configured to answer them."""
        return None

    def refer_to(self, flow_id: str) -> FlowReference:
        """Tell people which flow it is, without asking anyone. Override it to add a link."""
        return FlowReference(flow_id)

    def look_up(self, flow_id: str) -> FlowReference:
        """Find a flow's id, name and version before it is called. Override it to ask; it must not raise."""
        return self.refer_to(flow_id)

    def jobs(self) -> Jobs | None:
        """Give what runs calls as durable jobs. Override it where the backend has such."""
        return None

    def choose_mode(self, request: CallRequest, flow: FlowReference) -> Mode:  # noqa: ARG002 (for those who override)
        """Choose how a call is sent. Override it where the backend has jobs.

        Raises:
            BadRequest: The request asks for what the backend does not have.
        """
        if request.mode == "job":
            raise BadRequest(f"{self.backend_name} has no jobs.", fix="Set the mode to auto or direct.")
        return "direct"

    @property
    def backend_name(self) -> str:
        """What the ledger calls this backend."""
        return type(self).__name__

    @property
    def identity(self) -> str:
        """What tells this backend from others that may answer the same call otherwise. It is part of a call's key.

        Override it where two backends of the class can differ, and leave out what a retry may find changed, such as
        keys and time-outs.
        """
        return f"{type(self).__module__}:{type(self).__qualname__}"

    def _init_context(self) -> dg.InitResourceContext | None:
        try:
            return self.get_resource_context()
        except CheckError:
            # Made by a program, without Dagster.
            return None
