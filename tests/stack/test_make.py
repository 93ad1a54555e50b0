"""The README's commands on a copy of the repository, one after the other, from no stack to no stack."""

import json
import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from harness.stack import IMAGE_TAG, ROOT, SLOT, wait_until

from dagma.execution.webserver import Webserver, WebserverError
from dagma.langflow import Access, LangflowClient

PROJECT = f"dagma-make{SLOT or ''}"
SETTINGS = {
    "COMPOSE_PROJECT_NAME": PROJECT,
    "DAGMA_TAG": IMAGE_TAG,
    "DAGSTER_PORT": str(13100 + SLOT),
    "LANGFLOW_PORT": str(17960 + SLOT),
}
DAGSTER = f"http://127.0.0.1:{SETTINGS['DAGSTER_PORT']}"
LANGFLOW = f"http://127.0.0.1:{SETTINGS['LANGFLOW_PORT']}"
ECHO = "da90a000-0000-4000-8000-000000000002"
MISTAKE = "x = undefined\n"
TOLD = "project/defs/mistake.py:1: NameError: name 'undefined' is not defined"
ASSET = """
import time

import dagster as dg

from dagma import Backend, data_folder

MARK = "."


@dg.asset(pool="langflow")
def shout(backend: Backend) -> dg.MaterializeResult[str]:
    # Empty while it is being written.
    while (word := (data_folder() / "word.txt").read_text()) in ("", "wait"):
        time.sleep(0.1)
    answer = backend.read(backend.run_flow(word, flow_id="echo")).text
    return dg.MaterializeResult(value=answer, metadata={"heard": answer + MARK})


shout_job = dg.define_asset_job("shout_job", [shout])
"""
TABLE = """
type: dagma.FlowTable
attributes:
  asset: words_echoed
  flow: echo
  rows: {csv: data/words.csv}
  key: id
  input: "{{ row.word }}"
"""
JOB_OF_TABLE = 'import dagster as dg\n\nwords_job = dg.define_asset_job("words_job", ["words_echoed"])\n'
OF_DAGSTER = {"dagster-daemon", "dagster-webserver", "project-code", "user-code", "worker"}
LASTING = OF_DAGSTER | {"langflow", "llm", "postgres", "redis"}


@dataclass(frozen=True)
class Clone:
    """A copy of the repository, in which `make` brings a stack up."""

    folder: Path

    def make(self, *arguments: str, seconds: float = 600.0) -> str:
        """Run `make`; return what it prints, both streams."""
        return self._run("make", "--no-print-directory", *arguments, seconds=seconds)

    def refused(self, **settings: str) -> str:
        """Run a `make up` that must fail; return what it prints."""
        done = self._start("make", "--no-print-directory", "up", seconds=600.0, settings=settings)
        assert done.returncode != 0, done.stdout
        assert "Traceback" not in done.stdout
        return done.stdout

    def change_settings(self, **values: str) -> None:
        """Change variables of `.env`."""
        env = self.folder / ".env"
        lines = [line for line in env.read_text().splitlines() if line.split("=", 1)[0] not in values]
        env.write_text("\n".join([*lines, *(f"{name}={value}" for name, value in values.items())]) + "\n")

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def docker(self, *arguments: str) -> str:
        return self._run("docker", *arguments, seconds=60.0)

    def containers(self) -> dict[str, str]:
        """The id of every container by its service, one-shots left out."""
        listed = self.docker(
            *("ps", "--no-trunc", "--filter", f"label=com.docker.compose.project={PROJECT}"),
            *("--format", '{{.Label "com.docker.compose.service"}} {{.ID}}'),
        )
        return dict(line.split() for line in listed.splitlines())

    def stop_dagster(self) -> None:
        """Stop all that loads definitions or shows them; the rest takes a minute to start again, and is not asked."""
        self.docker("rm", "--force", *(each for service, each in self.containers().items() if service in OF_DAGSTER))

    def workers(self) -> set[str]:
        """The ids of the workers' containers."""
        labels = (f"com.docker.compose.project={PROJECT}", "com.docker.compose.service=worker")
        filters = [option for label in labels for option in ("--filter", f"label={label}")]
        return set(self.docker("ps", "--no-trunc", "--quiet", *filters).split())

    def volumes(self) -> set[str]:
        return set(self.docker("volume", "ls", "--quiet", "--filter", f"name={PROJECT}_").split())

    def settings(self) -> dict[str, str]:
        lines = (self.folder / ".env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))

    def _run(self, *command: str, seconds: float) -> str:
        done = self._start(*command, seconds=seconds, settings={})
        assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def _start(self, *command: str, seconds: float, settings: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
        # Not what the shell of the tests has set: only .env, and where this stack differs from the others.
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "SSL_CERT_FILE") if name in os.environ}
        return subprocess.run(
            command,
            cwd=self.folder,
            env={**kept, **SETTINGS, **settings},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            check=False,
        )


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    folder = tmp_path_factory.mktemp("clone")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    clone = Clone(folder)
    try:
        yield clone
    finally:
        if (folder / ".env").exists():
            clone.make("clean", "YES=1")


@pytest.fixture(scope="module")
def screen(clone: Clone) -> str:
    """What `make up` prints on a machine that has the images."""
    return clone.make("up")


def test_make_up_ends_with_what_runs_where_it_is_and_what_to_try(clone: Clone, screen: str) -> None:
    assert "env: wrote .env with random secrets" in screen
    shown = screen.split("Dagma is up (")[1].splitlines()
    assert {line.split()[0] for line in shown if "(healthy)" in line} == LASTING
    assert f"Dagster   {DAGSTER}" in screen
    assert f"Langflow  {LANGFLOW}   login: admin" in screen
    assert shown[-1] == 'Next:  make ask Q="What is the capital of France?"'
    kept = [text for name, text in clone.settings().items() if name.endswith(("PASSWORD", "KEY")) and text]
    assert not [secret for secret in kept if secret in screen], "a log is no place for them"


def test_a_second_make_up_changes_nothing(clone: Clone, screen: str) -> None:
    containers, settings = clone.containers(), clone.settings()
    assert containers.keys() == LASTING
    again = clone.make("up")
    assert "Dagma is up (" in again
    assert "env:" not in again
    assert clone.containers() == containers
    assert clone.settings() == settings


@pytest.mark.usefixtures("screen")
def test_more_workers_are_added_to_those_that_run(clone: Clone) -> None:
    before = clone.containers()
    clone.make("up", "WORKERS=2")
    workers = clone.workers()
    assert len(workers) == 2
    assert before["worker"] in workers
    changed = {service for service, container in clone.containers().items() if container != before[service]}
    assert changed - {"worker"} == {"dagster-daemon"}, "only the daemon, which takes runs off the queue"
    described = json.loads(clone.docker("inspect", clone.containers()["dagster-daemon"]))[0]
    assert "DAGMA_MAX_CONCURRENT_RUNS=4" in described["Config"]["Env"]
    clone.make("up")
    assert clone.workers() == {before["worker"]}


@pytest.mark.usefixtures("screen")
def test_an_llm_that_langflow_refuses_is_said_once_by_our_variable_and_no_other_service_failed(clone: Clone) -> None:
    before = clone.containers()
    # A private address that is not listed, which Langflow finds out when it tries the key.
    printed = clone.refused(LLM_API_KEY="sk-a-wrong-key", LLM_BASE_URL="http://postgres:5432/v1")
    assert printed.count("add postgres to LANGFLOW_SSRF_ALLOWED_HOSTS in .env") == 1
    assert printed.count("LLM_API_KEY          was not taken by Langflow") == 1
    assert "error: flows-push failed" in printed
    assert "not every service came up" not in printed
    assert [service for service in LASTING if f"last lines of {service}" in printed] == []
    assert "sk-a-wrong-key" not in printed
    after = clone.containers()
    assert after.keys() >= LASTING, "what came up stays up"
    assert {service for service in LASTING if after[service] != before[service]} == {"langflow"}, "nobody else reads it"


@pytest.mark.usefixtures("screen")
def test_a_key_and_a_password_that_a_person_changed_reach_those_who_read_them(clone: Clone) -> None:
    # The test before has left Langflow with a wrong key.
    before = clone.containers()
    # As on a volume of before there were limits.
    superuser = ("psql", "-U", "postgres", "-tAqc")
    clone.docker("exec", before["postgres"], *superuser, "ALTER ROLE langflow CONNECTION LIMIT -1")
    clone.change_settings(LLM_API_KEY="'a new $key #1'", LANGFLOW_PG_PASSWORD=secrets.token_hex(24))
    # It ends when Langflow is healthy, which asks its database.
    assert "Dagma is up (" in clone.make("up")
    after = clone.containers()
    replaced = {service for service, container in after.items() if container != before[service]}
    # With Postgres, Compose may replace what depends on it.
    assert replaced >= {"langflow", "postgres"}
    assert not replaced & {"redis", "llm"}
    assert clone.docker("exec", after["langflow"], "cat", "/run/secrets/LLM_API_KEY") == "a new $key #1"
    unlimited = "SELECT rolname FROM pg_roles WHERE rolcanlogin AND rolconnlimit = -1"
    assert clone.docker("exec", after["postgres"], *superuser, unlimited).split() == ["postgres"]
    clone.make("up")
    assert clone.containers() == after


@pytest.mark.usefixtures("screen")
def test_make_ask_answers_through_dagster(clone: Clone) -> None:
    answered = clone.make("ask", "Q=What is the capital of France?")
    assert "Paris" in answered.splitlines()[0]
    assert f"{DAGSTER}/runs/" in answered
    assert f"{LANGFLOW}/flow/da90a000-0000-4000-8000-000000000001" in answered


@pytest.mark.usefixtures("screen")
def test_make_example_labels_reviews_and_prints_how_many_are_right(clone: Clone) -> None:
    printed = clone.make("example")
    assert f"review_sentiments_job runs: {DAGSTER}/runs/" in printed
    (total,) = [line for line in printed.splitlines() if line.startswith("| all ")]
    positive, negative, failed, right = map(int, re.findall(r"\d+", total))
    assert positive + negative + failed == 40
    assert failed >= 1, "one review has no text"
    assert right > 24, printed


@pytest.mark.usefixtures("screen")
def test_make_ps_and_logs_show_the_services(clone: Clone) -> None:
    shown = clone.make("ps")
    assert [service for service in (*LASTING, "flows-push", "dagster-migrate") if service not in shown] == []
    # It follows the log until it is told to stop.
    with pytest.raises(subprocess.TimeoutExpired) as followed:
        clone.make("logs", "s=redis", seconds=8)
    assert b"Ready to accept connections" in (followed.value.stdout or b"")


@pytest.mark.usefixtures("screen")
def test_a_flow_that_was_edited_in_the_canvas_comes_back_as_a_file(clone: Clone) -> None:
    file = clone.folder / "flows" / "echo.json"
    before = file.read_text()
    with LangflowClient(LANGFLOW, Access(api_key=clone.settings()["LANGFLOW_API_KEY"])) as langflow:
        langflow.upsert_flow({**json.loads(before), "description": "Edited in the canvas."})
    clone.make("flows-pull", "f=echo")
    assert json.loads(file.read_text())["description"] == "Edited in the canvas."
    assert file.stat().st_uid == os.getuid()

    file.write_text(before)
    clone.make("flows-push", "FORCE=1")
    with LangflowClient(LANGFLOW, Access(api_key=clone.settings()["LANGFLOW_API_KEY"])) as langflow:
        assert langflow.find_flow(ECHO).raw["description"] == json.loads(before)["description"]


@pytest.mark.usefixtures("screen")
def test_a_setting_that_cannot_be_used_is_told_before_anything_is_replaced(clone: Clone) -> None:
    before = clone.containers()
    outbound = "redis:6379"
    said = clone.refused(LANGFLOW_SCHEDULE_CRON="0 25 * * *", DAGMA_QUOTAS="calls=many/day", DAGMA_OUTBOUND=outbound)
    assert "nothing was changed" in said
    assert "LANGFLOW_SCHEDULE_CRON is '0 25 * * *'. Set it to minute, hour," in said
    assert "DAGMA_QUOTAS: Quota 'calls=many/day' can't be read." in said
    assert "DAGMA_OUTBOUND has 'redis:6379'. Give the whole name of each host in DNS" in said
    assert clone.containers() == before
    assert is_up()


@pytest.mark.usefixtures("screen")
def test_a_mistake_in_the_project_is_told_and_what_runs_keeps_its_version(clone: Clone) -> None:
    before = clone.containers()
    mistake = clone.write("project/defs/mistake.py", MISTAKE)
    said = clone.refused()
    assert TOLD in said
    assert clone.containers() == before
    # The edit reaches no container, also where one starts again, as all do with the machine.
    clone.docker("restart", before["project-code"], before["worker"])
    wait_until("the location project", lambda: is_loaded("project"), seconds=60)
    mistake.unlink()
    # Where one is in what runs, the location comes back with the next make up that finds none.
    mistake = clone.write(".dev/project/current/defs/mistake.py", MISTAKE)
    clone.docker("restart", before["project-code"])
    wait_until("the mistake", lambda: "'undefined'" in load_error("project"), seconds=60)
    mistake.unlink()
    assert "Dagma is up (" in clone.make("up")
    wait_until("the location project", lambda: is_loaded("project"), seconds=60)


@pytest.mark.usefixtures("screen")
def test_an_edit_of_the_project_replaces_no_container_and_no_run_that_goes_on(clone: Clone) -> None:
    before = clone.containers()
    word = clone.write("project/data/word.txt", "hello")
    word.chmod(0o644)
    clone.write("project/defs/shouting/shout.py", ASSET)
    assert "images" not in clone.make("up"), "nothing but the project has changed"
    webserver = Webserver(DAGSTER, location="project")
    # Each process of the worker imports the project with its first run.
    assert {heard(webserver, launch(webserver)) for _ in range(3)} == {"hello."}

    word.write_text("wait")
    going_on = launch(webserver)
    wait_until("the run", lambda: next(webserver.follow(going_on)) == "STARTED", seconds=60)
    clone.write("project/defs/shouting/shout.py", ASSET.replace('"."', '"!"').replace('"wait"', '"wait longer"'))
    clone.make("up")
    # While it goes on, so that no run can be given to its process.
    assert {heard(webserver, launch(webserver)) for _ in range(3)} == {"wait!"}
    word.write_text("hello")
    assert heard(webserver, going_on) == "hello."
    assert clone.containers() == before
    assert "nothing has changed" in clone.make("up")


@pytest.mark.usefixtures("screen")
def test_a_table_is_answered_into_postgres_and_only_what_changed_is_asked(clone: Clone) -> None:
    words = clone.write("project/data/words.csv", "id,word\n1,hello\n2,bye\n")
    words.chmod(0o644)
    clone.write("project/defs/words/defs.yaml", TABLE)
    clone.write("project/defs/words_job.py", JOB_OF_TABLE)
    clone.make("up")
    webserver = Webserver(DAGSTER, location="project")

    def asked() -> tuple[int, int]:
        run_id = webserver.launch("words_job", {}, tags={})
        assert list(webserver.follow(run_id))[-1] == "SUCCESS"
        metadata = webserver.outcome(run_id).metadata
        return metadata["rows_asked"], metadata["rows_unchanged"]

    assert asked() == (2, 0)
    words.write_text(words.read_text() + "3,again\n")
    assert asked() == (1, 2)
    containers = clone.containers()
    export = ("dagma", "table", "export", "words_echoed", "--format", "csv")
    exported = clone.docker("exec", containers["user-code"], *export)
    assert exported.splitlines()[0].startswith("id,answer,")
    rows = ("-tAc", "SELECT id, answer FROM words_echoed ORDER BY id")
    stored = clone.docker("exec", containers["postgres"], "psql", "-U", "postgres", "-d", "tables", *rows)
    assert stored.split() == ["1|hello", "2|bye", "3|again"]


@pytest.mark.usefixtures("screen")
def test_flows_are_assets_and_those_that_are_drawn_later_too(clone: Clone) -> None:
    clone.write("project/defs/flows/defs.yaml", "type: dagma.Flows\n")
    clone.make("up")
    wait_until("the flows of the repository", lambda: {"assistant", "echo"} <= assets(), seconds=60)
    drawn = {**json.loads((clone.folder / "flows" / "echo.json").read_text()), "name": "Drawn later"}
    drawn |= {"endpoint_name": "drawn-later", "id": "da90a000-0000-4000-8000-0000000000f2"}
    with LangflowClient(LANGFLOW, Access(api_key=clone.settings()["LANGFLOW_API_KEY"])) as langflow:
        # The project has an asset of that name, and keeps it.
        shout = {"name": "Shout", "endpoint_name": "shout", "id": "da90a000-0000-4000-8000-0000000000f3"}
        langflow.upsert_flow(drawn | shout)
        langflow.upsert_flow(drawn)
    wait_until("the flow that was drawn later", lambda: {"drawn_later", "shout"} <= assets(), seconds=90)


@pytest.mark.usefixtures("screen")
def test_where_nothing_of_dagster_runs_the_ui_comes_up_with_what_is_wrong(clone: Clone) -> None:
    clone.stop_dagster()
    mistake = clone.write("project/defs/mistake.py", MISTAKE)
    said = clone.refused()
    assert f"Dagster is up at {DAGSTER}, and some of its code locations are red" in said
    assert TOLD in said
    assert is_up()
    wait_until("the location dagma", lambda: is_loaded("dagma"), seconds=60)
    assert not is_loaded("project")
    assert "Paris" in clone.make("ask", "Q=What is the capital of France?"), "it does not need the project"

    said = clone.refused(LANGFLOW_SCHEDULE_CRON="0 25 * * *")
    assert "nothing was changed" in said, "now something runs"
    clone.stop_dagster()
    said = clone.refused(LANGFLOW_SCHEDULE_CRON="0 25 * * *")
    assert "LANGFLOW_SCHEDULE_CRON is '0 25 * * *'" in said
    assert is_up()
    wait_until("what is wrong", lambda: "LANGFLOW_SCHEDULE_CRON is" in load_error("dagma"), seconds=60)
    restarts = clone.docker("inspect", "--format", "{{.RestartCount}}", *clone.workers())
    assert restarts.split() == ["0"]
    mistake.unlink()


@pytest.mark.usefixtures("screen")
def test_the_way_out_is_open_as_long_as_its_setting_is_there(clone: Clone) -> None:
    # The first make up also mends what the test before has left broken.
    way_out = {"outbound", "outbound-db.example.com"}
    own = clone.write("project/.env", "SHOP_DB_URL='postgresql://me:a$b@db.example.com/shop'\n")
    clone.change_settings(DAGMA_OUTBOUND="db.example.com:5432")
    said = clone.make("up")
    assert "Dagma is up (" in said
    assert "outbound-db.example.com" in said
    assert way_out <= clone.containers().keys()
    read = ("python", "-c", "from dagma import secret; print(secret('SHOP_DB_URL'))")
    assert clone.docker("exec", *clone.workers(), *read).strip() == own.read_text().split("'")[1]
    clone.change_settings(DAGMA_OUTBOUND="")
    clone.make("up")
    assert not way_out & clone.containers().keys()
    assert not clone.docker("network", "ls", "--quiet", "--filter", f"name={PROJECT}_outbound")


@pytest.mark.usefixtures("screen")
def test_make_down_keeps_the_data_and_make_clean_deletes_it(clone: Clone) -> None:
    volumes = clone.volumes()
    assert len(volumes) == 4
    said = clone.make("down")
    assert (clone.containers(), clone.volumes()) == ({}, volumes), said
    clone.make("clean", "YES=1")
    assert clone.volumes() == set()
    assert (clone.folder / ".env").exists()


def is_up() -> bool:
    """Whether Dagster's UI answers."""
    return requests.get(f"{DAGSTER}/server_info", timeout=10).ok


def is_loaded(location: str) -> bool:
    """Whether the webserver has a code location's definitions."""
    return load_error(location) == ""


def load_error(location: str) -> str:
    """Why a code location is not loaded; empty where it is."""
    try:
        Webserver(DAGSTER, location=location).check_location()
    except WebserverError as error:
        return str(error)
    return ""


def launch(webserver: Webserver) -> str:
    """Launch the job of `ASSET`."""
    return webserver.launch("shout_job", {}, tags={})


def assets() -> set[str]:
    """The assets that the webserver has, by the last part of their keys."""
    nodes = Webserver(DAGSTER).query("{ assetNodes { assetKey { path } } }")["assetNodes"]
    return {node["assetKey"]["path"][-1] for node in nodes}


def heard(webserver: Webserver, run_id: str) -> str:
    """What a run of `ASSET` heard, and which version of it ran."""
    assert list(webserver.follow(run_id))[-1] == "SUCCESS"
    return str(webserver.outcome(run_id).metadata["heard"])
