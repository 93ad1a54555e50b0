"""Templates of what is asked, for flows and rows alike: Jinja2, and strict about names that do not exist."""

import json
from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from functools import lru_cache
from inspect import isroutine
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, Undefined, nodes, pass_context
from jinja2 import Template as CompiledTemplate
from jinja2.meta import find_undeclared_variables
from jinja2.nativetypes import NativeEnvironment
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from typing_extensions import override

_LONGEST_CAUSE = 500
# Classes with one of these are tables and columns, whose own text has the first rows only, or none.
_OF_TABLES = ("__arrow_c_stream__", "__arrow_c_array__", "collect")


class BadTemplateError(ValueError):
    """A template can't be used, or not with these values; the message says which one, why, and what would do."""


class Template:
    """A text with `{{ expressions }}` in it.

    Lists, dicts and arrays appear as JSON, None and NaN as nothing; tables are refused. What a value holds is never
    read as a template itself.

    Args:
        source: The text.
        what: What it is a template of, for errors, such as "the input of the flow 'classify'".
        names: The variables that there will be.

    Raises:
        BadTemplateError: Its syntax is wrong, or it uses a variable that there will not be.
    """

    def __init__(self, source: str, what: str, names: Iterable[str]) -> None:
        self.what = what
        try:
            self._tree, self._template = _compiled(source)
        except TemplateSyntaxError as error:
            raise BadTemplateError(f"{_capital(what)} can't be read, in line {error.lineno}: {error.message}") from None
        self._place = _place_of_single(self._tree)
        self.names = frozenset(find_undeclared_variables(self._tree))
        """The variables that it uses."""
        if unknown := self.names - set(names):
            raise BadTemplateError(
                f"{_capital(what)} uses {_listed(unknown)}, which does not exist. It can use {_listed(names)}."
            )

    def members(self, name: str) -> frozenset[str]:
        """List what it takes from a variable: `a` and `b` of `name.a` and `name["b"]`."""
        return frozenset(_members(self._tree, name))

    def text(self, values: Mapping[str, Any]) -> str:
        """Fill it in; a BadTemplateError if it uses what the values do not have, or an expression fails on them."""
        return str(self._filled(values, _joined))

    def value(self, values: Mapping[str, Any]) -> Any:
        """Fill it in; one that is a single expression, such as `{{ config.temperature }}`, gives what that is.

        Of a value that is missing it gives an empty text: a field of a flow is empty then, and not null.
        """
        place = self._place
        return self._filled(values, _joined if place is None else lambda parts: _present(parts[place]))

    def _filled(self, values: Mapping[str, Any], put_together: Callable[[list[Any]], Any]) -> Any:
        try:
            return put_together(list(self._template.generate(values)))
        except Exception as error:
            cause = error.message if isinstance(error, TemplateError) else f"{type(error).__name__}: {error}"
            told = str(cause)[:_LONGEST_CAUSE].rstrip(".")
            raise BadTemplateError(f"{_capital(self.what)} can't be filled in: {told}.") from error


class NestedTemplates:
    """Templates inside of lists and dicts, such as tweaks: every text is one, and all else stays as it is.

    Raises:
        BadTemplateError: One of them can't be used.
    """

    def __init__(self, value: Any, what: str, names: Iterable[str]) -> None:
        names = frozenset(names)
        self.templates: list[Template] = []
        """Every template."""

        def parsed(text: str, what: str) -> Template:
            self.templates.append(Template(text, what, names))
            return self.templates[-1]

        self._parsed = _replaced(value, what, str, parsed)

    def value(self, values: Mapping[str, Any]) -> Any:
        """Fill each of them in; a BadTemplateError says which one can't be."""
        return _replaced(self._parsed, "", Template, lambda template, _: template.value(values))


def _replaced(value: Any, what: str, leaf: type, replace: Callable[[Any, str], Any]) -> Any:
    if isinstance(value, leaf):
        return replace(value, what)
    if isinstance(value, Mapping):
        return {key: _replaced(each, f"{what}.{key}", leaf, replace) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_replaced(each, f"{what}[{place}]", leaf, replace) for place, each in enumerate(value)]
    return value


def is_missing(value: Any) -> bool:
    """Tell whether a value stands for none: None, NaN, or what pandas, which need not be installed, has for it."""
    is_nan = isinstance(value, float) and value != value
    return value is None or is_nan or type(value).__name__ in ("NAType", "NaTType")


def unboxed(value: Any) -> Any:
    """Give an array or a number of NumPy, or of pandas, as Python's own values."""
    # Times as texts: by nanoseconds, as pandas keeps them, they would be numbers.
    is_time = type(value).__module__.startswith("numpy") and value.dtype.kind in "mM"
    return (value.astype(str) if is_time else value).tolist()


def is_array(value: Any) -> bool:
    """Tell whether a value is an array of NumPy, which need not be installed, or like one, as a column of pandas is."""
    is_like_one = hasattr(type(value), "tolist") and not isinstance(value, memoryview)
    return is_like_one and getattr(value, "ndim", 0) > 0


class _Environment(ImmutableSandboxedEnvironment, NativeEnvironment):
    """Jinja's sandbox, which gives the values of expressions as they are, and writes them as a model reads them.

    - A name that does not exist is an error, which lists the names that do.
    - `row.items` is the key `items` where there is one, and only else the method.
    - Nothing differs from one run to the next: what has not changed is not asked again.
    """

    def __init__(self) -> None:
        # Nothing is escaped: what is filled in is text for a model, and no page.
        super().__init__(undefined=StrictUndefined, autoescape=False, finalize=_checked)
        self.concat = _joined
        # Jinja's own writes < as \u003c, for pages.
        self.filters["tojson"] = _json
        del self.filters["random"], self.globals["lipsum"]

    @override
    def getattr(self, obj: Any, attribute: str) -> Any:
        if not isinstance(obj, Mapping):
            return super().getattr(obj, attribute)
        return obj[attribute] if attribute in obj else self._told(obj, attribute, super().getattr(obj, attribute))

    @override
    def getitem(self, obj: Any, argument: Any) -> Any:
        found = super().getitem(obj, argument)
        return self._told(obj, argument, found) if isinstance(obj, Mapping) else found

    def _told(self, obj: Mapping[Any, Any], name: Any, found: Any) -> Any:
        """Say of a key that is missing which ones there are."""
        if not isinstance(found, StrictUndefined) or hasattr(obj, str(name)):
            return found  # or refused, which says more
        names = ", ".join(map(str, list(obj)[:20]))
        return self.undefined(f"there is no {name!r}{f', only {names}' if names else ''}", obj=obj, name=name)


def _whole(value: Any) -> Any:
    """Give an array, the keys of a dict, a set, or what a filter such as `map` yields bit by bit, as a list.

    Raises:
        TemplateError: It is a table, or has no text but Python's own, which is another one in each process.
    """
    if is_array(value):
        return unboxed(value)
    if isinstance(value, set | frozenset):
        return sorted(value, key=repr)  # else in another order in each process
    if isinstance(value, Iterator | KeysView | ValuesView | ItemsView):
        return list(value)
    kind = type(value)
    has_text = any({"__repr__", "__str__"} & vars(base).keys() for base in kind.__mro__[:-1])
    if isroutine(value) or not has_text or any(hasattr(kind, name) for name in _OF_TABLES):
        hint = "Write a value or a method of it, such as {{ x.name }}, {{ x.to_csv() }} or {{ x | list }}"
        raise TemplateError(f"a {kind.__name__} can't be written as text. {hint}")
    return value


@pass_context  # with it, Jinja leaves constants to it as well
def _checked(_context: Context, value: Any) -> Any:
    if isinstance(value, Undefined):
        str(value)  # raises, and says what is missing
    return _whole(value)


def _joined(values: Iterable[Any]) -> str:
    return "".join(str(_shown(value)) for value in values)


def _present(value: Any) -> Any:
    if is_missing(value):
        return ""
    return unboxed(value) if hasattr(type(value), "dtype") else value  # JSON can't hold numbers of NumPy


def _shown(value: Any) -> Any:
    """Write a value as text: what a model reads, and not Python's own notation."""
    value = _whole(value)
    if is_missing(value):
        return ""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode()
    return _json(value) if isinstance(value, dict | list | tuple) else value


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(_whole(value), ensure_ascii=False, default=_inner, indent=indent)


def _inner(value: Any) -> Any:
    """Give what JSON has no word for as what it has one for."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode()
    whole = unboxed(value) if hasattr(type(value), "tolist") else _whole(value)
    return str(value) if whole is value else whole


_ENVIRONMENT = _Environment()


@lru_cache(maxsize=128)
def _compiled(source: str) -> tuple[nodes.Template, CompiledTemplate]:
    """Compile a template; many flows have the same."""
    return _ENVIRONMENT.parse(source), _ENVIRONMENT.from_string(source)


def _place_of_single(tree: nodes.Template) -> int | None:
    """Tell which of the parts is the expression, where a template is a single one with only blanks around it."""
    match tree.body:
        case [nodes.Output(nodes=inner)]:
            filled = [each for each in inner if not isinstance(each, nodes.TemplateData) or each.data.strip()]
            if len(filled) == 1 and not isinstance(filled[0], nodes.TemplateData):
                return int(filled[0] is not inner[0])  # Jinja gives the blanks before it as one part
    return None


def _members(tree: nodes.Node, name: str) -> Iterator[str]:
    for node in tree.find_all((nodes.Getattr, nodes.Getitem)):
        match node:
            case nodes.Getattr(node=nodes.Name(name=found), attr=str(member)) if found == name:
                yield member
            case nodes.Getitem(node=nodes.Name(name=found), arg=nodes.Const(value=str(member))) if found == name:
                yield member


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
