"""Which fields of a flow a run's config may set: those of a list.

Whoever may launch runs may choose what a flow is asked, and not where it sends that, with whose key, or which code it
runs. Calls from code (`backend.run_flow(tweaks=...)`) may set every field.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from dagma import environment
from dagma.calls.request import FlowReference
from dagma.flows.document import component_of, nodes_of, template_fields
from dagma.langflow import BadRequest
from dagma.langflow.errors import nothing_runs_yet
from dagma.langflow.flow import Flow
from dagma.langflow.untrusted_json import walk

VARIABLE = "DAGMA_RUN_CONFIG_TWEAKS"
ALWAYS_ALLOWED = (
    "*.input_value, *.system_message, *.system_prompt, *.temperature, *.max_tokens, *.max_iterations, *.n_messages, "
    "*.stream"
)
"""What Langflow's models and agents call the fields for what they are asked and how they answer."""

# For these Langflow takes an object as the value; for all others as attributes of the field, such as the global
# variable that it is read from.
OBJECT_TYPES = frozenset({"dict", "NestedDict", "mcp"})


def allowed_from_environment() -> Mapping[str, set[str | None]]:
    """Read which fields a run's config may set: `ALWAYS_ALLOWED`, and what `DAGMA_RUN_CONFIG_TWEAKS` adds.

    By the field's name these are the components that it may be set of; None stands for every component.
    """
    allowed: dict[str, set[str | None]] = {}
    entries = f"{ALWAYS_ALLOWED},{environment.text(VARIABLE, '')}".split(",")
    for entry in filter(None, map(str.strip, entries)):
        component, field = (name.strip() for name in entry.rpartition(".")[::2])
        if not component or not field or "*" in field or ("*" in component and component != "*"):
            raise environment.SettingError(
                f"{VARIABLE} has {entry!r}. Give component.field, separated by commas; the component by its id, its "
                "type or its name in the canvas, or * for every component, such as: Language Model.model_name, *.seed"
            )
        allowed.setdefault(field, set()).add(None if component == "*" else component)
    return allowed


def check_launch_tweaks(tweaks: Mapping[str, Any], flow: FlowReference) -> None:
    """Refuse tweaks of a run's config that would set more than a run's config may.

    Raises:
        BadRequest: The flow has no such component or field, or the list does not have it; then the error says which
            setting allows it.
        LangflowError: The flow can't be looked up now, and the list may have the field by a name that only the flow
            tells.
    """
    allowed = allowed_from_environment()
    if flow.document is not None:
        Flow.of(flow.document).check_tweaks(tweaks)
        for name, values in tweaks.items():
            if not isinstance(values, Mapping):
                raise BadRequest(f"The tweak of {name!r} names no field.", fix="Give {component id: {field: value}}.")
        tweaks = {name: values for name, values in tweaks.items() if values}
    for component, field, value in _fields(tweaks):
        names, field_type = _described(component, field, flow)
        listed = allowed.get(field, ())
        of = "" if component is None else f" of {component!r}"
        if not any(name in names for name in listed):
            refusal = BadRequest(
                f"A run's config may not set the field {field!r}{of}: {VARIABLE} does not allow it.",
                fix=f"Set it in the flow, or add it to {VARIABLE}: {component or '*'}.{field}",
            )
        elif isinstance(value, Mapping) and field_type not in OBJECT_TYPES:
            refusal = BadRequest(
                f"A run's config may not set the field {field!r}{of} to an object: it is not known to hold one.",
                fix="Give a plain value.",
            )
        else:
            continue
        if listed and flow.look_up_error is not None and flow.look_up_error.retryable:
            with nothing_runs_yet():
                raise flow.look_up_error
        raise refusal


def _fields(tweaks: Mapping[str, Any]) -> Iterator[tuple[str | None, str, Any]]:
    """Yield component, field and value; the component is None for a field beside the components."""
    for component, values in tweaks.items():
        if isinstance(values, Mapping) and values:
            yield from ((component, field, value) for field, value in values.items())
        else:
            yield None, component, values


def _described(component: str | None, field: str, flow: FlowReference) -> tuple[list[Any], str | None]:
    """Give the names that the list may have for a component, and the type of its field where the flow tells it."""
    if component is not None and flow.document is not None:
        node = next(node for node in nodes_of(dict(flow.document)) if node.get("id") == component)
        names = [component, walk(node, "data", "type"), component_of(node).get("display_name"), None]
        return names, template_fields(node).get(field, {}).get("type")
    if flow.look_up_error is not None:
        return [component, None], None
    # Of another backend nobody knows whether this is a component, or a field that takes an object.
    return [component], None
