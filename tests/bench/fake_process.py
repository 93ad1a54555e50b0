"""The fake Langflow of `fake_server.py`, as others start and ask it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class FakeProcess:
    """A fake Langflow that runs.

    Args:
        base_url: Its address.
        api_key: Its key.
        flow_id: A flow that always gives one answer, with tokens.
        echo_id: A flow that repeats what it is asked, and is counted.
        process: The process.
    """

    base_url: str
    api_key: str
    flow_id: str
    echo_id: str
    process: "subprocess.Popen[str]" = field(repr=False)

    def counts(self) -> tuple[int, int]:
        """Ask how many runs of `echo` there were, and of how many different inputs."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        counts = json.loads(read_line(self.process))
        return counts["runs"], counts["inputs"]

    def environment(self) -> dict[str, str]:
        """Give the variables of a process that asks `echo`."""
        own = {"LANGFLOW_BASE_URL": self.base_url, "LANGFLOW_API_KEY": self.api_key}
        others = {name: text for name, text in os.environ.items() if name != "LANGFLOW_API_KEY_FILE"}
        return {**others, **own, "LANGFLOW_DEFAULT_FLOW_ID": self.echo_id}


@contextmanager
def fake_langflow() -> Iterator[FakeProcess]:
    """Start the fake; it ends with the block."""
    command = [sys.executable, str(HERE / "fake_server.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield FakeProcess(**json.loads(read_line(process)), process=process)
        process.communicate()


def read_line(process: "subprocess.Popen[str]") -> str:
    """Read a line that a process prints."""
    assert process.stdout is not None
    return process.stdout.readline()
