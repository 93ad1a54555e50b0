"""Lines and server-sent events from a body that comes in piece by piece."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dagma.langflow.errors import MalformedResponse


@dataclass(frozen=True)
class Frame:
    """A server-sent event, or a comment by which a server keeps a silent connection alive.

    Args:
        data: The event's data; None for a comment.
        id: The id to resume after, where the event has one.
    """

    data: str | None
    id: str | None = None


def lines(chunks: Iterable[bytes], *, longest: int) -> Iterator[str]:
    """Yield the lines of a body, without their ends.

    Args:
        chunks: The body.
        longest: Longest line in bytes, which bounds the memory.

    Raises:
        MalformedResponse: A line is longer, or is no UTF-8.
    """
    rest = bytearray()
    for chunk in chunks:
        start = len(rest)
        rest += chunk
        # Only the new part is searched, so that a line in many pieces costs no quadratic time.
        while (end := rest.find(b"\n", start)) >= 0:
            yield _text(rest[:end])
            del rest[: end + 1]
            start = 0
        if len(rest) > longest:
            raise MalformedResponse(f"The stream has a line longer than {longest} bytes.", status=200)
    if rest:
        yield _text(rest)


def frames(text: Iterable[str], *, longest: int) -> Iterator[Frame]:
    """Yield the frames of an event stream; one that breaks off before its blank line is dropped.

    Args:
        text: The stream's lines.
        longest: Longest data of one frame in characters, which bounds the memory.

    Raises:
        MalformedResponse: A frame is longer.
    """
    data: list[str] = []
    size, frame_id = 0, None
    for line in text:
        if not line:
            if data:
                yield Frame("\n".join(data), frame_id)
            data, size, frame_id = [], 0, None
        elif line.startswith(":"):
            yield Frame(None)
        else:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "data":
                data.append(value)
                size += len(value) + 1
                if size > longest:
                    raise MalformedResponse(f"The stream has an event longer than {longest} characters.", status=200)
            elif name == "id" and value.isprintable() and value.isascii():
                # Others could not be sent as Last-Event-ID.
                frame_id = value


def _text(line: bytearray) -> str:
    try:
        return line.decode("utf-8").rstrip("\r")
    except UnicodeDecodeError:
        raise MalformedResponse("The stream is no UTF-8.", status=200) from None
