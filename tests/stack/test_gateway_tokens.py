"""Machines at the gateway: their tokens, of which it takes the good ones alone, and keys of Langflow."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator

import jwt
import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from harness.gateway import AUDIENCE, MACHINES, PASSWORD, SECRETS, Gateway, bearer, gateway, hash_of, headers_of

ROLES = {"GATEWAY_ADMINS": "ops,anna", "GATEWAY_EDITORS": "eddy", "GATEWAY_VIEWERS": "victor,readers"}
REFUSED = (401, 403)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    users = f"anna:{hash_of(PASSWORD)}\n"
    with gateway(tmp_path_factory.mktemp("gateway"), GATEWAY_USERS=users, **ROLES, **MACHINES) as running:
        yield running


@pytest.fixture
def unasked(running: Gateway) -> Iterator[Gateway]:
    """The gateway, for a test in which nothing may reach the UIs."""
    before = len(running.dagster.asked), len(running.langflow.asked)
    yield running
    assert (len(running.dagster.asked), len(running.langflow.asked)) == before


def test_a_token_opens_both_uis(running: Gateway) -> None:
    headers = headers_of(running.ask_as(running.issuer.token(email="robot@example.com")), "x-dagma-")
    assert headers[1:] == [("x-dagma-principal", "robot@example.com"), ("x-dagma-role", "admin")]
    answer = requests.get(
        running.langflow_url, headers=bearer(running.issuer.token()), verify=str(running.authority), timeout=9
    )
    assert ("x-dagma-login", f"{SECRETS['LANGFLOW_GATEWAY_SECRET']} admin robot") in headers_of(answer, "x-dagma-")


@pytest.mark.parametrize(
    ("claims", "role"),
    [
        ({"groups": ["staff", "readers"]}, "viewer"),
        ({"groups": "readers"}, "viewer"),
        ({"groups": ["readers", "ops"]}, "admin"),
        ({"groups": None, "sub": "eddy"}, "editor"),
        ({"groups": None, "email": "eddy", "email_verified": True}, "editor"),
    ],
)
def test_a_tokens_groups_and_names_are_its_role(running: Gateway, claims: dict[str, object], role: str) -> None:
    assert ("x-dagma-role", role) in headers_of(running.ask_as(running.issuer.token(**claims)), "x-dagma-")


@pytest.mark.parametrize(
    "claims",
    [
        {"groups": None},
        {"groups": []},
        {"groups": ["op", "opsx", "staff"]},
        {"groups": ['x","ops']},
        {"groups": ["x, ops", "ops\\"]},
        {"groups": {"ops": True}},
        {"groups": None, "email": "anna", "email_verified": False},
        {"groups": None, "preferred_username": "anna"},
        {"sub": "with a blank"},
        {"sub": "two\nlines"},
    ],
)
def test_a_token_without_a_role_is_refused(unasked: Gateway, claims: dict[str, object]) -> None:
    assert unasked.ask_as(unasked.issuer.token(**claims)).status_code in REFUSED


def test_a_token_that_is_not_good_is_refused(unasked: Gateway) -> None:
    issuer, now = unasked.issuer, int(time.time())
    public = issuer.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )

    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    claims = part(issuer.claims())
    hs256 = f"{part({'alg': 'HS256', 'kid': 'one'})}.{claims}"
    by_public_key = base64.urlsafe_b64encode(hmac.digest(public, hs256.encode(), hashlib.sha256)).decode().rstrip("=")
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    good = issuer.token()
    bad = {
        "expired": issuer.token(exp=now - 60),
        "without an end": issuer.token(exp=None),
        "not yet valid": issuer.token(nbf=now + 600),
        "of another issuer": issuer.token(iss="https://evil.example"),
        "without an issuer": issuer.token(iss=None),
        "for others": issuer.token(aud="others"),
        "for nobody": issuer.token(aud=None),
        "alg none": f"{part({'alg': 'none'})}.{claims}.",
        "alg none, with a key": f"{part({'alg': 'none', 'kid': 'one'})}.{claims}.",
        "HS256 with the public key": f"{hs256}.{by_public_key}",
        "signed by another": jwt.encode(issuer.claims(), other, algorithm="RS256", headers={"kid": "one"}),
        "key brought along": jwt.encode(
            issuer.claims(),
            other,
            "RS256",
            headers={"jwk": jwt.algorithms.RSAAlgorithm.to_jwk(other.public_key(), as_dict=True)},
        ),
        "changed": good[:-8] + "AAAAAAAA",
        "cut": good.rpartition(".")[0] + ".",
        "no token": "x",
    }
    answered = {name: unasked.ask_as(token).status_code for name, token in bad.items()}
    assert {name for name, status in answered.items() if status not in REFUSED} == set()


def test_a_token_that_is_valid_since_a_minute_is_taken(running: Gateway) -> None:
    assert running.ask_as(running.issuer.token(nbf=int(time.time()) - 60, aud=["others", AUDIENCE])).status_code == 200


def test_a_key_of_langflow_opens_what_langflow_asks_it_for(running: Gateway) -> None:
    browser, key = running.browser(), {"x-api-key": "sk-1", "Accept": "application/json"}
    told = browser.post(running.langflow_url + "/api/v1/run/echo?stream=false", json={}, headers=key)
    assert told.json()["asked"] == "POST /api/v1/run/echo?stream=false"
    assert headers_of(told, "x-api-key") == [("x-api-key", "sk-1")]
    assert "x-dagma-login" not in dict(headers_of(told, "x-dagma-"))
    before = len(running.langflow.asked)
    for path in (
        "/api/v1/users/",
        "/api/v1/run/../users/",
        "/api/v1/run/..%2fusers/",
        "/api/v2/workflows/public/x",
        "/",
    ):
        request = requests.Request("POST", running.langflow_url + "/", headers=key).prepare()
        request.url = running.langflow_url + path
        assert browser.send(request, verify=str(running.authority)).status_code in (401, 404), path
    assert browser.post(running.dagster_url + "/graphql", json={}, headers=key).status_code == 401
    assert len(running.langflow.asked) == before
