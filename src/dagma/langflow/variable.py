"""A global variable of Langflow, which fields of flows can be bound to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from dagma.langflow.errors import MalformedResponse
from dagma.langflow.untrusted_json import text_or_none

VariableType = Literal["Generic", "Credential"]


@dataclass(frozen=True)
class Variable:
    """A global variable.

    Args:
        id: UUID.
        name: Name that fields are bound to.
        kind: `Generic`, or `Credential`, which works in credential fields only.
        value: The value; None for a credential, which Langflow does not give back.
    """

    id: str
    name: str
    kind: str
    value: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> "Variable":
        """Read a variable's JSON.

        Raises:
            MalformedResponse: It has no id or no name.
        """
        variable_id, name = text_or_none(body.get("id")), text_or_none(body.get("name"))
        if variable_id is None or name is None:
            raise MalformedResponse("Langflow sent a variable without an id or a name.", outcome="not_run")
        kind = text_or_none(body.get("type")) or "Generic"
        return cls(id=variable_id, name=name, kind=kind, value=text_or_none(body.get("value")))
