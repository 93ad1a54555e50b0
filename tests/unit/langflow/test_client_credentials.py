import threading
import time
from base64 import b64decode
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace

import pytest
from unit.langflow.conftest import MakeClient

from dagma.langflow import (
    Access,
    CallTimeout,
    FlowFailed,
    LangflowError,
    MalformedResponse,
    RetryPolicy,
    ServerError,
    Unauthorized,
    Unreachable,
)
from dagma.langflow.auth import client_credentials
from dagma.langflow.http.watched_http import Deadline
from dagma.testing import FakeLangflow, Fault

TOKEN_PATH = "/oauth/token"
HANGING = 20.0
REFUSED = {"WWW-Authenticate": "Bearer"}


def token(text: str, **more: object) -> Fault:
    return Fault(path=TOKEN_PATH, status=200, body={"access_token": text, "token_type": "Bearer", **more})


def credentials(fake: FakeLangflow, **more: str) -> Access:
    """Give what fetches tokens from the fake, with Langflow's own key beside."""
    client = {"oauth_client_id": "the-client", "oauth_client_secret": "the-secret"}
    return Access(**{"api_key": fake.api_key, "oauth_token_url": fake.base_url + TOKEN_PATH, **client, **more})


def paths(fake: FakeLangflow) -> list[str]:
    return [request.path for request in fake.requests]


def sent_tokens(fake: FakeLangflow) -> list[str]:
    return [request.headers["authorization"] for request in fake.requests if request.path != TOKEN_PATH]


def test_a_token_is_fetched_once_and_used_until_it_expires(
    fake_langflow: FakeLangflow, make_client: MakeClient, echo: str
):
    fake_langflow.script(token("first", expires_in=3600))
    client = make_client(access=credentials(fake_langflow, oauth_scope="flows"))
    for _ in range(3):
        client.run(echo, "hello")
    assert paths(fake_langflow).count(TOKEN_PATH) == 1
    assert sent_tokens(fake_langflow) == ["Bearer first"] * 3
    fetch = fake_langflow.requests[0]
    assert fetch.body == b"grant_type=client_credentials&scope=flows"
    assert b64decode(fetch.headers["authorization"].removeprefix("Basic ")) == b"the-client:the-secret"


def test_a_clients_id_and_secret_are_sent_as_in_a_form(fake_langflow: FakeLangflow, make_client: MakeClient, echo: str):
    # RFC 6749, 2.3.1: only so can an id hold a colon.
    fake_langflow.script(token("first", expires_in=3600))
    access = credentials(fake_langflow, oauth_client_id="https://the.client", oauth_client_secret="s+cr/t pä")
    make_client(access=access).run(echo, "hello")
    sent = b64decode(fake_langflow.requests[0].headers["authorization"].removeprefix("Basic "))
    assert sent == b"https%3A%2F%2Fthe.client:s%2Bcr%2Ft+p%C3%A4"


@pytest.mark.parametrize("shown", ["s+cr/t pä", "s%2Bcr%2Ft+p%C3%A4"])
def test_a_clients_secret_is_hidden_however_the_token_endpoint_quotes_it(
    fake_langflow: FakeLangflow, make_client: MakeClient, shown: str
):
    fake_langflow.script(Fault(path=TOKEN_PATH, status=401, body=f"Who is {shown}?"))
    access = credentials(fake_langflow, oauth_client_secret="s+cr/t pä")
    with pytest.raises(Unauthorized) as caught:
        make_client(access=access).health_check()
    assert caught.value.excerpt == "Who is ***?"


def test_a_token_is_fetched_anew_before_it_expires(
    fake_langflow: FakeLangflow, make_client: MakeClient, echo: str, monkeypatch: pytest.MonkeyPatch
):
    fake_langflow.script(token("first", expires_in=60), token("second", expires_in=20), token("third", expires_in=20))
    client = make_client(access=credentials(fake_langflow))
    now = time.monotonic()
    for later in (0, 29, 31, 40, 42):
        monkeypatch.setattr(client_credentials, "time", SimpleNamespace(monotonic=lambda at=now + later: at))
        client.run(echo, "hello")
    firsts, seconds = ["Bearer first"] * 2, ["Bearer second"] * 2
    assert sent_tokens(fake_langflow) == [*firsts, *seconds, "Bearer third"]


def test_a_token_that_is_refused_is_not_used_though_no_other_can_be_had(
    fake_langflow: FakeLangflow, make_client: MakeClient, echo: str
):
    fake_langflow.script(token("first", expires_in=3600), Fault(path=TOKEN_PATH, status=503, times=0))
    fake_langflow.script(Fault(path="/run", status=401, headers=REFUSED))
    client = make_client(access=credentials(fake_langflow))
    for _ in range(2):
        with pytest.raises(ServerError):
            client.run(echo, "hello")
    assert sent_tokens(fake_langflow) == ["Bearer first"]


def test_a_token_that_is_refused_is_renewed_once(fake_langflow: FakeLangflow, make_client: MakeClient, echo: str):
    fake_langflow.script(token("first", expires_in=3600), token("second", expires_in=3600))
    fake_langflow.script(Fault(path="/run", status=401, headers=REFUSED))
    client = make_client(access=credentials(fake_langflow))
    assert client.run(echo, "hello").outputs
    assert sent_tokens(fake_langflow) == ["Bearer first", "Bearer second"]


def test_a_refused_token_that_is_given_again_is_not_fetched_for_each_call(
    fake_langflow: FakeLangflow, make_client: MakeClient, echo: str
):
    fake_langflow.script(replace(token("first"), times=0))
    fake_langflow.script(Fault(path="/run", status=401, headers=REFUSED))
    client = make_client(access=credentials(fake_langflow))
    for _ in range(3):
        client.run(echo, "hello")
    assert paths(fake_langflow).count(TOKEN_PATH) == 2


def test_a_token_that_is_refused_twice_is_unauthorized(fake_langflow: FakeLangflow, make_client: MakeClient, echo: str):
    fake_langflow.script(token("first"), token("second"), Fault(path="/run", status=401, headers=REFUSED, times=0))
    client = make_client(access=credentials(fake_langflow))
    with pytest.raises(Unauthorized) as caught:
        client.run(echo, "hello")
    assert caught.value.outcome == "not_run"
    assert sent_tokens(fake_langflow) == ["Bearer first", "Bearer second"]


@pytest.mark.parametrize("way", ["run", "stream"])
@pytest.mark.parametrize(
    "detail",
    [
        {"error_code": "auth_expired", "message": "Connect the mailbox again.", "retryable": False},
        "Error running graph: Error building Component Mail: \n\nConnect the mailbox again.",
    ],
    ids=["connection", "component"],
)
def test_a_flow_whose_own_login_has_expired_is_run_once(
    fake_langflow: FakeLangflow, make_client: MakeClient, way: str, detail: object
):
    calls: list[str] = []
    flow_id = fake_langflow.add_flow("counted", lambda call: calls.append(call.input_value) or "done")
    fake_langflow.script(token("first"), token("second"))
    fake_langflow.script(Fault(path="/run", status=401, after_work=True, body={"detail": detail}))
    client = make_client(access=credentials(fake_langflow))
    with pytest.raises(FlowFailed, match=r"Connect the mailbox again\.") as caught:
        list(getattr(client, way)(flow_id, "hello"))
    assert (caught.value.outcome, caught.value.status, calls) == ("failed", 401, ["hello"])
    assert paths(fake_langflow).count(TOKEN_PATH) == 1


def test_a_fetch_ends_with_the_deadline_of_the_request_that_needs_it(
    fake_langflow: FakeLangflow, make_client: MakeClient, echo: str
):
    fake_langflow.script(Fault(path=TOKEN_PATH, stall_after=0, times=0))
    access = credentials(fake_langflow)
    client = make_client(access=access, retry=RetryPolicy(attempts=1))
    with pytest.raises(CallTimeout) as caught:
        client.run(echo, "hello", timeout=0.5)
    assert caught.value.outcome == "not_run"
    assert "deadline of 0." in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        "access_token=live-token-7&token_type=bearer",
        '["live-token-7"]',
        {"access_token": {"value": "live-token-7"}},
        {"access_token": "live-token-7\n"},
    ],
    ids=["form", "list", "object", "newline"],
)
def test_what_a_token_endpoint_answers_is_not_shown_and_its_address_is(
    fake_langflow: FakeLangflow, make_client: MakeClient, body: object
):
    fake_langflow.script(Fault(path=TOKEN_PATH, status=200, body=body))
    access = credentials(fake_langflow)
    with pytest.raises(MalformedResponse, match=f"The token endpoint {fake_langflow.base_url}{TOKEN_PATH} ") as caught:
        make_client(access=access).health_check()
    assert "live-token-7" not in f"{caught.value} {caught.value.excerpt}"
    assert "Langflow" not in str(caught.value)


def test_callers_at_the_same_time_share_one_token(fake_langflow: FakeLangflow, make_client: MakeClient, echo: str):
    fake_langflow.script(token("first", expires_in=3600))
    client = make_client(access=credentials(fake_langflow))
    callers = [threading.Thread(target=client.run, args=(echo, "hello")) for _ in range(12)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert paths(fake_langflow).count(TOKEN_PATH) == 1
    assert sent_tokens(fake_langflow) == ["Bearer first"] * 12


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault(status=401, body={"error": "invalid_client", "secret": "the-secret"}), Unauthorized),
        (Fault(status=400, body={"error": "invalid_scope"}), Unauthorized),
        (Fault(status=404), Unauthorized),
        (Fault(status=405), Unauthorized),
        (Fault(status=422), Unauthorized),
        (Fault(status=429), ServerError),
        (Fault(status=500), ServerError),
        (Fault(status=200, body="<html>"), MalformedResponse),
        (Fault(status=200, body={"token_type": "Bearer"}), MalformedResponse),
        (Fault(status=200, body={"access_token": "a\nb"}), MalformedResponse),
        (Fault(drop=True), Unreachable),
    ],
    ids=lambda value: str(value.status or "drop") if isinstance(value, Fault) else value.__name__,
)
def test_a_token_that_can_not_be_had_is_an_error_and_nothing_is_run(
    fake_langflow: FakeLangflow, make_client: MakeClient, echo: str, fault: Fault, expected: type[LangflowError]
):
    fake_langflow.script(replace(fault, path=TOKEN_PATH, times=0))
    client = make_client(access=credentials(fake_langflow))
    with pytest.raises(expected) as caught:
        client.run(echo, "hello")
    assert caught.value.outcome == "not_run"
    assert "the-secret" not in f"{caught.value} {caught.value.excerpt}"
    assert paths(fake_langflow) == [TOKEN_PATH] * (3 if caught.value.retryable else 1)


@pytest.mark.parametrize("status", [429, 503])
def test_a_token_endpoint_that_says_for_how_long_to_wait_is_heard(
    fake_langflow: FakeLangflow, make_client: MakeClient, status: int
):
    fake_langflow.script(Fault(path=TOKEN_PATH, status=status, headers={"Retry-After": "120"}))
    with pytest.raises(LangflowError) as caught:
        make_client(access=credentials(fake_langflow)).health_check()
    assert (caught.value.retry_after, caught.value.retryable) == (120.0, True)


@pytest.mark.parametrize(
    ("lifetime", "fetches"),
    [("-20.5", 2), ('"-20.5"', 2), ("20.5", 1), ("9" * 400, 1), ("1e999", 1), ('"soon"', 1)],
)
def test_a_lifetime_is_a_number_and_else_none(
    fake_langflow: FakeLangflow, make_client: MakeClient, lifetime: str, fetches: int
):
    answer = f'{{"access_token": "a-token", "expires_in": {lifetime}}}'
    fake_langflow.script(Fault(path=TOKEN_PATH, status=200, body=answer, times=0))
    client = make_client(access=credentials(fake_langflow))
    client.health_check()
    client.health_check()
    assert paths(fake_langflow).count(TOKEN_PATH) == fetches


def test_callers_whose_same_token_is_refused_renew_it_once(fake_langflow: FakeLangflow):
    fake_langflow.script(token("first"), token("second"), token("third"))
    fetched = credentials(fake_langflow).token
    assert fetched is not None
    refused = [fetched.header(Deadline.after(HANGING)) for _ in range(4)]
    renewed: list[str] = []

    def renew(header: str) -> None:
        fetched.forget(header)
        renewed.append(fetched.header(Deadline.after(HANGING)))

    callers = [threading.Thread(target=renew, args=(header,)) for header in refused]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert renewed == ["Bearer second"] * 4
    assert paths(fake_langflow) == [TOKEN_PATH] * 2


def test_a_caller_waits_for_anothers_fetch_no_longer_than_its_own_deadline(
    fake_langflow: FakeLangflow, make_client: MakeClient
):
    fake_langflow.script(Fault(path=TOKEN_PATH, stall_after=0, times=0))
    access = credentials(fake_langflow)
    patient = make_client(access=access, timeout=HANGING, retry=RetryPolicy(attempts=1))
    impatient = make_client(access=access, retry=RetryPolicy(attempts=1))

    def fetch() -> None:
        with suppress(LangflowError):
            patient.health_check()

    fetching = threading.Thread(target=fetch, daemon=True)
    fetching.start()
    while not fake_langflow.requests:
        time.sleep(0.01)
    started = time.monotonic()
    with pytest.raises(CallTimeout, match="while another call fetched a token") as caught:
        impatient.run("flow", "hello", timeout=0.3)
    assert time.monotonic() - started < HANGING / 2
    assert caught.value.outcome == "not_run"
