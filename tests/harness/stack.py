"""The shipped docker-compose.yml, started by testcontainers under a project name and ports of its own."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from testcontainers.compose import DockerCompose
from testcontainers.core.docker_client import DockerClient

# testcontainers' reaper is an image of its own, which can't be pulled everywhere; what starts containers removes them.
os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[2]
# Two runs of the tests on one machine take two slots: DAGMA_TEST_SLOT=2 DAGMA_TAG=other make test. Each further
# process of a run takes the next one.
SLOT = int(os.environ.get("DAGMA_TEST_SLOT", "0")) + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
PROJECT = f"dagma-test{SLOT or ''}"
PORTS = {"DAGSTER_PORT": 13000 + SLOT, "LANGFLOW_PORT": 17860 + SLOT}
IMAGE_TAG = os.environ.get("DAGMA_TAG") or "local"
START_SECONDS = 420.0
# Secrets as people type them: with what Compose, a shell and a file of variables would each read in their own way.
TYPED = {
    "LLM_API_KEY": 'typed-key-of-the-llm "$HOME" #1 ${PATH} \\n',
    "LANGFLOW_HEADERS": '{"X-Typed": "typed-header-of-a-gateway $1 #2"}',
}
# What tests make the flow `behave` do, by runs of the launchpad's asset.
TWEAKS = "Behave.blocks, Behave.fail_with, Behave.repeat, Behave.seconds"
ONE_SHOTS = frozenset({"dagster-migrate", "flows-push", "ledger-migrate", "default-migrate"})


def wait_until(what: str, probe: Callable[[], T], *, seconds: float, every: float = 0.5) -> T:
    """Return the first true answer of `probe`.

    Raises:
        TimeoutError: There was none within `seconds`; says what the last answer was.
    """
    deadline = time.monotonic() + seconds
    while not (answer := probe()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s; last answer: {answer!r}")
        time.sleep(every)
    return answer


@dataclass(frozen=True)
class Container:
    """One container of the project, as it was when it was asked."""

    id: str
    name: str
    service: str
    state: str
    health: str
    exit_code: int

    @property
    def is_ready(self) -> bool:
        """Healthy, or a one-shot that ended well."""
        if self.service in ONE_SHOTS:
            return self.state == "exited" and self.exit_code == 0
        return self.state == "running" and self.health == "healthy"


class Stack:
    """A running stack, and what tests do to it."""

    def __init__(self, env_file: Path, *overlays: str) -> None:
        self.env_file = env_file
        self.compose = DockerCompose(
            context=ROOT,
            compose_file_name=["docker-compose.yml", *overlays],
            env_file=str(env_file),
            build=False,
            wait=False,
        )
        # Asked several times a second while tests wait. `docker compose` takes a quarter of a second of CPU each time.
        self._engine = DockerClient().client

    @property
    def settings(self) -> dict[str, str]:
        """The variables of the environment file."""
        lines = [line for line in self.env_file.read_text().splitlines() if line and not line.startswith("#")]
        return {name: value.strip("'") for name, value in (line.split("=", 1) for line in lines)}

    @property
    def dagster_url(self) -> str:
        return f"http://127.0.0.1:{self.settings['DAGSTER_PORT']}"

    @property
    def langflow_url(self) -> str:
        return f"http://127.0.0.1:{self.settings['LANGFLOW_PORT']}"

    def start(self) -> None:
        """Start the stack as `make up` does, and wait until every service is ready."""
        self.write_secrets()
        self.compose.start()
        self.wait_ready()

    def write_secrets(self) -> None:
        """Write the files that the containers read, from the environment file."""
        in_bash("write_secrets", self.env_file.parent)

    def stop(self) -> None:
        """Remove the containers, networks and volumes, and what another run with an overlay may have left."""
        self.run("down", "--volumes", "--remove-orphans")

    def run(
        self, *arguments: str, check: bool = True, env: Mapping[str, str] | None = None, stdin: str | None = None
    ) -> str:
        """Run `docker compose` with these arguments; return what it prints, both streams."""
        return printed(
            [*self.compose.docker_compose_command(), *arguments], check, {**os.environ, **(env or {})}, stdin
        )

    def containers(self, service: str | None = None) -> list[Container]:
        """Every container of the project or of one service, one-shots included, in the order of their names."""
        labels = [f"project={self.settings.get('COMPOSE_PROJECT_NAME', 'dagma')}", "oneoff=False"]
        labels += [f"service={service}"] if service else []
        filters = {"label": [f"com.docker.compose.{label}" for label in labels]}
        found = self._engine.containers.list(all=True, filters=filters, ignore_removed=True)
        rows = [
            Container(
                each.id,
                each.name,
                each.labels["com.docker.compose.service"],
                each.status,
                each.attrs["State"].get("Health", {}).get("Status", ""),
                each.attrs["State"]["ExitCode"],
            )
            for each in found
        ]
        return sorted(rows, key=lambda row: row.name)

    def container(self, service: str) -> Container:
        """The service's only container."""
        (container,) = self.containers(service)
        return container

    def inspect(self, container: Container) -> dict[str, Any]:
        """What `docker inspect` says of a container."""
        described: dict[str, Any] = self._engine.api.inspect_container(container.id)
        return described

    def health(self, service: str) -> str:
        return self.container(service).health

    def wait_ready(self, seconds: float = START_SECONDS) -> None:
        """Wait until every service is ready."""

        def all_ready() -> bool:
            self.unready = [row for row in self.containers() if not row.is_ready]
            return not self.unready

        try:
            wait_until("every service ready", all_ready, seconds=seconds, every=1.0)
        except TimeoutError as error:
            names = sorted({row.service for row in self.unready})
            logs = self.run("--ansi", "never", "logs", "--tail", "30", *names, check=False)
            raise TimeoutError(f"not ready: {self.unready}\n{logs}") from error

    def wait_health(self, service: str, health: str, seconds: float) -> None:
        wait_until(f"{service} {health}", lambda: self.health(service) == health, seconds=seconds, every=1.0)

    def exec(self, service: str, *command: str, check: bool = True, stdin: str | None = None) -> str:
        """Run a command in the service's container; return what it prints."""
        first, *_ = self.containers(service)
        options = [] if stdin is None else ["--interactive"]
        return printed(["docker", "exec", *options, first.id, *command], check, os.environ, stdin)

    def check(self, service: str) -> bool:
        """Whether the service's health check passes now, as Docker would run it."""
        container = self.container(service)
        kind, *command = self.inspect(container)["Config"]["Healthcheck"]["Test"]
        shell = ["sh", "-c"] if kind == "CMD-SHELL" else []
        asked = subprocess.run(["docker", "exec", container.id, *shell, *command], capture_output=True, check=False)
        return asked.returncode == 0

    def sql(self, database: str, statement: str) -> str:
        """Run a statement as Postgres' superuser; return its rows, fields separated by |."""
        return self.exec("postgres", "psql", "-U", "postgres", "-d", database, "-tAqc", statement)

    def kill(self, service: str, *command: str) -> None:
        """End every process of the service's container with SIGKILL, from inside; wait until Docker has restarted it.

        `docker kill` would count as a stop by hand, after which the restart policy does nothing.

        Args:
            service: The service.
            command: What does it, in the container; at once by default.
        """
        container = self.container(service)
        before = self.inspect(container)["State"]["StartedAt"]
        self.exec(service, *(command or ("sh", "-c", "kill -9 -1")), check=False)

        def restarted() -> bool:
            state = self.inspect(container)["State"]
            return bool(state["Running"] and state["StartedAt"] != before)

        wait_until(f"{service} killed and restarted", restarted, seconds=60, every=0.2)

    def logs(self) -> str:
        """Everything that any container of the project has printed."""
        return self.run("--ansi", "never", "logs", "--no-color")


def printed(command: list[str], check: bool, env: Mapping[str, str], stdin: str | None) -> str:
    """Run a command in the repository; return what it prints, both streams."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=env,
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


@contextmanager
def fresh_stack(folder: Path, *overlays: str, **settings: str) -> Iterator[Stack]:
    """Start a stack on empty volumes; remove it at the end.

    Args:
        folder: An empty folder for its environment file.
        overlays: Compose files to lay over the shipped one.
        settings: Variables to set in its environment file.
    """
    env_file = make_env_file(folder, **settings)
    stack = Stack(env_file, *overlays)
    # What the caller's shell sets must not reach Compose: the environment wins over the file.
    for name in stack.settings:
        os.environ.pop(name, None)
    stack.stop()  # what a run that was killed has left
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


def make_env_file(folder: Path, **settings: str) -> Path:
    """Write an environment file as `make up` does, for the tests' own project, ports and these settings."""
    (folder / ".env.example").write_text((ROOT / ".env.example").read_text())
    in_bash("make_env_file", folder)
    env_file = folder / ".env"
    ports = {name: str(port) for name, port in PORTS.items()}
    own = {"COMPOSE_PROJECT_NAME": PROJECT, "DAGMA_TAG": IMAGE_TAG, "DAGMA_SECRETS_DIR": f"{folder}/.secrets", **ports}
    changes = own | {"DAGMA_RUN_CONFIG_TWEAKS": TWEAKS} | settings
    lines = [line for line in env_file.read_text().splitlines() if line.split("=", 1)[0] not in changes]
    # In single quotes, as the README says of values that Compose would cut.
    env_file.write_text("\n".join([*lines, *(f"{name}='{value}'" for name, value in changes.items())]) + "\n")
    return env_file


def docker(*arguments: str) -> str:
    """Run `docker` with these arguments; return what it prints."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"docker {' '.join(arguments[:2])} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def in_bash(code: str, folder: Path) -> str:
    """Run functions of the scripts that write what a stack needs, in the folder of its environment file."""
    sourced = "".join(f". {ROOT}/scripts/{name}.sh; " for name in ("lib", "env-file", "secrets", "outbound"))
    command = ["bash", "-Eeuo", "pipefail", "-c", sourced + code]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{code} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout
