"""What a template may do: read the values that it is given, within limits, and nothing else."""

import json
import time
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date, timedelta
from datetime import time as time_of_day
from decimal import Decimal
from typing import Any
from uuid import UUID

from jinja2 import StrictUndefined
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context, LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from typing_extensions import override

MOST_CHARACTERS = 50_000_000
"""The longest text that a template may write."""
MOST_SECONDS = 10.0
"""The longest time that filling in one template may take."""
MOST_BITS = 10_000
"""The largest whole number that a power may be."""

_PLAIN = (str, bytes, int, float, Decimal, Mapping, list, tuple, set, frozenset, date, time_of_day, timedelta, UUID)
# Calling what is undefined says what is missing.
_OF_JINJA = (LoopContext, Macro, Namespace, StrictUndefined)
_ends_at: ContextVar[float] = ContextVar("dagma_template_ends_at")


class TemplateSandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, with less in it.

    - A name that does not exist is an error, which lists the names that do.
    - `row.items` is the key `items` where there is one, and only else the method.
    - Methods can be called of texts, numbers, dates, lists and dicts only: a value of another type, such as a path or a
      data frame, can do anything.
    - Nothing differs from one run to the next: what has not changed is not asked again.
    """

    intercepted_binops = frozenset({"*", "**"})

    def __init__(self) -> None:
        # Nothing is escaped: what is filled in is text for a model, and no page.
        super().__init__(undefined=StrictUndefined, autoescape=False, finalize=_shown)
        # Jinja's own writes < as \u003c, for pages.
        self.filters["tojson"] = _json
        del self.filters["random"]
        self.globals = {"range": self.globals["range"], "dict": dict, "namespace": Namespace}

    @override
    def getattr(self, obj: Any, attribute: str) -> Any:
        if not isinstance(obj, Mapping):
            return super().getattr(obj, attribute)
        return obj[attribute] if attribute in obj else self._told(obj, attribute, super().getattr(obj, attribute))

    @override
    def getitem(self, obj: Any, argument: Any) -> Any:
        found = super().getitem(obj, argument)
        return self._told(obj, argument, found) if isinstance(obj, Mapping) else found

    @override
    def is_safe_callable(self, obj: Any) -> bool:
        if isinstance(obj, _OF_JINJA) or any(obj is known for known in self.globals.values()):
            return True
        owner = getattr(getattr(obj, "__wrapped__", obj), "__self__", None)
        return isinstance(owner, _PLAIN + _OF_JINJA) and super().is_safe_callable(obj)

    @override
    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 (as Jinja has it)
        # A loop that writes nothing calls `range` at least.
        check_time()
        if not __self.is_safe_callable(__obj):
            name = getattr(__obj, "__qualname__", type(__obj).__qualname__)
            raise SecurityError(f"it calls {name}, and may call methods of texts, numbers, dates, lists and dicts only")
        return super().call(__context, __obj, *args, **kwargs)

    @override
    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if (
            operator == "**"
            and isinstance(left, int)
            and isinstance(right, int)
            and right * left.bit_length() > MOST_BITS
        ):
            raise SecurityError(f"it computes a power of more than {MOST_BITS:,} bits")
        for many, times in ((left, right), (right, left)):
            if isinstance(many, str | bytes | list | tuple) and isinstance(times, int):
                _check_size(len(many) * times)
        return super().call_binop(context, operator, left, right)

    def _told(self, obj: Mapping[Any, Any], name: Any, found: Any) -> Any:
        """Say of a key that is missing which ones there are."""
        if not isinstance(found, StrictUndefined) or hasattr(obj, str(name)):
            return found  # or refused, which says more
        names = ", ".join(map(str, list(obj)[:20]))
        return self.undefined(f"there is no {name!r}{f', only {names}' if names else ''}", obj=obj, name=name)


@contextmanager
def time_limit() -> Iterator[None]:
    """Let what runs in here take no longer than a template may."""
    token = _ends_at.set(time.monotonic() + MOST_SECONDS)
    try:
        yield
    finally:
        _ends_at.reset(token)


def check_time() -> None:
    """End a template that takes too long.

    Raises:
        SecurityError: Its time is over.
    """
    if time.monotonic() > _ends_at.get():
        raise SecurityError(f"it took longer than {MOST_SECONDS:g} s")


def joined(pieces: Iterable[str]) -> str:
    """Join what a template writes.

    Raises:
        SecurityError: It is too much, or its time is over.
    """
    written, size = [], 0
    for piece in pieces:
        size += len(piece)
        _check_size(size)
        check_time()
        written.append(piece)
    return "".join(written)


def is_missing(value: Any) -> bool:
    """Tell whether a value stands for none: None, NaN, or what pandas, which need not be installed, has for it."""
    is_nan = isinstance(value, float) and value != value
    return value is None or is_nan or type(value).__name__ in ("NAType", "NaTType")


def _check_size(characters: int) -> None:
    if characters > MOST_CHARACTERS:
        raise SecurityError(f"it writes more than {MOST_CHARACTERS:,} characters")


def whole(value: Any) -> Any:
    """Give the keys of a dict, a set, or what a filter such as `map` yields bit by bit, as the list that it means."""
    if isinstance(value, set | frozenset):
        return sorted(value, key=repr)  # else in another order in each process
    return list(value) if isinstance(value, Iterator | KeysView | ValuesView | ItemsView) else value


def _shown(value: Any) -> Any:
    """Write a value as text: what a model reads, and not Python's own notation."""
    value = whole(value)
    if is_missing(value):
        return ""
    return _json(value) if isinstance(value, dict | list | tuple) else value


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(whole(value), ensure_ascii=False, default=str, indent=indent)
