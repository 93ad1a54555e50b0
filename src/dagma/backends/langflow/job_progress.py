"""What a run's log tells of a job while it runs: components and counts, never a text."""

import time
from collections.abc import Iterable, Iterator

from dagma.langflow import FlowEvent
from dagma.wording import counted

# An agent can go round for hours: the log gets every event up to here, and then only a count now and then.
MAX_LINES = 300
COUNT_SECONDS = 5.0


def progress_lines(events: Iterable[FlowEvent]) -> Iterator[str]:
    """Turn the events of a job into lines for a log.

    Args:
        events: The events, as they come.

    Yields:
        Lines without the texts of messages, tokens and outputs.
    """
    tokens, lines = 0, 0
    counted_at = time.monotonic()
    for event in events:
        tokens += event.kind == "token"
        line = _line(event)
        if line is not None and lines < MAX_LINES:
            lines += 1
            yield line
        elif (tokens or line) and time.monotonic() - counted_at > COUNT_SECONDS:
            counted_at = time.monotonic()
            yield f"{counted(tokens, 'tokens')} so far{_progress(event)}"


def _line(event: FlowEvent) -> str | None:
    match event.kind:
        case "started":
            return f"the flow has started{_progress(event)}"
        case "component_started":
            return f"{event.component} has started{_progress(event)}"
        case "component_finished":
            took = f" after {event.seconds:.2f} s" if event.seconds is not None else ""
            return f"{event.component} has finished{took}{_progress(event)}"
        case "component_failed":
            return f"{event.component} has failed{_progress(event)}"
        case "waiting":
            return "it waits for a human's decision in Langflow"
        case "finished":
            took = f" after {event.seconds:.2f} s" if event.seconds is not None else ""
            return f"the flow has finished{took}"
        case "failed" | "cancelled" | "timed_out" | "lost":
            return f"the flow has ended: {event.kind.replace('_', ' ')}"
    return None


def _progress(event: FlowEvent) -> str:
    return f" ({event.done} of {event.total} components)" if event.done is not None and event.total else ""
