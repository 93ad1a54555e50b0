"""Langflow behind a gateway that wants a client's certificate, a fetched token and a header, on the shipped stack."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.certificates import Certificates, certificates
from harness.stack import Stack, docker
from stack.conftest import Dagster
from stack.test_answers import MATERIALIZE, ONE_OFF, run_id_in

__all__ = ["certificates"]

SCRIPT = Path(__file__).parent / "gateway.py"
SECRETS = ("secret-of-the-client", "key-of-the-gateway", "token-of-the-gateway")
CLIENT_SECRET, HEADER, TOKEN = SECRETS
ACCESS = {
    "LANGFLOW_BASE_URL": "https://gateway:8443",
    "LANGFLOW_CA_BUNDLE": "/run/dagma/tls/authority.pem",
    "LANGFLOW_CLIENT_CERT": "/run/dagma/tls/client.pem",
    "LANGFLOW_CLIENT_KEY": "/run/dagma/tls/client.key",
    "LANGFLOW_OAUTH_TOKEN_URL": "https://gateway:8443/token",
    "LANGFLOW_OAUTH_CLIENT_ID": "dagma",
    "LANGFLOW_OAUTH_CLIENT_SECRET": CLIENT_SECRET,
    "LANGFLOW_HEADERS": json.dumps({"X-Gateway-Key": HEADER}),
}


@pytest.fixture(scope="module")
def gateway(stack: Stack, certificates: Certificates) -> Iterator[str]:
    """The id of the gateway's container, which the stack's own network knows as `gateway`."""
    folder = certificates.authority.parent
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)  # user 10001 of the containers reads them
    project = stack.settings["COMPOSE_PROJECT_NAME"]
    image = stack.inspect(stack.container("worker"))["Config"]["Image"]
    container = docker(
        *("run", "--detach", "--init", "--network", f"{project}_flows", "--network-alias", "gateway"),
        *("--volume", f"{folder}:/run/dagma/tls:ro", "--volume", f"{SCRIPT}:/gateway.py:ro"),
        *("--env", "CLIENT=dagma", "--env", f"SECRET={CLIENT_SECRET}", "--env", f"HEADER={HEADER}"),
        *(image, "python", "/gateway.py"),
    ).strip()
    try:
        yield container
    finally:
        docker("rm", "--force", container)


def through_the_gateway(stack: Stack, folder: Path, *command: str, **changed: str) -> str:
    """Run a command in a container of its own that reaches Langflow by the gateway alone."""
    variables = [part for name, value in {**ACCESS, **changed}.items() for part in ("--env", f"{name}={value}")]
    return stack.run(*ONE_OFF, *variables, *command, check=False, env={"LANGFLOW_TLS_FOLDER": str(folder)})


@pytest.mark.parametrize("mode", ["direct", "job"])
def test_the_asset_is_answered_through_it(
    stack: Stack, dagster: Dagster, gateway: str, certificates: Certificates, mode: str
) -> None:
    folder = certificates.authority.parent
    output = through_the_gateway(stack, folder, *MATERIALIZE, LANGFLOW_MODE=mode)
    outcome = dagster.finish(run_id_in(output))
    assert (outcome.status, outcome.metadata.get("mode", "direct")) == ("SUCCESS", mode), output
    seen = docker("logs", gateway)
    assert "POST /token 200" in seen
    assert ("POST /api/v1/run/" if mode == "direct" else "POST /api/v2/workflows 200") in seen
    assert not [secret for secret in SECRETS if secret in output]


def test_the_command_line_is_let_through_as_well(stack: Stack, gateway: str, certificates: Certificates) -> None:
    pushed = through_the_gateway(
        stack, certificates.authority.parent, "flows-push", "dagma", "flows", "push", "--dir", "/flows"
    )
    assert "assistant" in pushed
    assert "FAILED" not in pushed
    assert " 401" not in docker("logs", "--since", "5s", gateway)


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"LANGFLOW_OAUTH_CLIENT_SECRET": "another"}, "Unauthorized"),
        ({"LANGFLOW_HEADERS": '{"X-Gateway-Key": "another"}'}, "Forbidden"),
        ({"LANGFLOW_CA_BUNDLE": ""}, "TLSFailure"),
    ],
    ids=["client", "header", "authority"],
)
@pytest.mark.usefixtures("gateway")
def test_what_it_refuses_fails_the_run_at_once_with_the_cause(
    stack: Stack, dagster: Dagster, certificates: Certificates, changed: dict[str, str], error: str
) -> None:
    output = through_the_gateway(stack, certificates.authority.parent, *MATERIALIZE, **changed)
    outcome = dagster.finish(run_id_in(output))
    assert outcome.status == "FAILURE"
    assert error in outcome.failure
    assert not [secret for secret in (*SECRETS, "another") if secret in output]
