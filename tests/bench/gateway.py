"""What the gateway adds to a request, and its container's memory: it runs alone, before a UI that answers at once.

The same page is asked for in turns: at the UI itself, and through the gateway by a person with a session of the users
file and by a machine with a token. Each of the three keeps its connection.

Usage: python -m bench.gateway [REQUESTS]    Needs the gateway's image, and nothing else of the stack.
"""

import statistics
import sys
import tempfile
from pathlib import Path

import requests
from bench.figures import Figure, spread
from bench.turns import Call, take_turns
from harness.gateway import MACHINES, PASSWORD, Gateway, bearer, gateway, hash_of

REQUESTS = 300
ADDED_TARGET, MEMORY_TARGET = "~2", "~60"


def asking(session: requests.Session, url: str) -> Call:
    """A request for a page, over the connection that the session keeps."""

    def ask() -> object:
        answer = session.get(f"{url}/runs", allow_redirects=False, timeout=30)
        assert answer.status_code == 200, answer.status_code
        return answer.content

    return ask


def megabytes(running: Gateway) -> float:
    """The container's memory as `docker stats` counts it: without files that the kernel can forget."""
    memory = running.container.get_wrapped_container().stats(stream=False)["memory_stats"]
    # By the name of cgroups v2, then of v1.
    forgettable = memory["stats"].get("inactive_file", memory["stats"].get("total_inactive_file", 0))
    return float(memory["usage"] - forgettable) / 1e6


def measure(count: int = REQUESTS) -> list[Figure]:
    """Measure a gateway with nothing else to do."""
    users = {"GATEWAY_USERS": f"anna:{hash_of(PASSWORD)}\n", "GATEWAY_ADMINS": "anna,ops"}
    with tempfile.TemporaryDirectory() as folder, gateway(Path(folder), **users, **MACHINES) as running:
        machine = running.browser()
        machine.headers.update(bearer(running.issuer.token()))
        calls = {
            "straight": asking(running.browser(), f"http://127.0.0.1:{running.dagster.server_address[1]}"),
            "with a session": asking(running.log_in(), running.dagster_url),
            "with a token": asking(machine, running.dagster_url),
        }
        seconds = take_turns(calls, count)
        memory = megabytes(running)
    for name, sample in seconds.items():
        print(f"{name:<14} {spread(sample)}")

    def added(name: str) -> float:
        return 1000 * (statistics.median(seconds[name]) - statistics.median(seconds["straight"]))

    return [
        Figure("added_per_request_with_a_session", added("with a session"), "ms", ADDED_TARGET),
        Figure("added_per_request_with_a_token", added("with a token"), "ms", ADDED_TARGET),
        Figure("gateway_memory", memory, "MB", MEMORY_TARGET),
    ]


if __name__ == "__main__":
    for figure in measure(int(sys.argv[1]) if sys.argv[1:] else REQUESTS):
        print(figure)
