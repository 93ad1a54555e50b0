"""A request and a response, as the handlers of a fake server see them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class RecordedRequest:
    """A request that a fake server got.

    Args:
        method: HTTP method.
        path: Path, without the query.
        query: Query parameters; the last of the same name.
        headers: Headers; names in lower case.
        body: Body as it came.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """Return the body's JSON, or None if it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


@dataclass(frozen=True)
class FakeResponse:
    """What a handler answers.

    Args:
        status: HTTP status.
        body: Sent as JSON; bytes as they are.
        stream: Pieces to send in chunks instead, as they come.
    """

    status: int
    body: Any = None
    stream: Iterator[str] | None = None
