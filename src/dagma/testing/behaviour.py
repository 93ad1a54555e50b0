"""What a fake flow does with a call: answer, fail, miss a variable or ask a human."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class FakeCall:
    """A call as a fake flow sees it.

    Args:
        input_value: The input.
        tweaks: Values by field, by component id; empty if there are none.
        session_id: Session of the call, or the flow's id.
        decision: What a human decided, once the call was resumed.
    """

    input_value: str
    tweaks: Mapping[str, Any] = field(default_factory=dict)
    session_id: str = ""
    decision: str | None = None


@dataclass(frozen=True)
class FakeAnswer:
    """An answer with what a model would report.

    Args:
        text: The answer.
        model: Name of the model; empty for an answer that no model gave, which has no usage.
        input_tokens: Tokens read.
        output_tokens: Tokens written.
        streamed: Whether the stream of a direct run tells it word by word, as where a component's `stream` is on.
    """

    text: str
    model: str = "fake-model"
    input_tokens: int = 0
    output_tokens: int = 0
    streamed: bool = False

    def words(self) -> list[str]:
        """Return the words to stream, which together are the text."""
        return re.findall(r"\s*\S+|\s+$", self.text) if self.streamed else []


class ComponentFailed(Exception):  # noqa: N818 (it says what happened, as the errors of dagma.langflow do)
    """Raised by a behaviour: a component raises.

    Args:
        component: Its display name.
        message: What it says.
    """

    def __init__(self, component: str, message: str) -> None:
        super().__init__(message)
        self.component = component
        self.message = message


class VariableMissing(Exception):  # noqa: N818 (as above)
    """Raised by a behaviour: a field is bound to a variable that does not exist.

    Langflow then runs direct calls with the field empty, and completes background jobs without output.

    Args:
        name: The variable's name.
        text: What a direct call answers all the same.
    """

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name} variable not found.")
        self.text = text


class HumanNeeded(Exception):  # noqa: N818 (as above)
    """Raised by a behaviour: the flow waits for a human, as long as the call carries no decision.

    Args:
        prompt: What to decide on.
        decisions: Ids of the actions to choose from.
    """

    def __init__(self, prompt: str, decisions: tuple[str, ...] = ("approve", "reject")) -> None:
        super().__init__(prompt)
        self.prompt = prompt
        self.decisions = decisions


Behaviour = Callable[[FakeCall], str | FakeAnswer]


def answer_of(said: str | FakeAnswer) -> FakeAnswer:
    """Return what a behaviour has said as an answer; a text is one that no model gave.

    Raises:
        TypeError: It is neither, as where a function forgets to return.
    """
    answer = said if isinstance(said, FakeAnswer) else FakeAnswer(said, model="")
    if not isinstance(answer.text, str):
        raise TypeError(f"The flow's function gave a {type(answer.text).__name__}. Return a text or a FakeAnswer.")
    return answer


def echo(call: FakeCall) -> str:
    """Answer with the input, as chat input wired to chat output does."""
    return call.input_value
