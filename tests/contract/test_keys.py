"""Facts about keys, and what the client makes of them."""

from collections.abc import Iterator

import pytest
from contract.conftest import Flows, LangflowServer
from harness.langflow_users import Caller, answer_of, flow_file, made_user

from dagma.langflow import Access, Forbidden, LangflowClient


@pytest.mark.parametrize("headers", [{}, {"x-api-key": "sk-wrong"}, {"Authorization": "Bearer {key}"}])
@pytest.mark.parametrize("path", ["/api/v1/run/{flow}", "/api/v2/workflows"])
def test_a_missing_or_wrong_key_and_a_key_as_bearer_are_403(
    langflow_server: LangflowServer, flows: Flows, headers: dict[str, str], path: str
):
    server = LangflowServer(langflow_server.base_url, "")
    given = {"x-api-key": None} | {name: text.format(key=langflow_server.api_key) for name, text in headers.items()}
    response = server.request("POST", path.format(flow=flows.echo), json={"flow_id": flows.echo}, headers=given)
    # A bearer token that is no JWT is 401 in v2, which takes tokens; v1 takes keys only.
    expected = (401, 403) if "Authorization" in headers and "v2" in path else (403,)
    assert response.status_code in expected


@pytest.mark.parametrize("access", [None, Access(api_key="sk-wrong-key")])
def test_the_client_says_forbidden(langflow_server: LangflowServer, flows: Flows, access: Access | None):
    with LangflowClient(langflow_server.base_url, access=access) as stranger, pytest.raises(Forbidden) as caught:
        stranger.run(flows.echo, "hello")
    assert caught.value.outcome == "not_run"
    assert "sk-wrong-key" not in f"{caught.value} {caught.value.excerpt}"


def test_a_key_as_bearer_token_is_forbidden(langflow_server: LangflowServer, flows: Flows):
    access = Access(bearer_token=langflow_server.api_key)
    with LangflowClient(langflow_server.base_url, access=access) as stranger, pytest.raises(Forbidden):
        stranger.run(flows.echo, "hello")


def test_health_asks_the_database_and_needs_no_key(langflow_server: LangflowServer):
    with LangflowClient(langflow_server.base_url) as stranger:
        assert stranger.health_check() == {"status": "ok", "chat": "ok", "db": "ok"}


def test_the_version_is_the_one_that_these_facts_are_about(client: LangflowClient):
    assert client.version() == "1.13.0"


@pytest.fixture(scope="module")
def superuser(real_langflow: LangflowServer) -> Caller:
    return Caller(real_langflow.base_url, real_langflow.api_key)


@pytest.fixture(scope="module")
def user(superuser: Caller) -> Iterator[Caller]:
    with made_user(superuser) as user:
        yield user


def test_a_key_runs_the_flows_of_its_owner_and_no_others_not_even_the_superusers(superuser: Caller, user: Caller):
    for owner, other in ((superuser, user), (user, superuser)):
        flow_id = owner.draw(flow_file("echo"))
        try:
            assert answer_of(owner.run(flow_id)) == "hello"
            assert owner.job(flow_id).status_code == 200
            assert other.run(flow_id).status_code == 404
            assert other.job(flow_id).status_code == 404
            assert other.request("GET", f"/api/v1/flows/{flow_id}").status_code == 404
            assert (
                other.request("PUT", f"/api/v1/flows/{flow_id}", json={"name": "mine", "data": {}}).status_code == 404
            )
            assert other.request("DELETE", f"/api/v1/flows/{flow_id}").status_code == 404
            traces = other.request("GET", "/api/v1/monitor/traces", params={"flow_id": flow_id}).json()
            assert traces["total"] == 0
        finally:
            owner.request("DELETE", f"/api/v1/flows/{flow_id}").raise_for_status()


def test_only_the_superusers_key_manages_users(superuser: Caller, user: Caller):
    assert superuser.request("GET", "/api/v1/users/").status_code == 200
    assert user.request("GET", "/api/v1/users/").status_code == 403


def test_each_user_has_variables_of_their_own(superuser: Caller, user: Caller):
    body = {"name": "DAGMA_CONTRACT_OF_A_USER", "value": "v", "type": "Generic", "default_fields": []}
    assert user.request("POST", "/api/v1/variables/", json=body).status_code == 201
    names = [variable["name"] for variable in superuser.request("GET", "/api/v1/variables/").json()]
    assert body["name"] not in names
