"""What whoever may launch a run can put into its config."""

import importlib
import traceback
import types
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from dagster._config import ConfigType
from dagster._core.snap.snap_to_yaml import default_values_yaml_from_type_snap

from dagma.backends.langflow.langflow_resource import LangflowRestResource
from dagma.defs.llm.assets import RUN_CONFIG
from dagma.run_config.fixed_resource import FixedResource

SECRET = "a-secret-of-the-worker"
SOURCES = (type(dg.StringSource), type(dg.IntSource), type(dg.BoolSource))
JOBS = ("langflow_run_flow_job", "__ASSET_JOB")


@pytest.fixture
def definitions(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    monkeypatch.setenv("LANGFLOW_BASE_URL", "http://langflow:7860")
    monkeypatch.setenv("LANGFLOW_API_KEY", "sk-a-secret-key")
    monkeypatch.setenv("A_SECRET", SECRET)
    return importlib.reload(importlib.import_module("dagma.definitions"))


def sources(schema: ConfigType, path: str) -> Iterator[str]:
    """The places of a schema that a variable of the environment can fill."""
    if isinstance(schema, SOURCES):
        yield path
    for name, field in getattr(schema, "fields", {}).items():
        yield from sources(field.config_type, f"{path}.{name}")
    for inner in ("inner_type", "key_type", "scalar_type", "non_scalar_type"):
        if isinstance(inner_type := getattr(schema, inner, None), ConfigType):
            yield from sources(inner_type, f"{path}.{inner}")


def test_the_sweep_finds_what_a_plain_config_of_dagster_opens() -> None:
    class Open(dg.Config):
        text: str
        maybe: int | None = None
        many: list[bool] = []  # noqa: RUF012
        named: dict[str, str] = {}  # noqa: RUF012

    assert len(list(sources(Open.to_config_schema().as_field().config_type, "open"))) == 4


def test_no_job_takes_a_variable_of_the_environment(definitions: types.ModuleType) -> None:
    jobs = definitions.defs.get_repository_def().get_all_jobs()
    assert {job.name for job in jobs} >= set(JOBS)
    for job in jobs:
        assert list(sources(job.run_config_schema.run_config_schema_type, job.name)) == []


def test_no_resource_can_be_configured_at_launch(definitions: types.ModuleType) -> None:
    for job in definitions.defs.get_repository_def().get_all_jobs():
        resources = job.run_config_schema.run_config_schema_type.fields["resources"].config_type.fields
        assert "backend" in resources, "it has to stand there with nothing in it: the asset job ignores what does not"
        for name, field in resources.items():
            assert field.config_type.fields["config"].config_type.fields == {}, (job.name, name)


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize(
    "config",
    [
        {"ops": {"langflow_run_flow": {"config": {"input_value": {"env": "A_SECRET"}}}}},
        {"ops": {"langflow_run_flow": {"config": {"session_id": {"env": "A_SECRET"}}}}},
        {"resources": {"backend": {"config": {"base_url": "http://elsewhere"}}}},
        {"resources": {"backend": {"config": {"api_key": {"env": "A_SECRET"}}}}},
        {"resources": {"io_manager": {"config": {"base_dir": {"env": "A_SECRET"}}}}},
    ],
)
def test_an_attack_by_a_runs_config_is_no_valid_config(
    definitions: types.ModuleType, job: str, config: dict[str, Any]
) -> None:
    with pytest.raises(dg.DagsterInvalidConfigError) as refused:
        dg.validate_run_config(definitions.defs.get_repository_def().get_job(job), config)
    assert SECRET not in str(refused.value)


def test_the_launchpad_begins_without_resources(definitions: types.ModuleType) -> None:
    job = definitions.defs.resolve_job_def("langflow_run_flow_job")
    snapshot = job.get_job_snapshot().config_schema_snapshot
    root = snapshot.get_config_snap(job.run_config_schema.run_config_schema_type.key)
    assert default_values_yaml_from_type_snap(snapshot, root).splitlines()[:3] == [
        "ops:",
        "  langflow_run_flow:",
        "    config:",
    ]
    assert "resources" not in default_values_yaml_from_type_snap(snapshot, root)


def test_every_field_of_the_asset_is_described_in_the_launchpad() -> None:
    for name, field in RUN_CONFIG.items():
        assert field.description, name


class Keyed(FixedResource):
    """A resource of one's own."""

    key: str
    port: int = 0
    others: dict[str, str] = {}  # noqa: RUF012


def made(resource: FixedResource) -> Any:
    with dg.build_resources({"it": resource}) as resources:
        return resources.it


def test_a_resource_reads_variables_and_their_files_when_a_run_begins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.delenv("A_KEY", raising=False)
    monkeypatch.setenv("A_PORT", "8080")
    resource = Keyed(key=dg.EnvVar("A_KEY"), port=dg.EnvVar.int("A_PORT"))
    resource.get_resource_definition()
    (tmp_path / "key").write_text("sk-from-a-file\n")
    monkeypatch.setenv("A_KEY_FILE", str(tmp_path / "key"))
    assert (made(resource).key, made(resource).port) == ("sk-from-a-file", 8080)
    monkeypatch.setenv("A_KEY", "sk-from-the-variable")
    assert made(resource).key == "sk-from-the-variable"


@pytest.mark.parametrize(("text", "number"), [("-1", -1), (" 5", 5)])
def test_a_number_may_have_a_sign_and_spaces(monkeypatch: pytest.MonkeyPatch, text: str, number: int) -> None:
    monkeypatch.setenv("A_PORT", text)
    assert made(Keyed(key="k", port=dg.EnvVar.int("A_PORT"))).port == number


@pytest.mark.parametrize(("name", "value"), [("A_KEY", None), ("A_PORT", "many")])
def test_a_variable_that_cannot_be_read_is_named_without_its_value(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str | None
) -> None:
    monkeypatch.setenv("A_KEY", "k")
    monkeypatch.setenv("A_PORT", "1")
    monkeypatch.delenv(name) if value is None else monkeypatch.setenv(name, value)
    with pytest.raises(dg.DagsterError) as refused:
        made(Keyed(key=dg.EnvVar("A_KEY"), port=dg.EnvVar.int("A_PORT")))
    assert name in str(refused.value)
    assert "many" not in "".join(traceback.format_exception(refused.value))


def test_a_resource_is_torn_down_and_has_its_context() -> None:
    ends: list[str] = []

    class Closing(FixedResource):
        key: str = "k"

        def teardown_after_execution(self, context: dg.InitResourceContext) -> None:  # noqa: ARG002
            ends.append(self.key)

    @dg.asset
    def used(it: Closing) -> str:
        run = it.get_resource_context().run
        return run.run_id if run else ""

    result = dg.materialize([used], resources={"it": Closing()})
    assert result.output_for_node("used") == result.run_id
    assert ends == ["k"]


@pytest.mark.parametrize("resource", [Keyed, LangflowRestResource])
def test_configuring_at_launch_is_refused_with_what_to_do_instead(resource: type[FixedResource]) -> None:
    with pytest.raises(dg.DagsterInvalidDefinitionError, match="where it is defined"):
        resource.configure_at_launch()


def test_a_key_in_a_file_reaches_a_definitions_file_that_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.delenv("LANGFLOW_API_KEY", raising=False)
    (tmp_path / "key").write_text("sk-from-a-file")
    monkeypatch.setenv("LANGFLOW_API_KEY_FILE", str(tmp_path / "key"))
    resource = LangflowRestResource(api_key=dg.EnvVar("LANGFLOW_API_KEY"))
    assert made(resource).api_key == "sk-from-a-file"
    assert resource.client  # outside of Dagster too


def test_an_unreadable_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("A_KEY", raising=False)
    monkeypatch.setenv("A_KEY_FILE", "/nowhere/key")
    with pytest.raises(dg.DagsterInvariantViolationError, match="A_KEY_FILE is '/nowhere/key'"):
        made(Keyed(key=dg.EnvVar("A_KEY")))
