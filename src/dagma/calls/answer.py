"""What a backend's response says."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dagma.langflow import MalformedResponse
from dagma.ledger import Begun, Ledger, Usage
from dagma.ledger.call import reported


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer, whichever backend gave it.

    Attributes:
        text: The text; None where the response holds none, or several.
        outputs: What each output gave, by component, where the answer is not one text: a text, or JSON. A table is a
            list of objects, a row each.
        usages: Tokens by model, as far as they were reported: 0 in and 0 out beside an answer is not.
        session_id: The conversation that the backend used.
        job_id: The job that gave the answer.
        seconds: How long the backend says that it took.
    """

    text: str | None
    outputs: Mapping[str, Any] = field(default_factory=dict)
    usages: tuple[Usage, ...] = ()
    session_id: str | None = None
    job_id: str | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        """Take what a backend that does not count says of usage for what it is."""
        object.__setattr__(self, "usages", reported(self.usages, self.text))

    @property
    def characters(self) -> int | None:
        """How long the outputs are together, where the answer is no single text."""
        if self.text is not None or not self.outputs:
            return None
        texts = (each if isinstance(each, str) else json.dumps(each, default=str) for each in self.outputs.values())
        return sum(map(len, texts))

    @classmethod
    def from_response(cls, response: Mapping[str, Any]) -> "Answer":
        """Read `{"text": ..., "session_id": ..., "usage": [{"model", "input_tokens", ...}]}`.

        Only `text` is required, and one usage may stand without the list.

        Raises:
            MalformedResponse: It has no text.
            TypeError: A usage names what there is not.
        """
        text, session_id = response.get("text"), response.get("session_id")
        if not isinstance(text, str):
            raise MalformedResponse(
                f"The backend's response has no text; it holds {sorted(map(str, response))}.",
                fix="Return {'text': ...} from the backend's answer(), or override its read().",
                outcome="failed",
            )
        usage = response.get("usage") or ()
        usages = tuple(Usage(**each) for each in ([usage] if isinstance(usage, Mapping) else usage))
        return cls(text=text, usages=usages, session_id=None if session_id is None else str(session_id))


def read_answer(read: Callable[[Mapping[str, Any]], Answer], response: dict[str, Any]) -> Answer:
    """Read a response by the backend's `read`, which may raise anything; a TypeError if it gives no answer."""
    answer: Any = read(response)
    if not isinstance(answer, Answer):
        raise TypeError(f"read() returned a {type(answer).__name__} instead of an Answer")
    return answer


def answer_or_nothing(read: Callable[[Mapping[str, Any]], Answer], response: dict[str, Any]) -> Answer:
    """Read a response that was found. One that holds no answer is kept all the same: the next attempt rejects it."""
    try:
        return read_answer(read, response)
    except Exception:  # noqa: BLE001 (the backend's own code)
        return Answer(text=None)


def keep_answer(
    ledger: Ledger, begun: Begun, response: dict[str, Any], answer: Answer, seconds: float | None = None
) -> None:
    """Record an answer, and how long the call took where the backend does not say.

    Raises:
        LedgerError: It is not recorded.
        TypeError: JSON can't hold the response; or a ValueError.
    """
    ledger.finish(
        begun,
        raw=response,
        answer=answer.text,
        usages=answer.usages,
        session_id=answer.session_id,
        duration_seconds=seconds if answer.seconds is None else answer.seconds,
        answer_characters=answer.characters,
    )


def total_of(usages: Sequence[Usage], name: str) -> int | None:
    """Sum `input_tokens`, `output_tokens` or `total` over all models; None if a model did not report it."""
    amounts = [getattr(usage, name) for usage in usages]
    return sum(amounts) if amounts and None not in amounts else None
