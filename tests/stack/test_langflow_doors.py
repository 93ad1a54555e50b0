"""Which web pages may call Langflow, and who runs code in it."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from harness.addresses import WITH_A_KEY, filled
from harness.langflow_users import Caller, answer_of, flow_file, made_user
from harness.stack import Stack

CHAT_INPUT = "ChatInput-echo"
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,x-api-key"}


@pytest.fixture(scope="module")
def superuser(stack: Stack) -> Caller:
    return Caller(stack.langflow_url, stack.settings["LANGFLOW_API_KEY"])


@pytest.fixture(scope="module")
def user(superuser: Caller) -> Iterator[Caller]:
    with made_user(superuser) as user:
        yield user


@pytest.fixture
def draw(superuser: Caller) -> Iterator[Any]:
    """Save a flow of the superuser's for one test."""
    drawn = []

    def save(flow: dict[str, Any]) -> str:
        drawn.append(superuser.draw(flow))
        return drawn[-1]

    yield save
    for flow_id in drawn:
        superuser.request("DELETE", f"/api/v1/flows/{flow_id}")


@pytest.mark.parametrize("origin", ["http://foreign.example", "http://127.0.0.1:8888", "http://localhost:7860", "null"])
def test_a_page_of_another_origin_can_read_nothing_and_send_no_key(origin: str, superuser: Caller) -> None:
    answer = superuser.request("GET", "/api/v1/flows/", headers={"Origin": origin})
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers
    preflight = requests.options(
        f"{superuser.base_url}/api/v1/run/echo", headers={"Origin": origin, **PREFLIGHT}, timeout=30
    )
    assert preflight.status_code == 400
    assert "access-control-allow-origin" not in preflight.headers


def test_the_login_is_for_langflows_own_pages(stack: Stack) -> None:
    login = requests.post(
        f"{stack.langflow_url}/api/v1/login",
        data={"username": "admin", "password": stack.settings["LANGFLOW_SUPERUSER_PASSWORD"]},
        headers={"Origin": "http://foreign.example"},
        timeout=30,
    )
    cookies = login.raw.headers.getlist("set-cookie")
    assert len(cookies) == 3
    for cookie in cookies:
        attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
        assert {"httponly", "samesite=strict"} <= attributes, cookie.split("=")[0]
    assert "access-control-allow-credentials" not in login.headers


@pytest.mark.parametrize(("method", "route"), sorted(WITH_A_KEY))
def test_langflow_checks_the_key_wherever_the_gateway_leaves_that_to_it(stack: Stack, method: str, route: str) -> None:
    body = {"flow_id": flow_file("echo")["id"], "input_value": "hello"} if method == "POST" else None
    for headers in ({}, {"x-api-key": "sk-wrong"}):
        answer = requests.request(method, stack.langflow_url + filled(route), headers=headers, json=body, timeout=30)
        assert answer.status_code in (401, 403), answer.text


def test_an_ordinary_user_draws_with_langflows_own_components(user: Caller) -> None:
    assert answer_of(user.run(user.draw(flow_file("echo")))) == "hello"


def test_only_the_superuser_runs_code_of_a_component(superuser: Caller, user: Caller, draw: Any) -> None:
    assert answer_of(superuser.run(draw(flow_file("behave")))) == "hello"
    flow_id = user.draw(flow_file("behave"))
    for refused in (user.run(flow_id), user.job(flow_id)):
        assert refused.status_code == 400
        assert "custom components are not allowed" in refused.json()["detail"]
    code = "from lfx.custom import Component\n\n\nclass Mine(Component):\n    display_name = 'Mine'\n"
    assert user.request("POST", "/api/v1/custom_component", json={"code": code}).status_code == 403
    assert superuser.request("POST", "/api/v1/custom_component", json={"code": code}).status_code == 200


def test_only_the_superuser_adds_an_mcp_server_that_is_a_command(user: Caller) -> None:
    server = {"command": "uvx", "args": ["mcp-server-fetch"]}
    refused = user.request("POST", "/api/v2/mcp/servers/mine", json=server)
    assert refused.status_code == 403
    assert "restricted to administrators" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("category", "component"), [("utilities", "PythonREPLComponent"), ("llm_operations", "Smart Transform")]
)
def test_python_that_a_model_writes_or_an_input_brings_runs_for_nobody(
    category: str, component: str, superuser: Caller, draw: Any
) -> None:
    template = superuser.request("GET", "/api/v1/all").json()[category][component]
    data = {"id": "Code-1", "type": component, "node": template}
    node = {"id": "Code-1", "type": "genericNode", "position": {"x": 0, "y": 0}, "data": data}
    flow_id = draw({"data": {"nodes": [node], "edges": []}})
    for refused in (superuser.run(flow_id, output_type="any"), superuser.job(flow_id)):
        assert refused.status_code == 400
        assert "code-execution components are not allowed" in refused.json()["detail"]


def test_a_call_sets_the_fields_that_the_author_has_marked(superuser: Caller, draw: Any) -> None:
    flow = flow_file("echo")
    anything = draw(flow)
    marked = copy.deepcopy(flow)
    (chat_input,) = (node for node in marked["data"]["nodes"] if node["id"] == CHAT_INPUT)
    chat_input["data"]["node"]["template"]["sender_name"]["api_editable"] = True
    declared = draw(marked)

    assert superuser.run(declared, tweaks={CHAT_INPUT: {"sender_name": "Ada"}}).status_code == 200
    refused = superuser.run(declared, tweaks={CHAT_INPUT: {"sender": "Machine"}})
    assert refused.status_code == 422
    assert refused.json()["detail"]["fields"] == ["sender"]
    assert superuser.run(anything, tweaks={CHAT_INPUT: {"sender": "Machine"}}).status_code == 200
    assert superuser.run(anything, tweaks={CHAT_INPUT: {"code": "pass"}}).status_code == 422
