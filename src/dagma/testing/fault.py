"""How a fake server misbehaves."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Fault:
    """One misbehaviour, used up by the requests it answers.

    Without a status the real answer is sent, in the way that the other fields say.

    Args:
        path: Part of the path of the requests to answer; any by default.
        method: HTTP method of the requests to answer; any by default.
        times: How many requests to answer; 0 for all.
        after_work: Do what was asked for first, such as queue a job, and misbehave in the response only.
        delay: Seconds of silence before the response.
        status: Status to send.
        body: Body to send; what is no bytes or text is sent as JSON.
        headers: Headers to send; they replace those of the same name.
        raw: Bytes to send in place of a whole HTTP response.
        drop: Close the connection without a response.
        cut_after: Close the connection after so many bytes of the body.
        stall_after: Fall silent after so many bytes of the body, with the connection open.
        dribble: Seconds between the bytes of the whole response, sent one by one.
        endless: Bytes to send over and over as the body, until the connection is closed.
        chunked: Send the body in chunks, without its length.
    """

    path: str = ""
    method: str | None = None
    times: int = 1
    after_work: bool = False
    delay: float = 0.0
    status: int | None = None
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    drop: bool = False
    cut_after: int | None = None
    stall_after: int | None = None
    dribble: float | None = None
    endless: bytes | None = None
    chunked: bool = False

    def matches(self, method: str, path: str) -> bool:
        """Return whether this answers a request."""
        return self.path in path and self.method in (None, method)
