"""The whole texts of a job whose state has them cut: its messages hold them. Nothing holds the rest of a cut list."""

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

from dagma.langflow.errors import TruncatedAnswer
from dagma.langflow.events import FlowEvent
from dagma.langflow.result import CallResult
from dagma.langflow.untrusted_json import text_or_none, walk

# Langflow cuts texts at LANGFLOW_MAX_TEXT_LENGTH, 6000 by default, and marks the cut.
_CUT_MARK = "..."
# Nobody sets the limit lower, and a shorter end "..." is the text's own.
_LOWEST_CUT = 1000
# Langflow cuts lists at LANGFLOW_MAX_ITEMS_LENGTH, 1000 by default, and ends them with this.
_CUT_LIST = re.compile(r"\.\.\. \[truncated \d+ items\]")


def perhaps_cut(result: CallResult) -> Mapping[str, str]:
    """Return the texts of a result that may be cut, by the id of the component that gave them."""
    texts = {component: content for component, content in result.outputs.items() if isinstance(content, str)}
    if result.answer is not None:
        texts[_source(result)] = result.answer
    return {component: text for component, text in texts.items() if _perhaps_cut(text)}


def uncut(result: CallResult, events: Sequence[FlowEvent]) -> CallResult:
    """Return a result with its whole texts, from what its job told, the last first.

    Raises:
        TruncatedAnswer: A text may be cut, and no message holds the whole.
    """
    messages = _messages(events)
    whole: dict[str, str] = {}
    for component, text in perhaps_cut(result).items():
        found = _whole(text, messages)
        if found is None:
            raise TruncatedAnswer(
                f"Langflow cut the text of {component} of job {result.job_id} after {len(text) - len(_CUT_MARK)} "
                f"characters, or it ends with {_CUT_MARK!r} by itself: no one message of the job holds the whole.",
                fix="Raise LANGFLOW_MAX_TEXT_LENGTH on the Langflow server, or end the flow in a Chat Output, "
                "whose messages are kept whole.",
            )
        whole[component] = found
    return replace(
        result,
        answer=whole.get(_source(result), result.answer),
        outputs={component: whole.get(component, content) for component, content in result.outputs.items()},
    )


def check_lists(result: CallResult) -> None:
    """Check that no list in what a flow gave is cut, such as the rows of a table.

    Raises:
        TruncatedAnswer: One is.
    """
    left = list(result.outputs.values())
    while left:
        content = left.pop()
        if isinstance(content, Mapping):
            left += content.values()
        elif isinstance(content, list) and content:
            if isinstance(content[-1], str) and _CUT_LIST.fullmatch(content[-1]):
                raise TruncatedAnswer(
                    f"Langflow cut a list that job {result.job_id} gave after {len(content) - 1} items.",
                    fix="Raise LANGFLOW_MAX_ITEMS_LENGTH on the Langflow server.",
                )
            left += content


def _source(result: CallResult) -> str:
    """Return the id of the component that gave the answer."""
    return text_or_none(walk(result.raw, "output", "source")) or "the answer"


def _perhaps_cut(text: str) -> bool:
    return len(text) >= _LOWEST_CUT + len(_CUT_MARK) and text.endswith(_CUT_MARK)


def _messages(events: Iterable[FlowEvent]) -> set[str]:
    """Return the last versions of the messages, but for those of the user; agents send one again as it grows."""
    texts: dict[Any, str] = {}
    for number, event in enumerate(events):
        if event.kind == "message" and event.text is not None and walk(event.data, "data", "sender") != "User":
            texts.setdefault(text_or_none(walk(event.data, "data", "id")) or number, event.text)
    return set(texts.values())


def _whole(text: str, messages: Set[str]) -> str | None:
    """Return the whole of a text; None where no message holds it, or several could."""
    if text in messages:
        return text
    start = text.removesuffix(_CUT_MARK)
    longer = [each for each in messages if len(each) > len(start) and each.startswith(start)]
    return longer[0] if len(longer) == 1 else None
