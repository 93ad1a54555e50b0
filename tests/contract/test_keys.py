"""Facts about keys, and what the client makes of them."""

import pytest
from contract.conftest import Flows, LangflowServer

from dagma.langflow import ApiKey, BearerToken, Forbidden, LangflowClient


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


@pytest.mark.parametrize("auth", [None, ApiKey("sk-wrong-key")])
def test_the_client_says_forbidden(langflow_server: LangflowServer, flows: Flows, auth: ApiKey | None):
    with LangflowClient(langflow_server.base_url, auth=auth) as stranger, pytest.raises(Forbidden) as caught:
        stranger.run(flows.echo, "hello")
    assert caught.value.outcome == "not_run"
    assert "sk-wrong-key" not in f"{caught.value} {caught.value.excerpt}"


def test_a_key_as_bearer_token_is_forbidden(langflow_server: LangflowServer, flows: Flows):
    auth = BearerToken(langflow_server.api_key)
    with LangflowClient(langflow_server.base_url, auth=auth) as stranger, pytest.raises(Forbidden):
        stranger.run(flows.echo, "hello")


def test_health_asks_the_database_and_needs_no_key(langflow_server: LangflowServer):
    with LangflowClient(langflow_server.base_url) as stranger:
        assert stranger.health_check() == {"status": "ok", "chat": "ok", "db": "ok"}


def test_the_version_is_the_one_that_these_facts_are_about(client: LangflowClient):
    assert client.version() == "1.13.0"
