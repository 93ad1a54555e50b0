"""What is asked of a row, written as templates over its columns."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dagma.batches.errors import RowsError
from dagma.batches.values import jsonable
from dagma.calls.attached_files import BadFile, FieldFiles, attach_files, check_file_fields
from dagma.calls.request import named_session
from dagma.calls.templates import BadTemplateError, NestedTemplates, Template
from dagma.ledger.texts import storable

OUTPUT_FORMAT = "output_format"
"""The variable of a template that holds how to answer, where the table has output columns."""


@dataclass(frozen=True)
class Question:
    """What a row asks: its input, session, tweaks and files."""

    input: str
    session: str | None = None
    tweaks: dict[str, Any] | None = None
    files: FieldFiles | None = None


class RowTemplates:
    """The templates of a table: the input, the session, the fields of the flow and the files for them.

    Raises:
        RowsError: A template can't be read, or a file is for no field.
    """

    def __init__(
        self,
        input: str,  # noqa: A002 (as people write it)
        *,
        session: str | None = None,
        tweaks: Mapping[str, Any] | None = None,
        files: Mapping[str, Any] | None = None,
        output_format: str = "",
    ) -> None:
        names = {"row", OUTPUT_FORMAT}
        try:
            self._input = Template(input, "the template of input", names)
            self._session = None if session is None else Template(session, "the template of session", names)
            self._tweaks = None if tweaks is None else NestedTemplates(tweaks, "the template of tweaks", names)
            self._files = None if files is None else NestedTemplates(files, "the template of files", names)
            check_file_fields(files or {}, tweaks)
        except BadTemplateError as error:
            raise RowsError(f"{error} Columns are written {{{{ row.NAME }}}}.") from None
        except BadFile as error:
            raise RowsError(str(error)) from None
        self._output_format = output_format
        self._adds_format = bool(output_format) and OUTPUT_FORMAT not in self._input.names

    def fill(self, row: Mapping[str, Any]) -> Question:
        """Fill the templates with a row.

        Raises:
            BadTemplateError: The row lacks a column that a template names, or a template fails with its values.
            BadFile: A file can't be handed over.
        """
        values = {"row": row, OUTPUT_FORMAT: self._output_format}
        text = storable(self._input.text(values))
        return Question(
            input=f"{text}\n\n{self._output_format}" if self._adds_format else text,
            session=None if self._session is None else named_session(storable(self._session.text(values))),
            tweaks=None if self._tweaks is None else jsonable(self._tweaks.value(values)),
            files=None if self._files is None else attach_files(self._files.value(values)),
        )
