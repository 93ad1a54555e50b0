"""An LLM with OpenAI's API that repeats what it is asked, and prints each request when it begins and is answered.

It stands in for the LLM of the stack (tests/chaos/docker-compose.yml), whose own log does not tell questions apart.
Each line is {"at": time, "request": number, "asked": text, "answered": false or true}. An answer is paid for when it is
computed, whether or not anybody still waits for it.
"""

import itertools
import json
import random
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PORT = 8080
MODEL = "smollm2-135m"
SECONDS = (0.3, 1.2)
"""How long an answer takes: from, to."""
numbers = itertools.count(1)


class Recorder(BaseHTTPRequestHandler):
    """Answers, and records."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Say which models there are, which serves as a health check as well."""
        self._send({"object": "list", "data": [{"id": MODEL, "object": "model"}]})

    def do_POST(self) -> None:
        """Answer a chat."""
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        asked, number = text_of(body["messages"][-1]["content"]), next(numbers)
        record(number, asked, answered=False)
        time.sleep(random.uniform(*SECONDS))  # noqa: S311 (no secret)
        record(number, asked, answered=True)
        message = {"role": "assistant", "content": answer_to(asked)}
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        self._send(
            {
                "id": f"chat-{number}",
                "object": "chat.completion",
                "created": int(time.time()),
                "model": MODEL,
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": usage,
            }
        )

    def _send(self, answer: dict[str, Any]) -> None:
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing but the above."""


class Server(ThreadingHTTPServer):
    """Has room for all callers at once."""

    request_queue_size = 128


def answer_to(asked: str) -> str:
    """Give the answer, by which it is known whose it is."""
    return f"The answer to {asked}"


def text_of(content: Any) -> str:
    """Give the text of a message, which can be in parts."""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def record(number: int, asked: str, *, answered: bool) -> None:
    """Print a line, whole, whoever else prints."""
    line = {"at": datetime.now(UTC).isoformat(), "request": number, "asked": asked, "answered": answered}
    print(f"{json.dumps(line)}\n", end="", flush=True)


if __name__ == "__main__":
    Server(("0.0.0.0", PORT), Recorder).serve_forever()
