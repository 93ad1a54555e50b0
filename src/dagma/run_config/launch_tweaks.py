"""Which fields of a flow a run's config may set.

Whoever may launch runs may choose what a flow is asked, and not where it sends that, with whose key, or which code it
runs. Calls from code (`backend.run_flow(tweaks=...)`) may set every field.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from dagma import environment
from dagma.calls.request import FlowReference
from dagma.flows.document import component_of, nodes_of, template_fields
from dagma.langflow import BadRequest, LangflowError
from dagma.langflow.errors import nothing_runs_yet
from dagma.langflow.flow import Flow
from dagma.langflow.untrusted_json import walk

VARIABLE = "DAGMA_RUN_CONFIG_TWEAKS"

# What Langflow calls the kinds of fields that hold a plain value. Others choose models, files, connections or tools, or
# hold objects, in which anything can stand.
PLAIN_TYPES = frozenset({"str", "int", "float", "bool", "slider", "tab", "prompt", "mustache", "query"})
# For these Langflow takes an object as the value; for all others as attributes of the field, such as the global
# variable that it is read from.
OBJECT_TYPES = frozenset({"dict", "NestedDict", "mcp"})

# Words in a field's name, and what it then holds.
_WORDS = {
    "a secret": "auth authorization bearer cert certificate cookie cookies credential credentials header headers key "
    "keys passphrase passwd password private secret token",
    "a model or its provider": "deployment llm model models provider vendor",
    "code": "args cmd code command dangerous env environment eval exec function import imports javascript kwargs "
    "python script shell sql",
    "an address or a file": "address base bucket connection curl database db dir directory domain dsn endpoint file "
    "filename files folder host hostname ip path paths port proxy server uri url urls webhook",
}
_HOLDS = {word: what for what, words in _WORDS.items() for word in words.split()}
# The same in names that are written in one.
_PARTS = {
    **dict.fromkeys(("apikey", "password", "secret", "credential"), "a secret"),
    **dict.fromkeys(("model", "provider"), "a model or its provider"),
    **dict.fromkeys(("url", "endpoint", "hostname"), "an address or a file"),
    "filter_instruction": "code",
}
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def allowed_from_environment() -> frozenset[tuple[str, str]]:
    """Read which more fields a run's config may set: `DAGMA_RUN_CONFIG_TWEAKS`, pairs of component and field.

    Raises:
        SettingError: An entry names no component or no field.
    """
    allowed = set()
    for entry in filter(None, (part.strip() for part in environment.text(VARIABLE, "").split(","))):
        component, _, field = entry.rpartition(".")
        if not component or not field:
            raise environment.SettingError(
                f"{VARIABLE} has {entry!r}. Give component.field, separated by commas; the component by its id, its "
                "type or its name in the canvas, such as: Language Model.model_name"
            )
        allowed.add((component.strip(), field.strip()))
    return frozenset(allowed)


def check_launch_tweaks(tweaks: Mapping[str, Any], flow: FlowReference) -> None:
    """Refuse tweaks of a run's config that would set more than a run's config may.

    Args:
        tweaks: Values by field, by component id.
        flow: The flow, looked up. Where its backend describes no fields, their names decide.

    Raises:
        BadRequest: A field may not be set; the error says why, and which setting allows it.
        LangflowError: The flow can't be looked up now.
    """
    allowed = allowed_from_environment()
    if flow.document is not None:
        _check_by_document(tweaks, flow.document, allowed)
    elif flow.look_up_error is not None:
        _check_unseen(tweaks, flow.look_up_error, allowed)
    else:
        for component, field in _pairs(tweaks, flow.flow_id):
            around = None if component == flow.flow_id else _held_by_name(component)
            what = around or _held_by_name(field)
            if what and (component, field) not in allowed:
                raise _refused(component, field, f"by its name it holds {what}")


def _check_by_document(
    tweaks: Mapping[str, Any], document: Mapping[str, Any], allowed: frozenset[tuple[str, str]]
) -> None:
    nodes = {str(node.get("id")): node for node in nodes_of(dict(document))}
    for component, values in tweaks.items():
        if not isinstance(values, Mapping):
            raise BadRequest(
                f"The tweak {component!r} of the run's config names no component.",
                fix="Give {component id: {field: value}}.",
            )
    Flow.of(document).check_tweaks(tweaks)
    for component, values in tweaks.items():
        node = nodes[component]
        names = {component, walk(node, "data", "type"), component_of(node).get("display_name")}
        for name, value in values.items():
            field = template_fields(node).get(name, {})
            if isinstance(value, Mapping) and field.get("type") not in OBJECT_TYPES:
                raise BadRequest(
                    f"The tweak of {component}.{name} in the run's config is an object, which Langflow takes as "
                    "attributes of the field.",
                    fix="Give a plain value.",
                )
            what = _held(name, field)
            if what and not any((alias, name) in allowed for alias in names):
                raise _refused(component, name, what)


def _check_unseen(tweaks: Mapping[str, Any], error: LangflowError, allowed: frozenset[tuple[str, str]]) -> None:
    """Let through only what the setting names: nothing is known of the flow's fields."""
    for component, values in tweaks.items():
        fields = values if isinstance(values, Mapping) else {"": values}
        for name, value in fields.items():
            if (component, name) in allowed and not isinstance(value, Mapping):
                continue
            if error.retryable:
                with nothing_runs_yet():
                    raise error
            raise _refused(component, name, f"the flow's fields can't be looked up ({error.cause.rstrip('.')})")


def _held(name: str, field: Mapping[str, Any]) -> str | None:
    """Say what a field holds that a run's config may not set; None for all others."""
    proxy = field.get("proxy")
    inner = proxy.get("field") if isinstance(proxy, Mapping) else None  # of a group of components
    by_name = _held_by_name(name) or (_held_by_name(inner) if isinstance(inner, str) else None)
    kind = field.get("type")
    if field.get("password"):
        return "it holds a secret"
    if kind == "model":
        return "it holds a model or its provider"
    if by_name:
        return f"by its name it holds {by_name}"
    if kind not in PLAIN_TYPES:
        return f"it is no plain value, but of the type {kind!r}"
    if field.get("load_from_db") and field.get("value"):
        return "it is read from a global variable of Langflow"
    if isinstance(value := field.get("value"), str) and re.match(r"[a-z][a-z0-9+.-]*://", value, re.IGNORECASE):
        return "it holds an address"
    return None


def _held_by_name(name: str) -> str | None:
    words = (_HOLDS.get(word.lower()) for word in _WORD.findall(name))
    parts = (what for part, what in _PARTS.items() if part in name.lower())
    return next((what for what in (*words, *parts) if what), None)


def _pairs(tweaks: Mapping[str, Any], flow_id: str) -> Iterator[tuple[str, str]]:
    """List every name that tweaks hold, each with the one around it; the flow's id around the outermost."""
    for name, value in tweaks.items():
        inner = list(_mappings(value))
        for each in inner:
            yield from _pairs(each, name)
        if not inner or isinstance(value, list):
            yield flow_id, name


def _mappings(value: Any) -> Iterator[Mapping[str, Any]]:
    """Give a value if it is an object; of a list, the objects in it."""
    if isinstance(value, Mapping):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _mappings(each)


def _refused(component: str, field: str, why: str) -> BadRequest:
    return BadRequest(
        f"A run's config may not set the field {field!r} of {component!r}: {why}.",
        fix=f"Set it in the flow, or allow it: {VARIABLE}={component}.{field}",
    )
