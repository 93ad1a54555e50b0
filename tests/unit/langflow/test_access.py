import pytest
from harness.certificates import Certificates, tls_server

from dagma.langflow import Access
from dagma.testing import FakeLangflow, Fault

OAUTH = {
    "oauth_token_url": "https://login.example/token",
    "oauth_client_id": "the-client",
    "oauth_client_secret": "the-secret",
}
SECRETS = {
    "api_key": "sk-a-secret",
    "bearer_token": "a-secret-token",
    "basic_password": "a-secret-word",
    "oauth_client_secret": "a-secret-client",
    "headers": '{"X-Key": "a-secret-header"}',
}


@pytest.mark.parametrize(
    ("settings", "header", "value"),
    [
        ({"bearer_token": "a.jwt.token"}, "authorization", "Bearer a.jwt.token"),
        ({"basic_user": "user", "basic_password": "word"}, "authorization", "Basic dXNlcjp3b3Jk"),
        ({"headers": '{"X-Gateway-Key": "k", "X-Team": "t"}'}, "x-gateway-key", "k"),
    ],
    ids=["bearer", "basic", "headers"],
)
def test_what_a_gateway_wants_is_sent_beside_the_key(
    fake_langflow: FakeLangflow, settings: dict[str, str], header: str, value: str
):
    with Access(api_key=fake_langflow.api_key, **settings).connect(fake_langflow.base_url) as client:
        client.list_flows()
    assert fake_langflow.requests[-1].headers[header] == value
    assert fake_langflow.requests[-1].headers["x-api-key"] == fake_langflow.api_key


def test_a_token_is_fetched_with_client_credentials(fake_langflow: FakeLangflow):
    answer = {"access_token": "fetched", "token_type": "Bearer", "expires_in": 300}
    fake_langflow.script(Fault(path="/token", status=200, body=answer))
    access = Access(
        api_key=fake_langflow.api_key,
        oauth_token_url=fake_langflow.base_url + "/token",
        oauth_client_id="the-client",
        oauth_client_secret="the-secret",
        oauth_scope="flows",
        oauth_audience="langflow",
    )
    with access.connect(fake_langflow.base_url) as client:
        client.list_flows()
    fetch, call = fake_langflow.requests
    assert fetch.body == b"grant_type=client_credentials&scope=flows&audience=langflow"
    assert fetch.headers["authorization"].startswith("Basic ")
    assert call.headers["authorization"] == "Bearer fetched"


def test_both_sides_of_tls_are_proved(certificates: Certificates):
    with tls_server(certificates, wants_client=True) as fake:
        access = Access(
            ca_bundle=certificates.authority, client_cert=certificates.client, client_key=certificates.client_key
        )
        with access.connect(fake.base_url) as client:
            assert client.health_check()["status"] == "ok"


def test_a_token_is_fetched_with_both_sides_of_tls_proved(certificates: Certificates):
    with tls_server(certificates, wants_client=True) as fake:
        fake.script(Fault(path="/token", status=200, body={"access_token": "fetched", "token_type": "Bearer"}))
        access = Access(
            oauth_token_url=fake.base_url + "/token",
            oauth_client_id="the-client",
            oauth_client_secret="the-secret",
            ca_bundle=certificates.authority,
            client_cert=certificates.client,
            client_key=certificates.client_key,
        )
        with access.connect(fake.base_url) as client:
            client.health_check()
        assert [request.path for request in fake.requests] == ["/token", "/health_check"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bearer_token": "t", "basic_user": "u", "basic_password": "p"}, "bearer_token and basic_user both write"),
        ({"bearer_token": "t", **OAUTH}, "bearer_token and oauth_token_url both write the header Authorization"),
        ({"basic_user": "u"}, "basic_user is set without basic_password"),
        ({"basic_password": "p"}, "basic_password is set without basic_user"),
        ({"oauth_token_url": "https://login.example"}, "without oauth_client_id and oauth_client_secret"),
        ({"oauth_scope": "flows"}, "Set it as well"),
        ({**OAUTH, "oauth_token_url": "login.example"}, "^oauth_token_url must look like https://host/path"),
        ({**OAUTH, "oauth_token_url": "https://me:word@login.example"}, "^oauth_token_url must hold no user"),
        ({"headers": "X-Key: a"}, "must be a JSON object"),
        ({"headers": '["X-Key"]'}, "must be a JSON object"),
        ({"headers": '{"X-Key": 1}'}, "must be a JSON object"),
        ({"headers": '{"X-Key": "a\\nb"}'}, "Header X-Key must be printable"),
        ({"headers": '{"X Key\\n": "a"}'}, "A name in headers"),
        ({"headers": '{"X-API-Key": "a"}'}, "must not hold X-API-Key: set the API key"),
        ({"headers": '{"Authorization": "a"}'}, "must not hold Authorization: set a bearer token"),
        ({"api_key": "sk-1\n"}, "API key must be printable"),
        ({"client_key": "/nowhere/key.pem"}, "needs its certificate"),
        ({"client_cert": "/nowhere/cert.pem"}, "No such file: /nowhere/cert.pem"),
        ({"ca_bundle": "/nowhere/ca.pem"}, "No such file: /nowhere/ca.pem"),
    ],
)
def test_what_can_not_be_used_is_refused_at_once(settings: dict[str, str], message: str):
    with pytest.raises(ValueError, match=message):
        Access(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", SECRETS)
def test_no_secret_is_shown(name: str):
    partner = {"basic_password": {"basic_user": "u"}, "oauth_client_secret": OAUTH}.get(name, {})
    access = Access(**{**partner, name: SECRETS[name]})  # type: ignore[arg-type]
    assert "secret" not in repr(access).replace("oauth_client_secret", "")
