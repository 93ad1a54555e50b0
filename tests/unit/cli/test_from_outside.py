"""`dagma` on another machine: through the gateway, with a token."""

import ssl
from pathlib import Path

import pytest
from harness.certificates import Certificates, certificates
from unit.cli.fake_dagster import RUN_ID, FakeDagster

from dagma.cli import main

__all__ = ["certificates"]
TOKEN = "eyJhbGciOiJSUzI1NiJ9.e30.c2ln"


@pytest.fixture
def gateway(dagster: FakeDagster, monkeypatch: pytest.MonkeyPatch) -> FakeDagster:
    """The gateway's address of Dagster; nothing listens where the stack's own programs ask."""
    monkeypatch.setenv("DAGSTER_WEBSERVER_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("DAGMA_URL", dagster.url + "/")
    monkeypatch.setenv("DAGMA_TOKEN", TOKEN)
    return dagster


def test_a_question_goes_through_the_gateway_with_the_token(
    gateway: FakeDagster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DAGMA_URL", gateway.url.replace("//", "//anna:hidden@"))
    assert main(["ask", "Why?"]) == 0
    assert set(gateway.authorizations) == {f"Bearer {TOKEN}"}
    assert f"{gateway.url}/runs/{RUN_ID}" in capsys.readouterr().out


def test_other_code_locations_are_reached_with_the_token_too(gateway: FakeDagster) -> None:
    assert main(["reload", "project", "dagma"]) == 0
    assert set(gateway.authorizations) == {f"Bearer {TOKEN}"}


def test_the_token_comes_from_a_file_and_no_netrc_replaces_it(
    gateway: FakeDagster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.delenv("DAGMA_TOKEN")
    monkeypatch.setenv("DAGMA_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert main(["ask", "Why?"]) == 0
    assert set(gateway.authorizations) == {f"Bearer {TOKEN}"}


def test_inside_the_stack_no_token_is_sent(dagster: FakeDagster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGMA_TOKEN", TOKEN)
    assert main(["ask", "Why?"]) == 0
    assert set(dagster.authorizations) == {None}


@pytest.mark.parametrize(
    ("url", "token", "told"),
    [
        ("http://anna:hidden@dagster.example.com", TOKEN, "Set DAGMA_URL to an address that begins with https://"),
        ("https://[::1", TOKEN, "Set DAGMA_URL to an address that begins with https://"),
        ("https://dagster.example.com", "Bearer eyJ", "DAGMA_TOKEN is not a token"),
        ("https://dagster.example.com", "eyJ\u2026", "DAGMA_TOKEN is not a token"),
    ],
)
def test_a_token_that_others_could_read_or_that_is_none_is_not_sent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str, token: str, told: str
) -> None:
    monkeypatch.setenv("DAGMA_URL", url)
    monkeypatch.setenv("DAGMA_TOKEN", token)
    assert main(["ask", "Why?"]) == 1
    said = capsys.readouterr().err
    assert told in said
    assert token not in said
    assert "hidden" not in said


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (302, {"Location": "https://login.example.com/"}, b"Moved"),
        (401, {"Content-Type": "text/html"}, b"<html>Unauthorized</html>"),
        (401, {"Content-Type": "text/plain"}, b"The token has expired."),
    ],
)
def test_a_token_that_is_not_taken_is_told(
    gateway: FakeDagster, capsys: pytest.CaptureFixture[str], status: int, headers: dict[str, str], body: bytes
) -> None:
    gateway.status, gateway.headers, gateway.body = status, headers, body
    assert main(["ask", "Why?"]) == 1
    said = capsys.readouterr().err
    assert f"The gateway at {gateway.url} asks for a login" in said
    assert "DAGMA_TOKEN" in said
    assert "<html>" not in said
    assert (body.decode() in said) == (headers.get("Content-Type") == "text/plain")


def test_a_role_that_does_not_suffice_is_told(gateway: FakeDagster, capsys: pytest.CaptureFixture[str]) -> None:
    gateway.status = 403
    gateway.body = (
        b'{"data": null, "errors": [{"message": "launchRun needs the role editor; anna has the role viewer."}]}'
    )
    assert main(["ask", "Why?"]) == 1
    assert "launchRun needs the role editor; anna has the role viewer." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "page", "told"),
    [(403, "no-role.html", "GATEWAY_VIEWERS, GATEWAY_EDITORS or GATEWAY_ADMINS"), (503, "unavailable.html", "minute.")],
)
def test_what_a_page_of_the_gateway_says_is_told_without_its_markup(
    gateway: FakeDagster, capsys: pytest.CaptureFixture[str], status: int, page: str, told: str
) -> None:
    gateway.status = status
    gateway.body = (Path(__file__).parents[3] / "docker" / "gateway" / "pages" / page).read_bytes()
    assert main(["ask", "Why?"]) == 1
    said = capsys.readouterr().err
    assert told in said
    assert "<" not in said


def test_a_gateway_whose_ca_is_not_known_gets_nothing_until_it_is_named(
    gateway: FakeDagster,
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server, certificates.server_key)
    gateway.server.socket = context.wrap_socket(gateway.server.socket, server_side=True)
    monkeypatch.setenv("DAGMA_URL", gateway.url.replace("http:", "https:"))
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    assert main(["ask", "Why?"]) == 1
    assert "name the file of its CA in SSL_CERT_FILE" in capsys.readouterr().err
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
    assert main(["ask", "Why?"]) == 1
    assert "/nowhere/ca.pem" in capsys.readouterr().err
    assert gateway.queries == []
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    assert main(["ask", "Why?"]) == 0
