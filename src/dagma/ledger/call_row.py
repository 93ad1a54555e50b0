"""What a call's row says of it from the beginning."""

from dataclasses import replace
from typing import Any

from dagma.ledger.call import Call
from dagma.ledger.texts import TextPolicy, storable

NAMES = (
    *("flow_id", "flow_address", "flow_name", "flow_title", "flow_version", "backend", "scope"),
    *("session_id", "run_id", "step", "partition", "row", "principal"),
)
"""The texts of a call beside its input. Its key is made of them as they are, and the row holds what can be stored."""
PRINCIPAL_CHARACTERS = 200


def storable_call(call: Call) -> Call:
    """Give a call whose texts the database can hold.

    Args:
        call: The call.

    Returns:
        The same one, if they are as they should be.
    """
    named = {name: value for name in NAMES if (value := getattr(call, name)) is not None}
    changed: dict[str, Any] = {name: stored for name, value in named.items() if (stored := storable(value)) != value}
    return replace(call, **changed) if changed else call


def row_of(call: Call, texts: TextPolicy) -> dict[str, Any]:
    """Describe a call as its row does.

    Args:
        call: The call, storable.
        texts: What may be kept of its input.

    Returns:
        The columns that never change; who inserts the row adds its id, key, attempt, state and reservation.
    """
    return {
        "scope": call.scope,
        "flow_id": call.flow_id,
        "flow_name": call.flow_name,
        "flow_title": call.flow_title,
        "flow_version": call.flow_version,
        "backend": call.backend,
        "mode": call.mode,
        "session_id": call.session_id,
        "run_id": call.run_id,
        "step": call.step,
        "partition_key": call.partition,
        "row_key": call.row,
        "principal": call.principal and call.principal[:PRINCIPAL_CHARACTERS],
        "input_characters": len(call.input_text or ""),
        "input_hash": call.input_hash,
        "input_text": texts.of_text(call.input_text),
    }
