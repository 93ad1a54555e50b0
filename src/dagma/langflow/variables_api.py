"""The global variables on a Langflow server, which fields of flows can be bound to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from dagma.langflow.errors import MalformedResponse
from dagma.langflow.flow import checked_uuid
from dagma.langflow.http.connection import Connection
from dagma.langflow.untrusted_json import json_object, json_objects, text_or_none

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


class VariablesApi(Connection):
    """Reads and writes global variables."""

    def list_variables(self) -> list[Variable]:
        """Return the user's global variables; credentials come without their value.

        Raises:
            LangflowError: They can't be had.
        """
        return [Variable.of(body) for body in json_objects(self._send("GET", "/api/v1/variables/", "variables"))]

    def set_variable(self, name: str, value: str, *, kind: VariableType = "Generic") -> Variable:
        """Create a global variable, or change the value of the one with this name.

        Args:
            name: Its name.
            value: Its value.
            kind: For a new one: `Generic` to bind to any field; `Credential` to keep the value from being read back.

        Raises:
            LangflowError: It can't be set.
        """
        found = next((variable for variable in self.list_variables() if variable.name == name), None)
        method, path = "POST", "/api/v1/variables/"
        payload = {"name": name, "value": value, "type": kind, "default_fields": []}
        if found:
            method, path = "PATCH", f"/api/v1/variables/{checked_uuid('id', found.id)}"
            payload = {"id": found.id, "name": name, "value": value}
        with self._transport.hiding(value):
            reply = self._send(method, path, f"setting of variable {name!r}", payload=payload, idempotent=bool(found))
            return Variable.of(json_object(reply))

    def delete_variable(self, variable: Variable) -> None:
        """Delete a global variable.

        Raises:
            LangflowError: It can't be deleted.
        """
        path = f"/api/v1/variables/{checked_uuid('id', variable.id)}"
        self._send("DELETE", path, f"deletion of variable {variable.name!r}", idempotent=False)
