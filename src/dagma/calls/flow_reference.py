"""Which flow a call is for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dagma.langflow import LangflowError


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
