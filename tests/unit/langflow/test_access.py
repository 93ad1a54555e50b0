from base64 import b64decode
from pathlib import Path

import pytest
from harness.certificates import Certificates, tls_server
from unit.langflow.conftest import MakeClient

from dagma.langflow import Access, LangflowClient, LangflowError
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
        with LangflowClient(fake.base_url, access) as client:
            client.health_check()
        assert [request.path for request in fake.requests] == ["/token", "/health_check"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bearer_token": "t", "basic_user": "u", "basic_password": "p"}, "bearer_token and basic_user both write"),
        ({"bearer_token": "t", **OAUTH}, "bearer_token and oauth_token_url both write the header Authorization"),
        ({"bearer_token": "Bearer t"}, "bearer_token is the token alone"),
        ({"basic_user": "u"}, "basic_user is set without basic_password"),
        ({"basic_password": "p"}, "basic_password is set without basic_user"),
        ({"basic_user": "u:v", "basic_password": "p"}, "can have no colon"),
        ({"oauth_token_url": "https://login.example"}, "without oauth_client_id and oauth_client_secret"),
        ({"oauth_scope": "flows"}, "Set it, too"),
        ({**OAUTH, "oauth_token_url": "login.example"}, "^oauth_token_url must look like http"),
        ({**OAUTH, "oauth_token_url": "https://me:word@login.example"}, "^oauth_token_url must hold no user"),
        ({**OAUTH, "oauth_token_url": "https://login.example?p=1"}, "^oauth_token_url must hold no user"),
        ({"headers": "X-Key: a"}, "must be a JSON object"),
        ({"headers": '["X-Key"]'}, "must be a JSON object"),
        ({"headers": '{"X-Key": 1}'}, "must be a JSON object"),
        ({"headers": '{"X-Key": "a\\nb"}'}, "The value of 'X-Key' in headers must be printable"),
        ({"headers": {"X-Key": "a"}}, "must be a JSON object"),
        ({"headers": '{"X Key": "a"}'}, "A name in headers must be a header's name alone"),
        ({"headers": '{"X-Key:": "a"}'}, "A name in headers"),
        ({"headers": '{"": "a"}'}, "A name in headers"),
        ({"api_key": "sk-1\n"}, "api_key must be printable"),
        ({"client_key": "/nowhere/key.pem"}, "needs its certificate"),
        ({"client_cert": "/nowhere/cert.pem"}, "^/nowhere/cert.pem can't be used: No such file"),
        ({"ca_bundle": "/nowhere/ca.pem"}, "^/nowhere/ca.pem, .* can't be used: No such file"),
    ],
)
def test_what_can_not_be_used_is_refused_at_once(settings: dict[str, object], message: str):
    with pytest.raises(ValueError, match=message):
        Access(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("key", [" sk-1", "sk-1\n", "sk-\r\nX-Evil: 1", "sk-\x00", "sk-ü", "sk-\u2028"])
@pytest.mark.parametrize("name", ["api_key", "bearer_token"])
def test_a_key_that_no_header_can_hold_is_refused_without_being_shown(name: str, key: str):
    with pytest.raises(ValueError, match="stray newline") as caught:
        Access(**{name: key})  # type: ignore[arg-type]
    assert key not in str(caught.value)


def test_a_gateways_password_and_langflows_key_go_together(
    fake_langflow: FakeLangflow, make_client: MakeClient, echo: str
):
    key = fake_langflow.api_key
    access = Access(api_key=key, basic_user="ürsula", basic_password="pässword", headers='{"X-Tenant": "team-one"}')
    make_client(access=access).run(echo, "hello")
    headers = fake_langflow.requests[0].headers
    assert b64decode(headers["authorization"].removeprefix("Basic ")).decode() == "ürsula:pässword"
    assert (headers["x-api-key"], headers["x-tenant"]) == (key, "team-one")


def test_a_netrc_of_the_machine_is_not_used(
    fake_langflow: FakeLangflow, make_client: MakeClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    make_client(access=None).health_check()
    assert "authorization" not in fake_langflow.requests[0].headers


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"api_key": "sk-a-secret"}, "You sent sk-a-secret"),
        ({"bearer_token": "a-secret-token"}, "You sent a-secret-token"),
        ({"basic_user": "u", "basic_password": "a-secret-word"}, "You sent a-secret-word"),
        ({"basic_user": "u", "basic_password": "a-secret-word"}, "You sent dTphLXNlY3JldC13b3Jk"),
        ({"headers": '{"X-Tenant": "a-secret-header"}'}, "You sent a-secret-header"),
        ({"headers": '{"Authorization": "Token a-secret-token"}'}, "You sent a-secret-token"),
    ],
    ids=["key", "token", "password", "user and password", "header", "scheme of its own"],
)
def test_a_secret_is_kept_out_of_errors(
    fake_langflow: FakeLangflow, make_client: MakeClient, settings: dict[str, str], told: str
):
    fake_langflow.script(Fault(status=400, body=told))
    with pytest.raises(LangflowError) as caught:
        make_client(access=Access(**settings)).health_check()  # type: ignore[arg-type]
    assert caught.value.excerpt == "You sent ***"


def test_no_cookie_is_kept(fake_langflow: FakeLangflow, make_client: MakeClient):
    client = make_client()
    fake_langflow.script(Fault(status=200, body={"status": "ok"}, headers={"Set-Cookie": "session=other; Path=/"}))
    client.health_check()
    client.health_check()
    assert "cookie" not in fake_langflow.requests[1].headers


@pytest.mark.parametrize("name", SECRETS)
def test_no_secret_is_shown(name: str):
    partner = {"basic_password": {"basic_user": "u"}, "oauth_client_secret": OAUTH}.get(name, {})
    access = Access(**{**partner, name: SECRETS[name]})  # type: ignore[arg-type]
    assert "secret" not in repr(access).replace("oauth_client_secret", "")
