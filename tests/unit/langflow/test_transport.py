import json
import socket
import ssl
import subprocess
import threading
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from harness.certificates import Certificates, tls_server
from unit.langflow.conftest import MakeClient, closing_server, without_end

from dagma.backoff import Backoff
from dagma.langflow import (
    Access,
    BadRequest,
    CallTimeout,
    LangflowClient,
    RedirectRefused,
    RetryPolicy,
    TLSFailure,
    Unreachable,
)
from dagma.langflow.http import watched_http
from dagma.testing import FakeLangflow, Fault

HANGING = 20.0
BEHAVE = json.loads((Path(__file__).parents[2] / "contract" / "flows" / "behave.json").read_text())


def counted_connects(monkeypatch: pytest.MonkeyPatch) -> list[watched_http._WatchedConnection]:
    """Note every connection that is opened from now on."""
    opened: list[watched_http._WatchedConnection] = []
    connect = watched_http._WatchedConnection._new_conn

    def counting(connection: watched_http._WatchedConnection) -> socket.socket:
        opened.append(connection)
        return connect(connection)

    monkeypatch.setattr(watched_http._WatchedConnection, "_new_conn", counting)
    return opened


def client_of(fake: FakeLangflow, **tls: Any) -> LangflowClient:
    return LangflowClient(
        fake.base_url,
        Access(api_key=fake.api_key, **tls),
        timeout=20.0,
        retry=RetryPolicy(attempts=1),
    )


def test_an_unknown_authority_is_refused_before_anything_is_sent(certificates: Certificates):
    with tls_server(certificates) as fake, client_of(fake) as client:
        with pytest.raises(TLSFailure) as caught:
            client.run(fake.add_flow("echo"), "hello")
        assert (caught.value.outcome, caught.value.retryable) == ("not_run", False)
        assert fake.requests == []


def test_an_authority_of_ones_own_is_trusted(certificates: Certificates):
    with tls_server(certificates) as fake, client_of(fake, ca_bundle=certificates.authority) as client:
        assert client.run(fake.add_flow("echo"), "hello").answer == "hello"


def test_verification_can_be_turned_off(certificates: Certificates):
    unverified = pytest.warns(Warning, match="Unverified HTTPS request")
    with tls_server(certificates) as fake, client_of(fake, verify_tls=False) as client, unverified:
        assert client.health_check()["status"] == "ok"


def test_a_server_that_wants_a_certificate_gets_it(certificates: Certificates):
    with tls_server(certificates, wants_client=True) as fake:
        identity = {"client_cert": certificates.client, "client_key": certificates.client_key}
        with client_of(fake, ca_bundle=certificates.authority, **identity) as client:
            assert client.health_check()["status"] == "ok"


def test_a_missing_client_certificate_is_a_tls_failure(certificates: Certificates):
    with tls_server(certificates, wants_client=True, newest=ssl.TLSVersion.TLSv1_2) as fake:
        with client_of(fake, ca_bundle=certificates.authority) as client, pytest.raises(TLSFailure) as caught:
            client.run(fake.add_flow("echo"), "hello")
        assert caught.value.outcome == "not_run"
        assert fake.requests == []


def test_a_missing_client_certificate_is_found_out_after_sending_in_tls_1_3(certificates: Certificates):
    with tls_server(certificates, wants_client=True) as fake:
        client = client_of(fake, ca_bundle=certificates.authority)
        # Whether the server's alert or the end of the connection arrives first is up to the network.
        with client, pytest.raises((TLSFailure, Unreachable)):
            client.run(fake.add_flow("echo"), "hello")
        assert fake.requests == []


def test_tls_with_a_server_that_speaks_none_is_a_tls_failure(fake_langflow: FakeLangflow, make_client: MakeClient):
    with pytest.raises(TLSFailure) as caught:
        make_client(base_url=fake_langflow.base_url.replace("http", "https")).health_check()
    assert caught.value.outcome == "not_run"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"ca_bundle": "server_key"}, r"server\.key, which should hold the authorities' certificates, can't be used"),
        ({"client_cert": "client"}, r"client\.pem can't be used: .* TLS needs PEM files"),
        ({"client_cert": "client", "client_key": "server_key"}, r"client\.pem and \S*server\.key can't be used"),
    ],
)
def test_a_tls_file_with_other_content_is_named_before_anything_is_sent(
    certificates: Certificates, files: dict[str, str], message: str
):
    with pytest.raises(ValueError, match=message):
        Access(**{name: getattr(certificates, file) for name, file in files.items()})


def test_a_key_with_a_passphrase_is_refused_without_asking_for_it(certificates: Certificates, tmp_path: Path):
    locked = tmp_path / "locked.key"
    lock = ("openssl", "ec", "-in", certificates.client_key, "-aes256", "-passout", "pass:word", "-out", locked)
    subprocess.run(lock, check=True, capture_output=True)
    with pytest.raises(ValueError, match=r"locked\.key can't be used: .* keys without a passphrase"):
        Access(client_cert=certificates.client, client_key=locked)


def test_a_folder_is_no_certificate(tmp_path: Path):
    with pytest.raises(ValueError, match="can't be used"):
        Access(client_cert=tmp_path)


def test_a_balancer_without_a_backend_is_unreachable_and_no_matter_of_certificates():
    with closing_server() as (port, _):
        client = LangflowClient(f"https://127.0.0.1:{port}", retry=RetryPolicy(attempts=1))
        with client, pytest.raises(Unreachable) as caught:
            client.run("flow", "hello")
    assert (caught.value.outcome, caught.value.retryable) == ("not_run", True)


def test_a_proxy_that_refuses_the_tunnel_has_sent_nothing_on(monkeypatch: pytest.MonkeyPatch):
    with closing_server(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n") as (port, _):
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        client = LangflowClient("https://langflow.example", retry=RetryPolicy(attempts=1))
        with client, pytest.raises(Unreachable, match=r"No connection for POST .*: Tunnel .* 503") as caught:
            client.run("flow", "hello")
    assert (caught.value.outcome, caught.value.retryable) == ("not_run", True)


def test_a_port_where_nobody_listens_is_unreachable_and_retried_within_the_deadline():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    client = LangflowClient(f"http://127.0.0.1:{port}", retry=RetryPolicy(attempts=3, backoff=Backoff(0.01, 1.0)))
    with client, pytest.raises(Unreachable, match="Connection refused") as caught:
        client.run("flow", "hello")
    assert (caught.value.outcome, caught.value.retryable) == ("not_run", True)


def test_a_name_that_is_nobodys_is_unreachable():
    client = LangflowClient("http://nobody.invalid", retry=RetryPolicy(attempts=1))
    with client, pytest.raises(Unreachable) as caught:
        client.health_check()
    assert caught.value.outcome == "not_run"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:7860",
        "ftp://localhost",
        "http://",
        "http://user:hidden@localhost",
        "http://localhost?key=hidden",
        "http://localhost#hidden",
        "http://user:hid/den@localhost",
        "http://localhost:hidden",
        "http://[::1",
        "http://local host",
        "http://localhost/\n",
    ],
)
def test_a_base_url_that_can_not_be_one_is_refused_without_its_secrets(url: str):
    with pytest.raises(ValueError, match="base URL") as caught:
        LangflowClient(url)
    assert "hid" not in str(caught.value)


def test_a_path_of_a_gateway_stays_before_the_apis(fake_langflow: FakeLangflow, make_client: MakeClient):
    fake_langflow.script(Fault(status=200, body={"status": "ok"}))
    make_client(base_url=fake_langflow.base_url + "/langflow/").health_check()
    assert fake_langflow.requests[0].path == "/langflow/health_check"


def test_a_connection_that_the_server_closed_in_between_is_replaced(
    fake_langflow: FakeLangflow, make_client: MakeClient, echo: str
):
    client = make_client()
    client.run(echo, "one")
    # A fault closes the connection after its response, as a server does with one that was idle.
    fake_langflow.script(Fault())
    client.run(echo, "two")
    time.sleep(0.05)
    assert client.run(echo, "three").answer == "three"


@pytest.mark.parametrize(("longest_idle", "connections"), [(60.0, 1), (0.0, 2)])
def test_a_connection_is_kept_unless_the_server_may_be_closing_it(
    fake_langflow: FakeLangflow,
    make_client: MakeClient,
    echo: str,
    monkeypatch: pytest.MonkeyPatch,
    longest_idle: float,
    connections: int,
):
    monkeypatch.setattr(watched_http, "LONGEST_IDLE_SECONDS", longest_idle)
    opened = counted_connects(monkeypatch)
    client = make_client()
    for text in ("one", "two"):
        assert client.run(echo, text).answer == text
    assert len(opened) == connections


def test_a_tls_connection_that_was_idle_is_made_anew(certificates: Certificates, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(watched_http, "LONGEST_IDLE_SECONDS", 0.0)
    opened = counted_connects(monkeypatch)
    with tls_server(certificates) as fake, client_of(fake, ca_bundle=certificates.authority) as client:
        client.health_check()
        client.health_check()
    assert len(opened) == 2


def test_a_response_that_is_not_read_to_its_end_closes_its_connection(
    fake_langflow: FakeLangflow, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
):
    opened = counted_connects(monkeypatch)
    fake_langflow.script(Fault(raw=without_end(b"x" * 65_536, 302, "Location: /elsewhere\r\n")))
    client = make_client()
    with pytest.raises(RedirectRefused):
        client.health_check()
    assert [connection.sock for connection in opened] == [None]
    assert client.health_check()["status"] == "ok"


def test_a_client_is_shared_by_threads(fake_langflow: FakeLangflow, make_client: MakeClient, echo: str):
    client = make_client(timeout=HANGING)
    answers: dict[str, str | None] = {}

    def call(text: str) -> None:
        answers[text] = client.run(echo, text).answer

    callers = [threading.Thread(target=call, args=(f"number {number}",)) for number in range(32)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert answers == {f"number {number}": f"number {number}" for number in range(32)}


def test_a_time_out_longer_than_the_deadline_gives_way_to_it(
    fake_langflow: FakeLangflow, make_client: MakeClient, echo: str
):
    fake_langflow.script(Fault(path="/run", delay=HANGING))
    started = time.monotonic()
    with pytest.raises(CallTimeout, match=r"deadline of 0\.5 s"):
        make_client(timeout=HANGING).run(echo, "hello", timeout=0.5)
    assert time.monotonic() - started < HANGING


def test_a_deadline_that_has_passed_sends_nothing(fake_langflow: FakeLangflow, make_client: MakeClient, echo: str):
    with pytest.raises(CallTimeout) as caught:
        make_client().run(echo, "hello", timeout=0.0)
    assert caught.value.outcome == "not_run"
    assert fake_langflow.requests == []


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({"input_value": None}, "input_value must be a text"),
        ({"input_value": {"text": "hello"}}, "input_value must be a text"),
        ({"input_value": "\ud800"}, "surrogate"),
        ({"input_type": "voice"}, "input_type must be one of chat, text, any"),
        ({"output_type": "json"}, "output_type must be one of"),
        ({"tweaks": [1]}, "tweaks must map"),
        ({"tweaks": {"Component-1": 3}}, "tweaks must map"),
        ({"tweaks": {1: {}}}, "tweaks must map"),
        ({"session_id": 7}, "session_id must be a text"),
        ({"input_value": "a\0b"}, "input_value holds a NUL character"),
        ({"session_id": "a\0b"}, "session_id holds a NUL character"),
    ],
    ids=str,
)
@pytest.mark.parametrize("way", ["run", "stream"])
def test_what_langflow_would_swallow_is_refused_before_it_is_sent(
    fake_langflow: FakeLangflow, make_client: MakeClient, echo: str, way: str, arguments: dict[str, object], found: str
):
    with pytest.raises(BadRequest, match=found) as caught:
        list(getattr(make_client(), way)(echo, **{"input_value": "hello"} | arguments))
    assert caught.value.outcome == "not_run"
    assert fake_langflow.requests == []


@pytest.mark.parametrize(
    ("value", "told"), [(float("nan"), "Out of range float"), (Decimal(1), "type Decimal"), ("\udfff", "surrogates")]
)
@pytest.mark.parametrize("way", ["run", "stream"])
def test_a_tweak_that_json_can_not_hold_is_refused_before_the_run_is_sent(
    fake_langflow: FakeLangflow, make_client: MakeClient, way: str, value: object, told: str
):
    flow_id = fake_langflow.add_flow("behave", flow=BEHAVE)
    with pytest.raises(BadRequest, match=f"can't be written as JSON: .*{told}") as caught:
        list(getattr(make_client(), way)(flow_id, "hello", tweaks={"Behave-1": {"repeat": value}}))
    assert caught.value.outcome == "not_run"
    assert [request.path for request in fake_langflow.requests] == [f"/api/v1/flows/{flow_id}"]


@pytest.mark.parametrize(
    "flow_id",
    ["", " ", ".", "..", "../..", None, 7, "a\0b", "a/b", "<b>x</b>", "x" * 1_000_000],
    ids=lambda each: f"{each!a:.9}",
)
@pytest.mark.parametrize("way", ["run", "stream", "submit"])
def test_a_flow_id_that_is_none_is_refused_before_it_is_sent(
    fake_langflow: FakeLangflow, make_client: MakeClient, way: str, flow_id: object
):
    with pytest.raises(BadRequest, match="flow_id") as caught:
        list(getattr(make_client(), way)(flow_id, "hello"))
    assert caught.value.outcome == "not_run"
    assert len(str(caught.value)) < 1_000
    assert fake_langflow.requests == []


def test_a_client_that_was_closed_connects_anew(make_client: MakeClient, echo: str, monkeypatch: pytest.MonkeyPatch):
    opened, client = counted_connects(monkeypatch), make_client()
    for question in ("before", "after"):
        assert client.run(echo, question).answer == question
        client.close()
    assert [connection.sock for connection in opened] == [None, None]
