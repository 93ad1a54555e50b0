"""The columns that a flow answers with: how they are declared, told to the model, and checked."""

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from dagma.batches.errors import RowsError
from dagma.batches.values import MOST_INTEGER, Kind, kind_of

TYPES: Mapping[str, Kind] = {"string": "text", "integer": "integer", "number": "number", "boolean": "boolean"}
PLACEHOLDER = "..."
FORMS = {"string": f'"{PLACEHOLDER}"', "integer": "1", "number": "1.5", "boolean": "true or false"}
"""How values are shown to the model."""
# A text that is longer says more than a word of `enum`.
LONGEST_SAYING = 60
KEYWORDS = {"type", "enum", "items", "minimum", "maximum", "description", "optional"}
EXAMPLE = "{label: {enum: [positive, negative]}, reason: string}"
ANSWER = "answer"
"""The column of the answer's text, in tables that declare no output."""


class AnswerFault(Exception):  # noqa: N818 (it says what happened)
    """An answer does not give the columns that were asked for; the message says which, and why."""


@dataclass(frozen=True)
class OutputColumn:
    """One column of the output.

    Attributes:
        name: Its name.
        type: `string`, `integer`, `number`, `boolean` or `array`, as in JSON schema.
        enum: The values that it may have; empty for any.
        items: What an array holds.
        minimum: The least number.
        maximum: The greatest number.
        description: What it means, for the model.
        optional: Whether it may be missing or null.
    """

    name: str
    type: str
    enum: tuple[Any, ...] = ()
    items: "OutputColumn | None" = None
    minimum: float | None = None
    maximum: float | None = None
    description: str = ""
    optional: bool = False

    @property
    def kind(self) -> Kind:
        """The kind of its column in a table; arrays are kept as JSON."""
        return TYPES.get(self.type, "text")

    @classmethod
    def of(cls, name: str, declared: Any) -> "OutputColumn":
        """Read a declaration: a type's name, or an object with `type` or `enum`.

        Raises:
            RowsError: It can't be read.
        """
        options = {"type": declared} if isinstance(declared, str) else declared
        where = f"The output column {name!r}"
        if not isinstance(options, Mapping) or options.keys() - KEYWORDS:
            strange = sorted(options.keys() - KEYWORDS) if isinstance(options, Mapping) else [declared]
            raise RowsError(f"{where} has {strange[0]!r}, which is not known. Write it as in {EXAMPLE}.")
        enum = _enum(where, options)
        kind = options.get("type") or ("array" if "items" in options else _type_of(enum))
        if kind not in [*TYPES, "array"]:
            raise RowsError(f"{where} has the type {kind!r}. Choose one of: {', '.join(TYPES)}, array.")
        if kind == "array" and "items" not in options:
            raise RowsError(f"{where} is an array of what? Write {{type: array, items: string}}.")
        minimum, maximum = _bound(where, options, "minimum"), _bound(where, options, "maximum")
        if (minimum, maximum) != (None, None) and kind not in ("integer", "number"):
            raise RowsError(f"{where} has a minimum or maximum, and is no number. Leave it out.")
        if minimum is not None and maximum is not None and minimum > maximum:
            raise RowsError(f"{where} has the minimum {minimum:g}, which is more than the maximum {maximum:g}.")
        column = cls(
            name=name,
            type=kind,
            enum=enum,
            items=cls.of(name, options["items"]) if kind == "array" else None,
            minimum=minimum,
            maximum=maximum,
            description=str(options.get("description") or ""),
            optional=options.get("optional") is True,
        )
        for value in enum:
            if column.fault_of(value):
                raise RowsError(f"{where} lists {value!r}, which {column.fault_of(value)}.")
        return column

    def schema(self) -> dict[str, Any]:
        """Give its JSON schema."""
        schema: dict[str, Any] = {"type": [self.type, "null"] if self.optional else self.type}
        if self.enum:
            schema["enum"] = [*self.enum, None] if self.optional else list(self.enum)
        if self.items is not None:
            schema["items"] = self.items.schema()
        bounds = {"minimum": self.minimum, "maximum": self.maximum, "description": self.description or None}
        return schema | {name: value for name, value in bounds.items() if value is not None}

    @property
    def form(self) -> str:
        """How a value is written, such as `"positive" or "negative"`."""
        if self.enum:
            form = " or ".join(json.dumps(value, ensure_ascii=False) for value in self.enum)
        else:
            form = f"[{self.items.form}, ...]" if self.items is not None else FORMS[self.type]
        return f"{form} or null" if self.optional else form

    @property
    def notes(self) -> str:
        """What the model has to know of the column besides; empty where there is nothing."""
        bounds = [f"at least {self.minimum:g}"] if self.minimum is not None else []
        bounds += [f"at most {self.maximum:g}"] if self.maximum is not None else []
        said = [self.description.rstrip(".")] if self.description else []
        return f"{self.name}: {'; '.join([*said, *bounds])}." if said or bounds else ""

    def checked(self, value: Any) -> Any:
        """Give a value as the column holds it.

        A number or list that is written as a text is taken as such, and a short text with one word of `enum` as the
        word.

        Raises:
            AnswerFault: It is no value of this column.
        """
        if self.optional and value in (None, "null"):
            return None
        taken = self._taken(value)
        if fault := self.fault_of(taken):
            raise AnswerFault(f"{self.name} {fault}.")
        if self.items is not None:
            return [self.items.checked(inner) for inner in taken]
        return float(taken) if self.type == "number" else taken

    def fault_of(self, value: Any) -> str | None:
        """Say what is wrong with a value, to be read after the column's name; None where it is right."""
        shown = _shown(value)
        fits = isinstance(value, list) if self.type == "array" else _fits(value, TYPES[self.type])
        if not fits:
            return f"is {shown}, and not {'an' if self.type[0] in 'ai' else 'a'} {self.type}"
        if self.type == "string" and not self.enum and value.strip() == PLACEHOLDER:
            return f"is {shown}, the placeholder of the form and no answer"
        if self.enum and value not in self.enum:
            return f"is {shown}, which is none of {', '.join(map(_shown, self.enum))}"
        if self.minimum is not None and value < self.minimum:
            return f"is {shown}, which is less than {self.minimum:g}"
        if self.maximum is not None and value > self.maximum:
            return f"is {shown}, which is more than {self.maximum:g}"
        return None

    def _taken(self, value: Any) -> Any:
        if self.type == "string":
            if isinstance(value, str) and self.enum and value not in self.enum:
                return self._said_by(value.strip())
            return value
        if self.type in ("integer", "number", "array") and isinstance(value, str):
            try:
                value = json.loads(value.strip())
            except (ValueError, RecursionError):
                return value
        if self.type == "integer" and isinstance(value, float) and value.is_integer():
            return int(value)
        if self.type == "boolean" and isinstance(value, str):
            return {"true": True, "false": False}.get(value.strip().lower(), value)
        return value

    def _said_by(self, text: str) -> str:
        """Give the value of `enum` that a text such as "It is positive." says; the text where it says none, or more."""
        folded = text.casefold()
        said = [word for word in self.enum if _says(folded, word.casefold())]
        # Of "very good" and "good" the longer one.
        said = [word for word in said if not any(word != other and word in other for other in said)]
        if len(said) == 1 and said[0].casefold() in ("a", "i") and not _says(folded, said[0].casefold(), at_end=True):
            return text  # an article or a pronoun, other than in "The answer is A."
        is_plain = len(text) <= LONGEST_SAYING and not re.search(r"\bnot\b|n't\b", folded)
        return said[0] if len(said) == 1 and (is_plain or folded.strip(".\"'`*") == said[0].casefold()) else text


@dataclass(frozen=True)
class OutputColumns:
    """All columns of the output, in order."""

    columns: tuple[OutputColumn, ...]

    @classmethod
    def of(cls, declared: Mapping[str, Any]) -> "OutputColumns":
        """Read a declaration, such as `{label: {enum: [positive, negative]}, reason: string}`.

        Raises:
            RowsError: It can't be read.
        """
        if not isinstance(declared, Mapping) or not declared:
            raise RowsError(f"The output declares no columns. Write it as in {EXAMPLE}, or leave it out.")
        return cls(tuple(OutputColumn.of(str(name), column) for name, column in declared.items()))

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of an answer."""
        return {
            "type": "object",
            "properties": {column.name: column.schema() for column in self.columns},
            "required": [column.name for column in self.columns if not column.optional],
        }

    @property
    def form(self) -> str:
        """How an answer is written, such as `{"label": "positive" or "negative", "reason": "..."}`."""
        return f"{{{', '.join(f'{json.dumps(column.name)}: {column.form}' for column in self.columns)}}}"

    @property
    def told_form(self) -> str:
        """The sentence that tells the model the form."""
        return f"Answer with JSON only, in this form: {self.form}"

    def instructions(self, question: str) -> str:
        """Say what the model is told about how to answer. By an example: small models give a schema back.

        Args:
            question: What it is asked.

        Returns:
            The text to add; empty where there is one column, and the question names each of its values.
        """
        notes = [column.notes for column in self.columns if column.notes]
        if len(self.columns) == 1 and self.columns[0].enum:
            words = [*map(str, self.columns[0].enum), *(["null"] if self.columns[0].optional else [])]
            literal = re.sub(r"\{\{.*?\}\}|\{%.*?%\}", " ", question, flags=re.DOTALL)
            told = [] if all(_says(literal, word) for word in words) else [f"Answer with one of: {', '.join(words)}."]
        else:
            told = [self.told_form]
        return "\n".join([*told, *notes])

    def restored(self, stored: Mapping[str, Any]) -> dict[str, Any]:
        """Give the columns as `checked` gave them, of a row of a table, which keeps arrays as JSON.

        The table's column may hold more kinds than this one has: it was another one before.
        """
        values = {column.name: stored[column.name] for column in self.columns}
        for column in self.columns:
            value = values[column.name]
            with suppress(TypeError, ValueError, AnswerFault):  # of a row from when the column was another one
                if value is not None:
                    values[column.name] = column.checked(value)
        return values

    def checked(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """Give the columns of an answer; what it has beside them is left out.

        Raises:
            AnswerFault: A column is missing or has a value that it may not have; the message names all such.
        """
        checked: dict[str, Any] = {}
        faults: list[str] = []
        for column in self.columns:
            if column.name not in answer and not column.optional:
                faults.append(f"{column.name} is missing.")
                continue
            try:
                checked[column.name] = column.checked(answer.get(column.name))
            except AnswerFault as fault:
                faults.append(str(fault))
        if faults:
            raise AnswerFault(" ".join(faults))
        return checked


def _enum(where: str, options: Mapping[str, Any]) -> tuple[Any, ...]:
    enum = options.get("enum", ())
    if "enum" in options and (not isinstance(enum, list | tuple) or not enum):
        raise RowsError(f"{where} has an enum without values. Write it as in {EXAMPLE}.")
    if any(isinstance(value, bool) for value in enum):
        raise RowsError(
            f"{where} lists true or false, which YAML makes of yes, no, on and off. If they are words, quote them: "
            "'yes'; else write boolean without an enum."
        )
    return tuple(enum)


def _type_of(enum: Sequence[Any]) -> str:
    kinds = {kind_of(value) for value in enum}
    if kinds == {"integer", "number"}:
        return "number"
    names = [name for name, kind in TYPES.items() if kinds == {kind}]
    return names[0] if names else "string"


def _bound(where: str, options: Mapping[str, Any], name: str) -> float | None:
    bound = options.get(name)
    if bound is not None and (
        isinstance(bound, bool) or not isinstance(bound, int | float) or not abs(bound) < float("inf")
    ):
        raise RowsError(f"{where} has the {name} {bound!r}, which is no number.")
    return bound


def _fits(value: Any, kind: Kind) -> bool:
    found = "text" if isinstance(value, str) else None if isinstance(value, list | dict) else kind_of(value)
    if found == "integer" and abs(value) > MOST_INTEGER:
        return False
    if found == "number" and not abs(value) < float("inf"):
        return False
    return found == kind or (found, kind) == ("integer", "number")


def _says(text: str, word: str, *, at_end: bool = False) -> bool:
    """Tell whether a text has a word, as a whole."""
    end = r"\W*$" if at_end else r"(?!\w)"
    return re.search(rf"(?<!\w){re.escape(word)}{end}", text) is not None


def _shown(value: Any) -> str:
    try:
        shown = json.dumps(value, ensure_ascii=False, default=str)
    except RecursionError:
        return "nested too deeply"
    return shown if len(shown) <= 80 else f"{shown[:80]}..."
