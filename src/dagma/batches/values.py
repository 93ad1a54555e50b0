"""Values of rows: as keys, as what a table can hold, and of which kind."""

import json
import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Literal

from dagma.calls.templates import is_array
from dagma.ledger.texts import storable

Kind = Literal["integer", "number", "boolean", "text"]
"""What a column of a table holds."""

MOST_INTEGER = 2**63 - 1
MOST_KEY_CHARACTERS = 500


def plain(value: Any) -> Any:
    """Give a value as SQL and JSON can hold it.

    Args:
        value: Of any type. Numbers of NumPy become Python's, and what is not a number becomes None.

    Returns:
        None, a bool, an int of 64 bits, a finite float or a text. Times are ISO 8601; lists and objects are JSON.
    """
    value = _unboxed(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        # Python itself writes no more than 4,300 digits of a number.
        return value if abs(value) <= MOST_INTEGER else str(Decimal(value))
    if isinstance(value, float):
        return value if math.isfinite(value) else None if math.isnan(value) else str(value)
    return _text(value)


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return storable(value)
    if type(value).__name__ in ("NAType", "NaTType"):  # of pandas, which need not be installed
        return None
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, bytes | bytearray | memoryview):
        return storable(bytes(value).decode("utf-8", "replace"))
    if isinstance(value, Mapping | Sequence | set | frozenset):
        return storable(json.dumps(jsonable(value), ensure_ascii=False))
    return storable(str(value))


def kind_of(value: Any) -> Kind | None:
    """Say which kind of column a value of `plain` fits; None fits all."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    return "number" if isinstance(value, float) else "text"


def common_kind(one: Kind | None, other: Kind | None) -> Kind | None:
    """Choose the kind of a column that holds values of two kinds: text, unless both are numbers."""
    if one is None or other is None or one == other:
        return one or other
    return "number" if {one, other} == {"integer", "number"} else "text"


def fitting(value: Any, kind: Kind) -> Any:
    """Give a value of `plain` as a column of a kind holds it: text columns hold everything, as JSON writes it."""
    if value is None or kind_of(value) == kind:
        return value
    if kind == "number" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return json.dumps(value) if kind == "text" else None


def key_text(value: Any) -> str:
    """Write the key of a row as text, so that 1, 1.0 and "1" are the same key.

    Raises:
        ValueError: No key can be empty, of this type, or as long; the message says which.
    """
    value = _unboxed(value)
    if isinstance(value, float | Decimal) and math.isfinite(value) and value == int(value):
        value = int(value)  # pandas turns whole numbers into floats where one is missing, and databases into decimals
    if isinstance(value, Mapping | list | tuple | set | frozenset | bytes | bytearray | memoryview):
        raise ValueError(f"a {type(value).__name__}")
    text = value.strip() if isinstance(value, str) else plain(value)
    if text in (None, ""):
        raise ValueError("empty")
    if len(str(text)) > MOST_KEY_CHARACTERS:
        raise ValueError(f"longer than {MOST_KEY_CHARACTERS} characters")
    return storable(str(text))


def _unboxed(value: Any) -> Any:
    """Give a value of NumPy as Python's own."""
    if (kind := type(value).__name__) in ("datetime64", "timedelta64"):
        value = value.astype(f"{kind}[us]")  # by nanoseconds, as pandas keeps times, it would be a number
    return value.tolist() if type(value).__module__.startswith("numpy") and hasattr(value, "tolist") else value


def jsonable(value: Any) -> Any:
    """Give a value as JSON can hold it: mappings and lists stay such, arrays are lists; `plain` says of the rest."""
    if isinstance(value, Mapping):
        return {str(name): jsonable(inner) for name, inner in value.items()}
    is_list = isinstance(value, Sequence | set | frozenset) and not isinstance(value, str | bytes | bytearray)
    if is_list or is_array(value):
        return [jsonable(inner) for inner in value]
    return plain(value)
