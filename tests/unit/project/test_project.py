"""What a project gets from this stack."""

import importlib
import logging
import sys
from pathlib import Path

import dagster as dg
import pytest

import dagma
from dagma import project_definitions
from dagma.execution import worker
from dagma.project import add_to_path, data_folder, project_folder


def test_every_public_name_can_be_imported() -> None:
    for name in dagma.__all__:
        assert getattr(dagma, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = dagma.nothing


def test_the_folder_is_the_checkouts_or_the_configured_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DAGMA_PROJECT_DIR", raising=False)
    assert (project_folder() / "dg.toml").is_file()
    monkeypatch.setenv("DAGMA_PROJECT_DIR", str(tmp_path))
    assert data_folder() == tmp_path / "data"


def test_a_module_of_the_project_cannot_stand_in_for_a_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("DAGMA_PROJECT_DIR", str(tmp_path))
    add_to_path()
    add_to_path()
    assert sys.path[-1] == str(tmp_path)
    assert sys.path.count(str(tmp_path)) == 1


def test_a_project_gets_the_backend_and_an_executor_that_workers_can_run() -> None:
    defs = project_definitions.with_defaults(dg.Definitions())
    assert defs.resources is not None
    assert defs.resources.keys() == {"backend", "io_manager"}
    assert defs.executor is dg.in_process_executor


def test_a_project_may_have_a_backend_and_an_executor_of_its_own() -> None:
    resources = {"backend": "mine", "io_manager": dg.mem_io_manager}
    defs = project_definitions.with_defaults(dg.Definitions(resources=resources, executor=dg.multiprocess_executor))
    assert defs.resources == resources
    assert defs.executor is dg.multiprocess_executor


def test_a_component_in_another_encoding_is_told_with_its_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DAGMA_PROJECT_DIR", str(tmp_path))
    (tmp_path / "defs").mkdir()
    (tmp_path / "defs/defs.yaml").write_bytes("type: dagma.Flows\n# für alle\n".encode("latin-1"))
    with pytest.raises(project_definitions.ProjectError, match=r"defs\.yaml:2: The file is not in UTF-8"):
        project_definitions.load_project()


TABLE = """\
type: dagma.FlowTable
attributes: &all
  name: answers
  rows: {csv: rows.csv, again: *all, <<: *all, <<: *all}
  columns:
    - {name: label, name: score}
  name: replies
"""


def test_a_key_that_stands_twice_is_told_with_both_lines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DAGMA_PROJECT_DIR", str(tmp_path))
    file = tmp_path / "defs/defs.yaml"
    file.parent.mkdir()
    file.write_text(TABLE)
    with pytest.raises(project_definitions.ProjectError, match=r"defs\.yaml:7: 'name' is in line 3 already"):
        project_definitions.load_project()
    file.write_text(TABLE.replace("  name: replies\n", ""))
    with pytest.raises(project_definitions.ProjectError, match=r"defs\.yaml:6: 'name' is in line 6 already"):
        project_definitions.load_project()


@pytest.mark.parametrize("module", ["dagma.definitions", "dagma.project_definitions"])
def test_an_entry_point_has_one_definitions_object_as_code_servers_want_it(module: str) -> None:
    loaded = importlib.import_module(module)
    assert [name for name, value in vars(loaded).items() if isinstance(value, dg.Definitions)] == ["defs"]


def test_definitions_that_do_not_load_keep_no_worker_from_starting(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    (tmp_path / "broken_entry_point.py").write_text("raise ValueError('no')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(worker, "BUILT_IN", "broken_entry_point")
    with caplog.at_level(logging.ERROR):
        worker.import_definitions()
    assert "Runs of code location dagma will fail, it does not load: ValueError: no" in caplog.text


def test_a_grace_period_that_cannot_be_read_keeps_no_worker_from_starting(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DAGMA_WORKER_GRACE_SECONDS", "long")
    with caplog.at_level(logging.ERROR):
        assert worker.grace_seconds() == 45.0
    assert "DAGMA_WORKER_GRACE_SECONDS is 'long'" in caplog.text


def takes_variables(defs: dg.Definitions) -> bool:
    """Whether a run's config has a text that may name a variable of the environment."""
    schema = defs.resolve_job_def("mine_job").run_config_schema.run_config_schema_type
    return any(isinstance(config_type, type(dg.StringSource)) for config_type in schema.type_iterator())


def test_what_a_run_of_the_project_configures_reads_no_variable_of_the_worker() -> None:
    @dg.asset
    def mine() -> None: ...

    own = dg.Definitions(assets=[mine], jobs=[dg.define_asset_job("mine_job")])
    assert takes_variables(own), "as Dagster has it: the folder of the values"
    assert not takes_variables(project_definitions.with_defaults(own))
