"""LANGFLOW_API_KEY_SOURCE=db: a key is what its user may do, and no key is the superuser's by its text alone."""

from collections.abc import Iterator

import pytest
from harness.langflow_users import Caller, answer_of, flow_file, made_user
from harness.stack import Stack


@pytest.fixture(scope="module")
def superuser(stack: Stack) -> Caller:
    return Caller(stack.langflow_url, stack.settings["LANGFLOW_API_KEY"])


@pytest.fixture(scope="module")
def user(superuser: Caller) -> Iterator[Caller]:
    with made_user(superuser) as user:
        yield user


@pytest.fixture
def keys_of_users_only(stack: Stack, user: Caller) -> Iterator[None]:
    """Langflow as `make up` starts it with LANGFLOW_API_KEY_SOURCE=db in .env."""
    try:
        stack.run("up", "--detach", "--no-deps", "langflow", env={"LANGFLOW_API_KEY_SOURCE": "db"})
        stack.wait_health("langflow", "healthy", seconds=300)
        yield
    finally:
        stack.run("up", "--detach", "--no-deps", "langflow")
        stack.wait_health("langflow", "healthy", seconds=300)


def test_dagsters_key_can_be_an_ordinary_users(superuser: Caller, user: Caller, keys_of_users_only: None) -> None:
    assert superuser.request("GET", "/api/v1/flows/").status_code == 403, "the key that was the superuser's"
    assert answer_of(user.run(user.draw(flow_file("echo")))) == "hello"
    assert user.job(user.draw(flow_file("echo"))).status_code == 200
    assert user.request("GET", "/api/v1/users/").status_code == 403
    assert "custom components are not allowed" in user.run(user.draw(flow_file("behave"))).text
