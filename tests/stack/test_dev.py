"""`make dev` for real: Langflow, the local LLM and Dagster as processes, from start to end."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from dagma.flows import ASSISTANT

ROOT = Path(__file__).parents[2]
# The environments may have to be installed first: Langflow alone has 480 packages.
START_SECONDS = 900.0


class Dev:
    """A running `make dev` with ports and a state of its own."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.ports = dict(zip(("DAGSTER_PORT", "LANGFLOW_PORT", "LLM_PORT"), free_ports(3), strict=True))
        self.screen = folder / "screen.txt"
        left_out = ("LANGFLOW_", "LLM_", "DAGMA_", "DAGSTER_", "OPENAI_")
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(left_out)},
            **{name: str(port) for name, port in self.ports.items()},
            "DAGMA_DEV_DIR": str(self.state),
            "UV_COMPILE_BYTECODE": "0",  # which takes minutes, and pays from the second start on
            "PYTHONPATH": str(ROOT / "src"),
        }
        venvs = [f".dev/venvs/{name}/ready" for name in ("langflow", "llm")]
        subprocess.run(["make", *venvs], cwd=ROOT, env=self.environment, timeout=START_SECONDS, check=True)
        with self.screen.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "dagma.dev"],
                cwd=ROOT,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until_shown(self) -> str:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            if "Ctrl-C" in (text := self.screen.read_text()):
                return text
            time.sleep(0.5)
        raise AssertionError(self.screen.read_text())

    def processes(self) -> set[int]:
        """Find every process that was started with this state, children that left their group included."""
        marker = f"DAGMA_DEV_DIR={self.state}".encode()
        found = set()
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if marker in (folder / "environ").read_bytes().split(b"\0"):
                    found.add(int(folder.name))
            except OSError:
                continue  # it ended meanwhile
        return found

    def langflow(self) -> dict[str, str]:
        """Return the variables that point a client to this instance's Langflow."""
        secrets = dict(line.split("=", 1) for line in (self.state / "env").read_text().splitlines())
        url = f"http://127.0.0.1:{self.ports['LANGFLOW_PORT']}"
        return {"LANGFLOW_BASE_URL": url, "LANGFLOW_API_KEY": secrets["LANGFLOW_API_KEY"]}

    def run(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        webserver = f"http://127.0.0.1:{self.ports['DAGSTER_PORT']}"
        environment = {**self.environment, "DAGSTER_WEBSERVER_URL": webserver, **variables}
        return subprocess.run(
            [sys.executable, "-m", "dagma.cli", *words],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    dev = Dev(tmp_path_factory.mktemp("dev"))
    try:
        dev.wait_until_shown()
        yield dev
    finally:
        dev.process.terminate()
        dev.process.wait(timeout=60)


@pytest.mark.skipif(sys.platform != "linux", reason="finds processes by /proc")
class TestDev:
    """In this order: the last test ends it."""

    def test_the_screen_says_where_everything_is(self, dev: Dev) -> None:
        text = dev.screen.read_text()
        for name in ("DAGSTER_PORT", "LANGFLOW_PORT"):
            assert f"http://127.0.0.1:{dev.ports[name]}" in text
        assert re.search(r"log in as admin with \S+", text)

    def test_a_question_is_answered_through_dagster(self, dev: Dev) -> None:
        asked = dev.run("ask", "What is the capital of France?")
        assert asked.returncode == 0, asked.stdout + asked.stderr
        assert "Paris" in asked.stdout
        assert re.search(r"tokens +\d+ in", asked.stdout)

    def test_another_model_reaches_direct_runs_and_background_jobs(self, dev: Dev) -> None:
        pushed = dev.run("flows", "push", LLM_MODEL="another-name", **dev.langflow())
        assert pushed.returncode == 0, pushed.stderr
        with requests.Session() as session:
            session.headers["x-api-key"] = dev.langflow()["LANGFLOW_API_KEY"]
            url = dev.langflow()["LANGFLOW_BASE_URL"]
            body = {"input_value": "Hello", "input_type": "chat", "output_type": "chat"}
            direct = session.post(f"{url}/api/v1/run/{ASSISTANT}", json=body, timeout=120).json()
            message = direct["outputs"][0]["outputs"][0]["results"]["message"]
            assert message["properties"]["source"]["source"] == "another-name"
            assert message["properties"]["usage"]["total_tokens"] > 0
            body = {"flow_id": ASSISTANT, "input_value": "Hello", "mode": "background"}
            job = session.post(f"{url}/api/v2/workflows", json=body, timeout=30).json()["job_id"]
            for _ in range(240):
                answer = session.get(f"{url}/api/v2/workflows", params={"job_id": job}, timeout=30).json()
                if answer["status"] not in ("queued", "in_progress"):
                    break
                time.sleep(0.5)
            assert answer["output"]["text"]
            time.sleep(1)  # the trace is written a moment after the end
            trace = session.get(f"{url}/api/v1/monitor/traces/{job}", timeout=30).text
        assert "another-name" in trace

    def test_a_page_of_another_site_cannot_use_dagster(self, dev: Dev) -> None:
        url = f"http://127.0.0.1:{dev.ports['DAGSTER_PORT']}/graphql"
        query = {"query": "{ version }"}
        assert requests.post(url, json=query, timeout=30).status_code == 200
        assert requests.post(url, json=query, headers={"Origin": "http://evil.example"}, timeout=30).status_code == 403
        assert requests.post(url, json=query, headers={"Host": "evil.example"}, timeout=30).status_code == 421
        assert requests.get(url, params=query, timeout=30).status_code == 405

    def test_a_second_one_on_the_same_ports_says_so_and_starts_nothing(self, dev: Dev) -> None:
        before = dev.processes()
        second = subprocess.run(
            [sys.executable, "-m", "dagma.dev"],
            cwd=ROOT,
            env=dev.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert second.returncode == 1
        assert f"port {dev.ports['DAGSTER_PORT']} can't be used" in second.stderr
        assert "Set DAGSTER_PORT to another" in second.stderr
        assert dev.processes() == before

    def test_no_secret_is_in_a_log(self, dev: Dev) -> None:
        secrets = dict(line.split("=", 1) for line in (dev.state / "env").read_text().splitlines())
        logs = {path.name: path.read_text(errors="replace") for path in (dev.state / "logs").glob("*.log")}
        assert {"dagster.log", "langflow.log", "llm.log"} <= set(logs)
        for name, text in logs.items():
            for variable in ("LANGFLOW_API_KEY", "LANGFLOW_SECRET_KEY", "LANGFLOW_SUPERUSER_PASSWORD"):
                assert secrets[variable] not in text, f"{variable} is in {name}"

    def test_ctrl_c_leaves_no_process_and_no_port(self, dev: Dev) -> None:
        assert len(dev.processes()) >= 6
        dev.process.send_signal(signal.SIGINT)
        assert dev.process.wait(timeout=60) == 0
        assert dev.screen.read_text().endswith("ended\n")
        assert dev.processes() == set()
        assert not [port for port in dev.ports.values() if listens(port)]


def test_a_langflow_elsewhere_that_refuses_ends_it_with_the_cause(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        environment = {
            **os.environ,
            "DAGSTER_PORT": str(free_ports(1)[0]),
            "DAGMA_DEV_DIR": str(tmp_path),
            "LANGFLOW_API_KEY": "k",
            "LANGFLOW_BASE_URL": f"http://127.0.0.1:{unused.getsockname()[1]}",
            "PYTHONPATH": str(ROOT / "src"),
        }
        done = subprocess.run(
            [sys.executable, "-m", "dagma.dev"],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert "the flows were not pushed" in done.stderr
    assert environment["LANGFLOW_BASE_URL"] in done.stdout + done.stderr
