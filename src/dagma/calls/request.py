"""What is asked of a backend, and which flow it is for."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from dagma.calls.attached_files import FieldFiles, identity_of
from dagma.langflow import InputType, LangflowError, OutputType
from dagma.ledger.call import Mode

OWN_SESSION = "call-"
"""How the names of sessions begin that calls have of their own."""
CallMode = Literal["auto", Mode]
OnUnknown = Literal["fail", "resend", "give_up"]
"""What becomes of a call of which nobody can tell whether it was answered: fail, and look again at the next retry; send
it again, which may pay twice; or fail, at each retry too."""


@dataclass(frozen=True, kw_only=True)
class CallRequest:
    """One input for one flow.

    Attributes:
        flow_id: The flow, as the caller names it.
        input_value: The input.
        output_type: Which of the flow's outputs to return.
        input_type: Which of the flow's inputs gets the input.
        tweaks: Values of component fields for this call only, by component id.
        session_id: The conversation that the call belongs to. A backend always gets one: where the caller names none,
            the call's own.
        stream: Take the answer as it is produced.
        mode: How to send it; None leaves it to the backend's setting.
        row: What tells this call from the others of its step.
        files: Files by the field that takes them. By their contents they decide the answer.
        on_unknown: What to do if an earlier attempt may have been answered; None leaves it to the ledger's setting.
    """

    flow_id: str
    input_value: str
    output_type: OutputType = "chat"
    input_type: InputType = "chat"
    tweaks: dict[str, Any] | None = None
    session_id: str | None = None
    stream: bool = False
    mode: CallMode | None = None
    row: str | None = None
    files: FieldFiles | None = None
    on_unknown: OnUnknown | None = None

    def deciding(self) -> dict[str, Any]:
        """Give what decides the answer, and so makes two calls equal: not the way in which it is sent."""
        return {
            "input_value": self.input_value,
            "output_type": self.output_type,
            "input_type": self.input_type,
            "tweaks": self.tweaks,
            "session_id": self.session_id,
            **({"files": identity_of(self.files)} if self.files else {}),
        }

    def in_its_own_session(self, key: str) -> "CallRequest":
        """Keep a call apart from all others by its key, unless its caller names a session.

        Langflow would use one session for all calls of a flow: memory would tell one call what another has said, and
        the author would find them all in a session of their own. A retry has the session of the call that it retries,
        so that what became of that can be found there.
        """
        return self if self.session_id is not None else replace(self, session_id=own_session(key))


@dataclass(frozen=True)
class FlowReference:
    """What people and the ledger need to recognize a flow.

    Attributes:
        flow_id: Its id, or the name by which it was called where the id is not known.
        name: Its display name.
        url: Its page.
        endpoint_name: The name that calls may use in place of the id.
        version: The version of its content.
        needs_job: Whether it can only run as a job, as a flow that asks a human.
        look_up_error: Why it could not be looked up, where that was tried.
        document: The flow as its server stores it, with the fields that tweaks can set; None where that is not known.
    """

    flow_id: str
    name: str | None = None
    url: str | None = None
    endpoint_name: str | None = None
    version: str | None = None
    needs_job: bool = False
    look_up_error: LangflowError | None = None
    document: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)


class FlowNotIdentified(LangflowError):  # noqa: N818 (as the errors that it stands beside)
    """A quota may be for this flow, and whether it is can't be told, because the flow could not be looked up."""

    default_outcome = "not_run"


def own_session(key: str) -> str:
    """Name the session of a call whose caller names none, by its key."""
    return f"{OWN_SESSION}{key[:32]}"
