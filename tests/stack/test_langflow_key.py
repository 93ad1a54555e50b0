"""LANGFLOW_API_KEY_SOURCE=db: a key is what its user may do, and no key is the superuser's by its text alone."""

import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import pytest
import requests
from harness.langflow_users import Caller, answer_of, flow_file, made_user
from harness.stack import Stack, docker, wait_until


@pytest.fixture(scope="module")
def keys_of_users_only(stack: Stack) -> Iterator[str]:
    """The address of a second Langflow on the stack's database, as LANGFLOW_API_KEY_SOURCE=db in .env starts it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url, name = f"http://127.0.0.1:{port}", f"{stack.settings['COMPOSE_PROJECT_NAME']}-langflow-db-keys"
    options = ("--detach", "--rm", "--no-deps", "--name", name, "--publish", f"127.0.0.1:{port}:7860")
    stack.run("run", *options, "langflow", env={"LANGFLOW_API_KEY_SOURCE": "db"})

    def is_up() -> bool:
        with suppress(requests.RequestException):
            return requests.get(f"{url}/health_check", timeout=8).ok
        return False

    try:
        wait_until("the second Langflow", is_up, seconds=300)
        yield url
    finally:
        docker("rm", "--force", name)


def test_dagsters_key_can_be_an_ordinary_users(stack: Stack, keys_of_users_only: str) -> None:
    superuser = Caller(stack.langflow_url, stack.settings["LANGFLOW_API_KEY"])
    assert replace(superuser, base_url=keys_of_users_only).request("GET", "/api/v1/flows/").status_code == 403
    with made_user(superuser) as made:
        user = replace(made, base_url=keys_of_users_only)
        assert answer_of(user.run(user.draw(flow_file("echo")))) == "hello"
        assert user.job(user.draw(flow_file("echo"))).status_code == 200
        assert user.request("GET", "/api/v1/users/").status_code == 403
        assert "custom components are not allowed" in user.run(user.draw(flow_file("behave"))).text
