"""What people read when the LLM can't be asked, produced for real: each names the variable of `.env` that fixes it."""

import subprocess
from collections.abc import Iterator

import pytest
from harness.stack import Stack, wait_until

from dagma.langflow import LangflowClient

# Refuses every key, as OpenAI does.
REFUSING = """
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Refuse(BaseHTTPRequestHandler):
    def do_GET(self):
        self.rfile.read(int(self.headers.get("content-length") or 0))
        listed = self.path.startswith("/open") and self.path.endswith("/models")
        error = {"message": "Incorrect API key provided: wr***.", "type": "invalid_request_error",
                 "param": None, "code": "invalid_api_key"}
        body = json.dumps({"data": [{"id": "smollm2-135m"}]} if listed else {"error": error}).encode()
        self.send_response(200 if listed else 401)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_POST = do_GET

ThreadingHTTPServer(("0.0.0.0", 8080), Refuse).serve_forever()
"""
KEY = "sk-wrong-key-of-the-tests"


def push(stack: Stack, base_url: str, key: str = KEY) -> str:
    """Push the flows and the LLM's variables, as `make up` does, with another LLM in `.env`."""
    llm = ("-e", f"LLM_BASE_URL={base_url}", "-e", f"LLM_API_KEY={key}")
    return stack.run("run", "--rm", "--no-deps", "-T", *llm, "flows-push", check=False)


def ask(stack: Stack) -> str:
    return stack.exec("user-code", "dagma", "ask", "Hello", "--mode", "direct", check=False)


@pytest.fixture(autouse=True, scope="module")
def the_shipped_llm_again(stack: Stack, langflow: LangflowClient) -> Iterator[None]:
    """Put the variables back that the tests change."""
    yield
    push(stack, "http://llm:8080/v1", key="")
    for variable in langflow.list_variables():
        if variable.name == "OPENAI_COMPATIBLE_API_KEY":
            langflow.delete_variable(variable)


@pytest.fixture
def refusing_llm(stack: Stack) -> Iterator[None]:
    """An LLM that refuses every key, in the place of the local one."""
    stack.run("stop", "llm")
    one_off = ("run", "--detach", "--no-deps", "--use-aliases", "llm", "python", "-c", REFUSING)
    container = stack.run(*one_off).split()[-1]
    try:
        refused = "Authentication failed"
        wait_until("the refusing LLM", lambda: refused in push(stack, "http://llm:8080/v1"), seconds=60)
        yield
    finally:
        subprocess.run(["docker", "rm", "--force", container], check=True, capture_output=True)
        stack.run("start", "llm")
        stack.wait_health("llm", "healthy", seconds=120)


@pytest.mark.usefixtures("refusing_llm")
def test_a_refused_key_names_llm_api_key_when_it_is_pushed_and_when_it_is_used(stack: Stack) -> None:
    pushed = push(stack, "http://llm:8080/v1")
    (line,) = [line for line in pushed.splitlines() if line.startswith("FAILED")]
    assert line.startswith("FAILED     LLM_API_KEY")
    assert "Authentication failed" in line
    assert "Set LLM_API_KEY in .env" in line
    assert "OPENAI_COMPATIBLE" not in pushed
    assert KEY not in pushed

    # Some servers show their models to everybody: then the first call is refused.
    assert "FAILED" not in push(stack, "http://llm:8080/open/v1")
    asked = ask(stack)
    assert "401" in asked
    assert "Set LLM_API_KEY in .env" in asked
    assert "run the component there" not in asked


@pytest.mark.parametrize(
    ("base_url", "fix"),
    [
        # Postgres is a private address that Langflow reaches, and that is not listed.
        ("http://postgres:5432/v1", "add postgres to LANGFLOW_SSRF_ALLOWED_HOSTS in .env"),
        ("http://no-such-host.invalid/v1", "Correct LLM_BASE_URL in .env"),
    ],
    ids=["private address", "no such host"],
)
def test_an_llm_that_cannot_be_reached_names_its_variable_when_it_is_pushed_and_when_it_is_used(
    stack: Stack, base_url: str, fix: str
) -> None:
    pushed = push(stack, base_url)
    (line,) = [line for line in pushed.splitlines() if line.startswith("FAILED")]
    assert line.startswith("FAILED     LLM_API_KEY")
    assert fix in line

    asked = ask(stack)
    assert fix in asked
    assert "run the component there" not in asked


def test_the_doctor_says_the_same(stack: Stack) -> None:
    push(stack, "http://postgres:5432/v1")
    printed = stack.exec("user-code", "dagma", "doctor", check=False)
    (line,) = [line for line in printed.splitlines() if line.startswith("FAILED")]
    assert line.startswith("FAILED   LLM: ")
    assert "add postgres to LANGFLOW_SSRF_ALLOWED_HOSTS in .env" in line
