"""The requests that the LLM server saw, read from its log.

llama.cpp logs when a request begins, when it has computed a whole answer, and when it lets go of it; never the prompt.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

LINE = re.compile(r"^(?P<at>\d{4}-\d\d-\d\dT\S+) (?P<text>.*)$")
TASK = re.compile(r"\| task (?P<task>\d+) \| +(?P<what>processing task|total time|stop processing)")
START = "serving "


@dataclass(frozen=True)
class LlmRequest:
    """One request. It was paid for when its answer was computed: `completed`."""

    begun_at: datetime
    ended_at: datetime | None = None
    completed: bool = False


def read_requests(log: str) -> list[LlmRequest]:
    """Read `docker logs --timestamps` of the LLM server.

    Returns:
        The requests in the order in which they began. One that was cut off by the server's death has ended with the
        server's next start.
    """
    requests: list[LlmRequest] = []
    running: dict[str, int] = {}
    for at, text in _lines(log):
        if text.startswith(START):
            for index in running.values():
                requests[index] = replace(requests[index], ended_at=at)
            running.clear()
        elif found := TASK.search(text):
            task, what = found["task"], found["what"]
            if what == "processing task":
                running[task] = len(requests)
                requests.append(LlmRequest(begun_at=at))
            elif what == "total time" and task in running:
                requests[running[task]] = replace(requests[running[task]], completed=True)
            elif task in running:
                index = running.pop(task)
                requests[index] = replace(requests[index], ended_at=at)
    return requests


def _lines(log: str) -> Iterator[tuple[datetime, str]]:
    for line in log.splitlines():
        if found := LINE.match(line):
            yield datetime.fromisoformat(found["at"]), found["text"]
