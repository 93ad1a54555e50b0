"""A fake Langflow in a process of its own, so that the client measured does not share an interpreter with it.

It prints its address, key and flows as one line of JSON, and for each line on its standard input how many runs of the
flow `echo` it has had, and of how many different inputs. It ends when its standard input does.
"""

import json
import sys
import threading

from dagma.testing import FakeAnswer, FakeCall, FakeLangflow

REMEMBERED_RUNS = 5_000
"""A fake remembers all, which a million runs are too many for: it forgets everything each so many runs."""


class CountedEcho:
    """Repeats what it is asked, and counts.

    Args:
        fake: Whose flow it is.
    """

    def __init__(self, fake: FakeLangflow) -> None:
        self._fake = fake
        self._lock = threading.Lock()
        self._inputs: set[int] = set()
        self._runs = 0

    def __call__(self, call: FakeCall) -> str:
        with self._lock:
            self._runs += 1
            self._inputs.add(hash(call.input_value))
            if self._runs % REMEMBERED_RUNS == 0:
                self._fake.requests.clear()
                self._fake.forget_history()
        return call.input_value

    def counts(self) -> dict[str, int]:
        """Tell how many runs there were, and of how many inputs."""
        with self._lock:
            return {"runs": self._runs, "inputs": len(self._inputs)}


if __name__ == "__main__":
    with FakeLangflow() as fake:
        answer, echo = (
            FakeAnswer("The capital of France is Paris.", input_tokens=28, output_tokens=8),
            CountedEcho(fake),
        )
        flows = {"flow_id": fake.add_flow("bench", lambda _call: answer), "echo_id": fake.add_flow("echo", echo)}
        print(json.dumps({"base_url": fake.base_url, "api_key": fake.api_key, **flows}), flush=True)
        for _ in sys.stdin:
            print(json.dumps(echo.counts()), flush=True)
