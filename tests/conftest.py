"""What every tier shares: the tiers' order and table, and the one stack that container tests use."""

import os
import secrets
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from harness.lanes import Lanes, lane_of, place_of
from harness.stack import PROJECT, TYPED, Stack, fresh_stack, make_env_file, wait_until
from harness.tiers import TIERS, TierReport, tier_of
from hypothesis import settings

# The same examples in each run, and no time limit: a test fails because of the code, not of luck or a busy machine.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("search", max_examples=3000, deadline=None)
settings.load_profile("repeatable")
pytest.register_assert_rewrite("ledger_suites")

# What removes the test stack, once it was started.
STACK_REMOVAL = pytest.StashKey[ExitStack]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--keep-stack",
        metavar="FOLDER",
        help="keep the test stack running after the tests, its .env in FOLDER, and use it again the next time",
    )
    parser.addoption(
        "--stack-env",
        metavar="FILE",
        help="run the browser tests against the stack that is up with this .env; starts and stops nothing",
    )
    parser.addoption(
        "--pictures", metavar="FOLDER", help="keep the browser tests' screenshots there; default: a temporary folder"
    )


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # As in the background of a shell: every process that a test starts and interrupts would inherit it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.pluginmanager.register(TierReport(), "tier-report")
    for tier in TIERS:
        config.addinivalue_line("markers", f"{tier}: tests of tests/{tier}")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Lanes:
    return Lanes(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(tier_of(item.nodeid))
    if config.getoption("--stack-env") and any(tier_of(item.nodeid) != "browser" for item in items):
        raise pytest.UsageError("--stack-env is for tests/browser alone: other tests stop containers of their stack")
    items.sort(key=lambda item: TIERS.index(tier_of(item.nodeid)))
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: place_of(item.nodeid))
        for item in items:
            asks_stack = tier_of(item.nodeid) == "stack" and "stack" in getattr(item, "fixturenames", ())
            if asks_stack and not lane_of(item.nodeid).endswith("stack"):
                raise pytest.UsageError(f"{item.nodeid} asks the test stack: take its file out of OF_THEIR_OWN")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if hasattr(item.config, "workerinput") and not lane_of(item.nodeid).endswith("stack"):
        # No test that this process still runs asks for the stack, whose health checks would take time from all of them.
        item.config.stash.get(STACK_REMOVAL, ExitStack()).close()


@pytest.fixture(scope="session")
def stack(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The shipped stack, healthy, under the project name and ports of the tests."""
    # What the tester's shell sets must not reach Compose: the environment wins over the file.
    for name in (
        "COMPOSE_PROJECT_NAME",
        "LANGFLOW_BASE_URL",
        "LANGFLOW_API_KEY",
        "LANGFLOW_DEFAULT_FLOW_ID",
        "WORKERS",
    ):
        os.environ.pop(name, None)
    running = pytestconfig.getoption("--stack-env")
    if running:
        stack = Stack(Path(running).resolve())
        stack.wait_ready(seconds=30)
        yield stack
        return
    kept = pytestconfig.getoption("--keep-stack")
    if kept:
        folder = Path(kept)
        folder.mkdir(parents=True, exist_ok=True)
        stack = Stack(folder / ".env" if (folder / ".env").exists() else make_env_file(folder, **TYPED))
        stack.start()
        yield stack
        return
    with ExitStack() as removal:
        pytestconfig.stash[STACK_REMOVAL] = removal
        yield removal.enter_context(fresh_stack(tmp_path_factory.mktemp(PROJECT), **TYPED))


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server of the stack's image, on 127.0.0.1, and its superuser."""
    from testcontainers.core.container import DockerContainer

    password = secrets.token_hex(16)
    container = (
        DockerContainer("postgres:17-trixie")
        .with_env("POSTGRES_PASSWORD", password)
        .with_env("POSTGRES_INITDB_ARGS", "--encoding=UTF8 --locale=C.UTF-8")
        .with_kwargs(user="999:999")  # as in docker-compose.yml
    )
    container.ports = {"5432/tcp": ("127.0.0.1", None)}
    with container:
        # Over TCP, since the socket answers while the cluster is still being made.
        ready = ["psql", f"postgresql://postgres:{password}@127.0.0.1/postgres", "-tAc", "SELECT 1"]
        wait_until("PostgreSQL", lambda: container.exec(ready).exit_code == 0, seconds=60)
        wrapped = container.get_wrapped_container()
        wrapped.reload()
        port = wrapped.ports["5432/tcp"][0]["HostPort"]
        yield f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres"
