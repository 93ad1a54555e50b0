"""Every way to authenticate, from the variables that a user sets to the headers that Langflow gets."""

from collections.abc import Iterator

import dagster as dg
import pytest
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster._serdes import serialize_value
from harness.certificates import Certificates, certificates, tls_server

from dagma import environment
from dagma.backends.langflow.access_variables import (
    FILE_VARIABLES,
    KEY_VARIABLES,
    SECRET_VARIABLES,
    langflow_client,
)
from dagma.backends.langflow.langflow_resource import LangflowRestResource, langflow_from_environment
from dagma.defs.llm.assets import langflow_run_flow
from dagma.langflow import Access
from dagma.testing import FakeLangflow, Fault

__all__ = ["certificates"]

FETCHED = {"access_token": "fetched", "token_type": "Bearer", "expires_in": 300}


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (*SECRET_VARIABLES.values(), *FILE_VARIABLES.values(), "LANGFLOW_VERIFY_TLS", "LANGFLOW_MODE"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLangflow]:
    with FakeLangflow() as fake:
        point_at(fake, monkeypatch)
        yield fake


def point_at(fake: FakeLangflow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGFLOW_BASE_URL", fake.base_url)
    monkeypatch.setenv("LANGFLOW_API_KEY", fake.api_key)
    monkeypatch.setenv("LANGFLOW_DEFAULT_FLOW_ID", fake.add_flow("echo"))


def materialize() -> str:
    """Run the asset as shipped and return its answer."""
    result = dg.materialize([langflow_run_flow], resources={"backend": langflow_from_environment()})
    (materialization,) = result.asset_materializations_for_node("langflow_run_flow")
    return str(materialization.metadata["answer"].value)


@pytest.mark.parametrize(
    ("variables", "header", "value"),
    [
        ({"LANGFLOW_BEARER_TOKEN": "a.jwt.token"}, "authorization", "Bearer a.jwt.token"),
        ({"LANGFLOW_BASIC_USER": "user", "LANGFLOW_BASIC_PASSWORD": "word"}, "authorization", "Basic dXNlcjp3b3Jk"),
        ({"LANGFLOW_HEADERS": '{"X-Gateway-Key": "k"}'}, "x-gateway-key", "k"),
    ],
    ids=["bearer", "basic", "headers"],
)
def test_every_request_of_the_asset_and_of_the_command_line_is_authenticated(
    fake: FakeLangflow, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], header: str, value: str
) -> None:
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    assert materialize() == "ping from dagma"
    with langflow_client() as client:
        client.list_flows()
    assert len(fake.requests) > 2
    for request in fake.requests:
        assert (request.headers[header], request.headers["x-api-key"]) == (value, fake.api_key), request.path


def test_spaces_and_newlines_around_a_setting_do_not_count(fake: FakeLangflow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGFLOW_BASE_URL", f" {fake.base_url}\n")
    monkeypatch.setenv("LANGFLOW_API_KEY", f"{fake.api_key}\n")
    monkeypatch.setenv("LANGFLOW_BEARER_TOKEN", " a.jwt.token\r\n")
    assert materialize() == "ping from dagma"
    assert {request.headers["authorization"] for request in fake.requests} == {"Bearer a.jwt.token"}


def test_a_blank_setting_is_none(fake: FakeLangflow, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (*SECRET_VARIABLES.values(), *FILE_VARIABLES.values()):
        if variable != "LANGFLOW_API_KEY":
            monkeypatch.setenv(variable, "  \n")
    assert materialize() == "ping from dagma"
    assert not any("authorization" in request.headers for request in fake.requests)


def test_a_blank_setting_of_a_definition_of_ones_own_is_none(fake: FakeLangflow) -> None:
    blanks = dict.fromkeys({**SECRET_VARIABLES, **FILE_VARIABLES}, "  \n") | {"api_key": fake.api_key}
    backend = LangflowRestResource(base_url=fake.base_url, **blanks)  # type: ignore[arg-type]
    assert backend.client.list_flows()
    assert not any("authorization" in request.headers for request in fake.requests)


def test_a_blank_base_url_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGFLOW_BASE_URL", "  ")
    assert langflow_from_environment().client.base_url == "http://127.0.0.1:7860"


def test_a_token_is_fetched_by_client_credentials(fake: FakeLangflow, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.script(Fault(path="/token", status=200, body=FETCHED, times=10))
    monkeypatch.setenv("LANGFLOW_OAUTH_TOKEN_URL", f"{fake.base_url}/token")
    monkeypatch.setenv("LANGFLOW_OAUTH_CLIENT_ID", "dagma")
    monkeypatch.setenv("LANGFLOW_OAUTH_CLIENT_SECRET", "the-secret")
    monkeypatch.setenv("LANGFLOW_OAUTH_SCOPE", "flows")
    assert materialize() == "ping from dagma"
    for request in fake.requests:
        if request.path != "/token":
            assert request.headers["authorization"] == "Bearer fetched", request.path


def test_a_gateway_that_wants_a_certificate_gets_it(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANGFLOW_CA_BUNDLE", str(certificates.authority))
    monkeypatch.setenv("LANGFLOW_CLIENT_CERT", str(certificates.client))
    monkeypatch.setenv("LANGFLOW_CLIENT_KEY", str(certificates.client_key))
    with tls_server(certificates, wants_client=True) as fake:
        point_at(fake, monkeypatch)
        assert materialize() == "ping from dagma"


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"LANGFLOW_BASIC_USER": "u"}, "LANGFLOW_BASIC_USER is set without LANGFLOW_BASIC_PASSWORD"),
        (
            {"LANGFLOW_BEARER_TOKEN": "t", "LANGFLOW_BASIC_USER": "u", "LANGFLOW_BASIC_PASSWORD": "p"},
            "LANGFLOW_BEARER_TOKEN and LANGFLOW_BASIC_USER both write the header Authorization",
        ),
        ({"LANGFLOW_HEADERS": "X-Key"}, "LANGFLOW_HEADERS must be a JSON object"),
        ({"LANGFLOW_HEADERS": '{"X-Key:": "hidden"}'}, "LANGFLOW_HEADERS must be a header's name alone"),
        ({"LANGFLOW_CLIENT_CERT": "/nowhere/client_cert.pem"}, "^/nowhere/client_cert.pem can't be used: No such file"),
        ({"LANGFLOW_BASE_URL": "langflow:7860"}, "LANGFLOW_BASE_URL must look like http://host:port"),
        ({"LANGFLOW_BASE_URL": "http://langflow?key=hidden"}, "LANGFLOW_BASE_URL must hold no user, password, query"),
        (
            {"LANGFLOW_BASE_URL": "https://user:hidden@langflow"},
            "LANGFLOW_BASE_URL must hold no user.* LANGFLOW_BASIC_USER and LANGFLOW_BASIC_PASSWORD",
        ),
        (
            {
                "LANGFLOW_OAUTH_TOKEN_URL": "hidden.example/token",
                "LANGFLOW_OAUTH_CLIENT_ID": "me",
                "LANGFLOW_OAUTH_CLIENT_SECRET": "hidden",
            },
            "LANGFLOW_OAUTH_TOKEN_URL must look like http",
        ),
    ],
)
def test_settings_that_can_not_be_used_keep_the_code_from_loading_and_name_the_variables(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], message: str
) -> None:
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    for read in (langflow_from_environment, langflow_client):
        with pytest.raises(environment.SettingError, match=message) as caught:
            read()
        assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value"), [("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem"), ("HTTPS_PROXY", "http://gateway:no-port")]
)
def test_a_client_that_the_environment_keeps_from_being_made_is_a_wrong_setting(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv("LANGFLOW_BASE_URL", "https://langflow.example")
    monkeypatch.delenv("https_proxy", raising=False)
    monkeypatch.setenv(variable, value)
    with pytest.raises(environment.SettingError):
        langflow_client()


@pytest.mark.parametrize(
    "variables",
    [
        {"LANGFLOW_API_KEY": "hidden-key", "LANGFLOW_HEADERS": '{"X-Key": "hidden-header"}'},
        {"LANGFLOW_BEARER_TOKEN": "hidden-token"},
        {"LANGFLOW_BASIC_USER": "hidden-user", "LANGFLOW_BASIC_PASSWORD": "hidden-word"},
        {
            "LANGFLOW_OAUTH_TOKEN_URL": "https://hidden-server/token",
            "LANGFLOW_OAUTH_CLIENT_ID": "hidden-client",
            "LANGFLOW_OAUTH_CLIENT_SECRET": "hidden-secret",
            "LANGFLOW_OAUTH_SCOPE": "hidden-scope",
            "LANGFLOW_OAUTH_AUDIENCE": "hidden-audience",
        },
    ],
    ids=["key", "bearer", "basic", "oauth"],
)
def test_no_snapshot_holds_a_credential(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    definitions = dg.Definitions(assets=[langflow_run_flow], resources={"backend": langflow_from_environment()})
    snapshot = serialize_value(RepositorySnap.from_def(definitions.get_repository_def()))
    assert "Answers calls with the flows of a Langflow server" in snapshot
    assert "hidden" not in snapshot


@pytest.mark.parametrize("field", KEY_VARIABLES)
def test_definitions_refuse_a_key_that_is_given_as_text(field: str) -> None:
    backend = LangflowRestResource(**{field: "a-hidden-value"})  # type: ignore[arg-type]
    with pytest.raises(dg.DagsterInvalidDefinitionError, match=f"The {field} of a Langflow.*dg.EnvVar") as caught:
        dg.Definitions(assets=[langflow_run_flow], resources={"backend": backend}).get_repository_def()
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("field", ["base_url", *SECRET_VARIABLES])
def test_nothing_secret_is_shown_by_a_resource_that_someone_logs(monkeypatch: pytest.MonkeyPatch, field: str) -> None:
    monkeypatch.setenv("THE_SECRET", "a-hidden-value")
    resource = LangflowRestResource(**{field: dg.EnvVar("THE_SECRET")})
    with dg.build_resources({"backend": resource}) as resources:
        backend = resources.backend
        assert getattr(backend, field) == "a-hidden-value"
        assert "hidden" not in f"{backend} {backend!r} {[backend]}"


def test_the_resource_has_a_field_for_every_setting_of_access() -> None:
    assert set(Access.__dataclass_fields__) <= set(LangflowRestResource.model_fields)
