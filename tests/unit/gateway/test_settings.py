"""docker/gateway/settings.py: what httpd is told, and what is refused before anything is replaced."""

import re
from pathlib import Path

import pytest
from unit.gateway.conftest import HASH, OIDC, write_secrets

from settings import SettingError, Settings  # type: ignore[import-not-found]  # isort: skip

PEOPLE = {"GATEWAY_ADMINS": "anna", "GATEWAY_VIEWERS": "*"}
OWN_AUTHORITY = {"GATEWAY_ACME": "me@example.com", "GATEWAY_ACME_DIRECTORY": "https://ca.example.com/acme/directory"}
WITH_OIDC = {"GATEWAY_USERS": "", "GATEWAY_OIDC_CLIENT_SECRET": "it's a secret"}


def definitions(folder: Path, variables: dict[str, str], **secrets: str) -> dict[str, str]:
    defined: dict[str, str] = Settings(PEOPLE | variables, write_secrets(folder, **secrets)).definitions()
    return defined


def refusal(folder: Path, variables: dict[str, str], **secrets: str) -> str:
    with pytest.raises(SettingError) as caught:
        definitions(folder, variables, **secrets)
    return str(caught.value)


def test_a_users_file_is_a_login(tmp_path: Path) -> None:
    defined = definitions(tmp_path, {})
    assert "USERS" in defined
    assert not {"OIDC", "JWT", "ACME"} & defined.keys()
    assert (defined["DAGSTER_ORIGIN"], defined["LANGFLOW_ORIGIN"]) == (
        "https://localhost:8443",
        "https://localhost:8444",
    )
    assert (defined["IDLE_SECONDS"], defined["TOTAL_SECONDS"]) == ("3600", "36000")


def test_a_provider_is_a_login(tmp_path: Path) -> None:
    defined = definitions(tmp_path, OIDC, **WITH_OIDC)
    assert defined["OIDC_ISSUER"] == "https://login.example.com/realms/company"
    assert "USERS" not in defined
    assert "it's a secret" not in defined.values(), "httpd reads it from its file"


def test_browsers_leave_out_port_443(tmp_path: Path) -> None:
    defined = definitions(tmp_path, {"GATEWAY_HOST": "Dagma.Example.com", "GATEWAY_PORT": "443"})
    assert defined["DAGSTER_ORIGIN"] == "https://dagma.example.com"
    assert "HSTS" in defined


@pytest.mark.parametrize("name", ["DAGSTER_ORIGIN", "LANGFLOW_ORIGIN"])
def test_a_pattern_of_an_origin_fits_no_other_host(tmp_path: Path, name: str) -> None:
    defined = definitions(tmp_path, {"GATEWAY_HOST": "dagma.example.com"})
    pattern = defined[f"{name}_PATTERN"]
    assert re.fullmatch(pattern, defined[name])
    assert not re.fullmatch(pattern, defined[name].replace("dagma.example", "dagma-example"))


@pytest.mark.parametrize("host", ["localhost", "10.1.2.3"])
def test_a_machine_that_has_other_servers_is_not_held_to_https(tmp_path: Path, host: str) -> None:
    assert "HSTS" not in definitions(tmp_path, {"GATEWAY_HOST": host})


def test_an_authority_of_ones_own_signs_a_name_that_no_public_one_would(tmp_path: Path) -> None:
    defined = definitions(tmp_path, OWN_AUTHORITY | {"GATEWAY_HOST": "dagma"})
    assert (defined["ACME_DIRECTORY"], defined["ACME_CONTACT"]) == tuple(OWN_AUTHORITY.values())[::-1]


def test_another_authority_signs_at_once(tmp_path: Path) -> None:
    """Each has a folder: mod_md would go on with a certificate that it finds, whoever signed it."""
    variables = OWN_AUTHORITY | {"GATEWAY_HOST": "dagma.example.com"}
    stores = {
        definitions(tmp_path, variables | {"GATEWAY_ACME_DIRECTORY": directory})["ACME_STORE"]
        for directory in ("", "https://acme-staging-v02.api.letsencrypt.org/directory", "https://../..")
    }
    assert len(stores) == 3
    assert all(re.fullmatch("[a-z0-9-]+", store) for store in stores)


def test_without_one_lets_encrypt_signs(tmp_path: Path) -> None:
    defined = definitions(tmp_path, {"GATEWAY_ACME": "me@example.com", "GATEWAY_HOST": "dagma.example.com"})
    assert defined["ACME_DIRECTORY"] == "https://acme-v02.api.letsencrypt.org/directory"


def members(expression: str) -> list[str]:
    """The names in the last regular expression of one for httpd."""
    found = re.findall(r"\(\?:([^()]*)\)", expression)[-1 if "x5d" not in expression else -2]
    return [re.sub(r"\\x(..)", lambda sign: chr(int(sign[1], 16)), name) for name in found.split("|")]


def test_names_reach_httpd_without_a_sign_that_means_something_there(tmp_path: Path) -> None:
    names = ["/ops", 'a"b', "c#d", "${HOST}", "%{HTTP:Role}", "e.f@example.com", "g|h", "\\i", "j)"]
    expression = definitions(tmp_path, {"GATEWAY_ADMINS": ",".join(names)})["IS_ADMIN"]
    assert members(expression) == names
    assert '"' not in expression


def test_everybody_and_nobody_are_no_patterns(tmp_path: Path) -> None:
    defined = definitions(tmp_path, {})
    assert (defined["IS_VIEWER"], defined["IS_EDITOR"]) == ("true", "false")


def test_all_that_is_wrong_is_said_at_once_with_its_fix(tmp_path: Path) -> None:
    said = refusal(tmp_path, {"GATEWAY_HOST": "a b", "GATEWAY_PORT": "x", "GATEWAY_SESSION_HOURS": "0"})
    lines = said.splitlines()
    assert [line.split(":")[0] for line in lines] == ["GATEWAY_HOST", "GATEWAY_PORT", "GATEWAY_SESSION_HOURS"]
    assert all(". Fix: " in line for line in lines)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"GATEWAY_HOST": "https://dagma.example.com"}, "GATEWAY_HOST: 'https://dagma.example.com' is no host name"),
        ({"GATEWAY_HOST": "10.1.2.300"}, "GATEWAY_HOST: '10.1.2.300' is no host name"),
        ({"GATEWAY_LANGFLOW_PORT": "8443"}, "two of the gateway's three ports are the same"),
        ({"GATEWAY_SESSION_IDLE_MINUTES": "601"}, "longer than GATEWAY_SESSION_HOURS"),
        ({"GATEWAY_ADMINS": "", "GATEWAY_VIEWERS": ""}, "nobody has a role"),
        ({"GATEWAY_ROLE_CLAIM": 'a"b'}, "is no claim's name"),
        ({"GATEWAY_OIDC_ISSUER": "https://login.example.com"}, "set too. Fix: delete that file, or"),
        ({"GATEWAY_ACME": "me@example.com"}, "no public authority signs 'localhost'"),
        ({"GATEWAY_ACME": "me@example.com", "GATEWAY_HOST": "10.1.2.3"}, "no public authority signs '10.1.2.3'"),
        ({"GATEWAY_ACME_DIRECTORY": "https://ca.example.com/dir"}, "GATEWAY_ACME: '' is no mail address"),
        ({**OWN_AUTHORITY, "GATEWAY_HOST": "10.1.2.3"}, "it fetches no certificate for the address 10.1.2.3"),
        (
            {**OWN_AUTHORITY, "GATEWAY_ACME_DIRECTORY": "ca.example.com"},
            "GATEWAY_ACME_DIRECTORY: 'ca.example.com' is no https address. Fix: write it like https://ca.example.com/acme",
        ),
        ({"GATEWAY_JWT_AUDIENCE": "dagma"}, "GATEWAY_JWT_ISSUER: '' is no https address"),
        (
            {
                "GATEWAY_JWT_AUDIENCE": "dagma",
                "GATEWAY_JWT_ISSUER": "https://i.example.com",
                "GATEWAY_JWT_JWKS_URL": "http://i",
            },
            "GATEWAY_JWT_JWKS_URL: 'http://i' is no https address",
        ),
    ],
)
def test_a_setting_that_can_not_be_used_is_refused(tmp_path: Path, variables: dict[str, str], said: str) -> None:
    assert said in refusal(tmp_path, variables)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"GATEWAY_OIDC_ISSUER": "http://login.example.com"}, "is no https address"),
        ({"GATEWAY_OIDC_ISSUER": 'https://login.example.com/" Require all granted'}, "is no https address"),
        ({"GATEWAY_OIDC_CLIENT_ID": "${HOME}"}, "is no client id"),
        ({"GATEWAY_OIDC_SCOPES": "email"}, "lacks openid"),
    ],
)
def test_a_provider_that_can_not_be_used_is_refused(tmp_path: Path, variables: dict[str, str], said: str) -> None:
    assert said in refusal(tmp_path, OIDC | variables, **WITH_OIDC)


@pytest.mark.parametrize(
    ("users", "said"),
    [
        ("", "nobody can log in"),
        ("anna:$apr1$abc$def", "the password of anna is no bcrypt hash"),
        (f"anna:{HASH.replace('$12$', '$05$')}", "the password of anna is no bcrypt hash of cost 10 or more"),
        (f"an na:{HASH}", "line 1 has no usable name"),
        (f"anna:{HASH}\nanna:{HASH}", "anna is there twice"),
    ],
)
def test_a_users_file_that_can_not_be_used_is_refused(tmp_path: Path, users: str, said: str) -> None:
    assert said in refusal(tmp_path, {}, GATEWAY_USERS=users)


@pytest.mark.parametrize("name", ["DAGMA_GATEWAY_SECRET", "LANGFLOW_GATEWAY_SECRET", "GATEWAY_SESSION_SECRET"])
@pytest.mark.parametrize("value", ["", "tiny-1", "with blanks " * 8])
def test_a_secret_that_is_none_is_refused_and_not_shown(tmp_path: Path, name: str, value: str) -> None:
    said = refusal(tmp_path, {}, **{name: value})
    assert said.startswith(f"{name}: it is missing, short")
    assert not value or value not in said
