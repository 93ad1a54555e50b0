"""The columns that a flow answers with: how they are declared, told to the model, and checked."""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import pydantic
from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, StrictStr, TypeAdapter

from dagma.batches.errors import RowsError
from dagma.batches.values import MOST_INTEGER, Kind, kind_of

TYPES: Mapping[str, Kind] = {"string": "text", "integer": "integer", "number": "number", "boolean": "boolean"}
CHECKS: Mapping[str, TypeAdapter[Any]] = {
    "string": TypeAdapter(str),
    "integer": TypeAdapter(Annotated[int, Field(ge=-MOST_INTEGER, le=MOST_INTEGER)]),
    "number": TypeAdapter(Annotated[float, Field(allow_inf_nan=False)]),
    "boolean": TypeAdapter(bool),
}
"""What takes a value of each type, also one that is written as a text."""
PLACEHOLDER = "..."
FORMS = {"string": f'"{PLACEHOLDER}"', "integer": "1", "number": "1.5", "boolean": "true or false"}
"""How values are shown to the model."""
# A text that is longer says more than a word of `enum`.
LONGEST_SAYING = 60
EXAMPLE = "{label: {enum: [positive, negative]}, reason: string}"
ANSWER = "answer"
"""The column of the answer's text, in tables that declare no output."""


class AnswerFault(Exception):  # noqa: N818 (it says what happened)
    """An answer does not give the columns that were asked for; the message says which, and why."""


class OutputColumn(BaseModel):
    """One column of the output, declared in words of JSON schema; an optional one may be missing or null."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: str
    type: Literal["string", "integer", "number", "boolean", "array"]
    enum: tuple[StrictStr | StrictInt | StrictFloat, ...] = Field(default=(), min_length=1)
    items: "OutputColumn | None" = None
    minimum: StrictInt | StrictFloat | None = None
    maximum: StrictInt | StrictFloat | None = None
    description: str | None = None
    optional: bool = False

    @property
    def kind(self) -> Kind:
        """The kind of its column in a table; arrays are kept as JSON."""
        return TYPES.get(self.type, "text")

    @classmethod
    def of(cls, name: str, declared: Any) -> Self:
        """Read a declaration: a type's name, or an object with `type`, `enum` or `items`.

        Raises:
            RowsError: It can't be read.
        """
        options = declared if isinstance(declared, Mapping) else {"type": declared}
        options = {"type": "array" if "items" in options else _type_of(options.get("enum")), **options, "name": name}
        if "items" in options:
            options["items"] = cls.of(name, options["items"])
        try:
            return cls.model_validate(options)
        except pydantic.ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"][:2])) or "declaration"
            raise RowsError(
                f"The output column {name!r} can't be used: {where}: {first['msg']}. Write it as in {EXAMPLE}, and "
                "quote words such as 'yes' and 'no'."
            ) from None

    @pydantic.model_validator(mode="after")
    def _check(self) -> Self:
        if (self.items is None) == (self.type == "array"):
            raise ValueError("an array has items, such as {type: array, items: string}, and no other column has")
        if (self.minimum, self.maximum) != (None, None) and self.type not in ("integer", "number"):
            raise ValueError("only a number has a minimum or maximum")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError("the minimum is more than the maximum")
        try:
            for value in self.enum:
                self.checked(value)
        except AnswerFault as fault:
            raise ValueError(f"enum lists a value that no answer could have: {fault}") from None
        return self

    def as_json_schema(self) -> dict[str, Any]:
        """Give its JSON schema."""
        schema: dict[str, Any] = {"type": [self.type, "null"] if self.optional else self.type}
        if self.enum:
            schema["enum"] = [*self.enum, None] if self.optional else list(self.enum)
        if self.items is not None:
            schema["items"] = self.items.as_json_schema()
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
        if self.items is not None:
            return self._checked_list(self.items, value)
        try:
            # Else pydantic would take true as 1.
            taken = CHECKS[self.type].validate_python(json.dumps(value) if isinstance(value, bool) else value)
        except pydantic.ValidationError as error:
            raise self._fault(value, error.errors()[0]["msg"]) from None
        if self.enum:
            taken = self._listed(taken)
        elif self.type == "string" and taken.strip() == PLACEHOLDER:
            raise self._fault(value, "the placeholder of the form, not an answer")
        if self.minimum is not None and taken < self.minimum:
            raise self._fault(value, f"less than {self.minimum:g}")
        if self.maximum is not None and taken > self.maximum:
            raise self._fault(value, f"more than {self.maximum:g}")
        return taken

    def _checked_list(self, items: "OutputColumn", value: Any) -> list[Any]:
        with suppress(TypeError, ValueError, RecursionError):
            value = json.loads(value)
        if not isinstance(value, list):
            raise self._fault(value, "not a list")
        return [items.checked(inner) for inner in value]

    def _listed(self, value: Any) -> Any:
        """Give the value of `enum` that a value is, or that a text such as "It is positive." says."""
        if value in self.enum:
            return value
        bare = str(value).casefold().strip(" \n.\"'`*")
        said = [word for word in map(str, self.enum) if word.casefold() == bare]
        if not said and len(bare) <= LONGEST_SAYING and not re.search(r"\bnot\b|n't\b", bare):
            # Of a single letter it could be an article or a pronoun.
            said = [word for word in map(str, self.enum) if len(word) > 1 and _says(bare, word.casefold())]
        if self.type != "string" or len(said) != 1:
            raise self._fault(value, f"none of {', '.join(map(_shown, self.enum))}")
        return said[0]

    def _fault(self, value: Any, fault: str) -> AnswerFault:
        return AnswerFault(f"{self.name} is {_shown(value)}: {fault}.")


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
            "properties": {column.name: column.as_json_schema() for column in self.columns},
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
        """Say what the model is told about how to answer a question; nothing if that names each value of one column.

        By an example: small models give a schema back.
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
            with suppress(AnswerFault):  # of a row from when the column was another one
                if values[column.name] is not None:
                    values[column.name] = column.checked(values[column.name])
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


def _type_of(enum: Any) -> str:
    kinds = {kind_of(value) for value in enum} if isinstance(enum, list | tuple) else set()
    if kinds == {"integer"}:
        return "integer"
    return "number" if kinds and kinds <= {"integer", "number"} else "string"


def _says(text: str, word: str) -> bool:
    """Tell whether a text has a word, as a whole."""
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) is not None


def _shown(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=str)[:80]
    except RecursionError:
        raise AnswerFault("It is nested too deeply.") from None
