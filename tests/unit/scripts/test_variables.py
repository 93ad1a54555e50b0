"""One set of variables: .env.example, docker-compose.yml, docs/settings.md and the code name the same ones."""

import re

from unit.scripts.compose import (
    GATEWAY,
    OF_ONE_SERVICE,
    OF_THE_GATEWAY,
    OF_THE_IMAGE,
    ROOT,
    SECRETS,
    SERVICES,
    SHARED,
    exemplified,
    given,
    interpolated,
    read_by_code,
)

# `make up` computes them: workers times runs of each, and where the copies of the project are.
COMPUTED = {"DAGMA_MAX_CONCURRENT_RUNS", "DAGMA_PROJECT_MOUNT"}


# Their passwords stand in .env: scripts/secrets.sh makes these of them.
COMPOSED = {"CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "DAGMA_LEDGER_URL", "DAGMA_LEDGER_OWNER_URL"}
COMPOSED |= {"LANGFLOW_GATEWAY_SECRET", "GATEWAY_SESSION_SECRET", "GATEWAY_USERS"}
# Only the scripts read them: whether there is a gateway, and files of this machine that it gets as copies.
OF_THE_SCRIPTS = {"GATEWAY", "GATEWAY_USERS_FILE", "GATEWAY_TLS_CERT", "GATEWAY_TLS_KEY"}


def test_compose_takes_from_env_what_env_example_has_or_gets_it_as_a_secret() -> None:
    secrets = set().union(*SECRETS.values(), *(each["secrets"] for each in GATEWAY["services"].values())) - COMPOSED
    assert not interpolated() & secrets, "a value in the Compose file is a value in `docker inspect`"
    assert (interpolated() - COMPUTED) | secrets | OF_THE_SCRIPTS == exemplified().keys()


def settings_of_the_readme() -> list[str]:
    section = (ROOT / "README.md").read_text().split("\n## Settings\n")[1].split("\n## ")[0]
    return [line for line in section.splitlines() if line.startswith("| `")]


def test_the_readme_names_the_few_that_a_newcomer_needs() -> None:
    names = re.findall(r"`([A-Z][A-Z_]+)`", "".join(line.split("|")[1] for line in settings_of_the_readme()))
    assert len(names) == 8
    assert set(names) <= set(exemplified())


def test_one_page_describes_each_variable_once() -> None:
    section = (ROOT / "docs" / "settings.md").read_text()
    rows = [
        re.findall(r"`([A-Z][A-Z_]+)`", line.split("|")[1]) for line in section.splitlines() if line.startswith("|")
    ]
    names = [name for row in rows for name in row]
    assert sorted(names) == sorted(exemplified())


def test_the_documents_give_the_defaults_of_env_example() -> None:
    lines = [*(ROOT / "docs" / "settings.md").read_text().splitlines(), *settings_of_the_readme()]
    for line in lines:
        cells = [cell.strip() for cell in line.split("|")]
        names = re.findall(r"`([A-Z][A-Z_]+)`", cells[1]) if len(cells) > 3 else []
        if names and cells[2].startswith("`"):
            assert [exemplified()[name] for name in names] == re.findall(r"`([^`]*)`", cells[2]), line


def test_compose_defaults_are_those_of_env_example() -> None:
    text = (ROOT / "docker-compose.yml").read_text() + (ROOT / "docker-compose.gateway.yml").read_text()
    for name, default in re.findall(r"\$\{([A-Z_]+):-([^${}]*)\}", text):
        example = exemplified().get(name, "")
        if example and not example.startswith("<"):
            assert default == example, name


def test_what_the_code_reads_is_in_the_shared_environment() -> None:
    names = read_by_code()
    assert "LANGFLOW_BASE_URL" in names
    assert names - OF_ONE_SERVICE.keys() - OF_THE_IMAGE - OF_THE_GATEWAY - given(SHARED) == set()


def test_what_one_service_reads_is_in_its_environment_alone() -> None:
    for name, service in OF_ONE_SERVICE.items():
        assert name in read_by_code()
        assert name in given(SERVICES[service]["environment"])
        assert name not in given(SHARED)
