"""A project that does not load is told by the line of its own file."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from unit.scripts.compose import ROOT

LOAD_PROJECTS = Path(__file__).parent / "load_projects.py"
ASSET = "import dagster as dg\n\n\n@dg.asset\ndef mine() -> None: ...\n"
TABLE = 'type: dagma.FlowTable\nattributes:\n  asset: mine\n  key: id\n  input: "{{ row.text }}"\n'
FLOWS = "type: dagma.Flows\nattributes:\n  "
BAD_SETTING = {"DAGMA_QUOTAS": "calls=many/day"}

# Name of the case: text of `defs/a/defs.yaml`, and what has to be said, after the path of that file where it is told.
DECLARATIONS = {
    "yaml": ("typ: dagster.PythonScriptComponent\n", ":1: type: Field required\n"),
    "yaml syntax": ("type: [dagster\n", ":2: while parsing a flow s"),
    "yaml with a wrong indent": (
        f"{TABLE} rows: r\n",
        ":6: while parsing a block mapping, expected <block end>, but found ",
    ),
    "yaml with a text that has no end": (
        f'{TABLE}  rows: "r\n  pool: p\n',
        ":6: while scanning a quoted scalar, found unexpected end of stream\n",
    ),
    "yaml with a key without a colon": (
        f"{TABLE}  rows\n  pool: p\n",
        ":6: while scanning a simple key, could not find expected ':'\n",
    ),
    "a template without quotes": (
        f"{TABLE}  rows: r\n  session: {{{{ row.text }}}}\n",
        ":7: A key is not a text. Put text with {{ }} into quotes.\n",
    ),
    "a table without attributes": (
        "# mine\ntype: dagma.FlowTable\nattributes:\n",
        ":2: The attributes are missing. Write at least asset, rows, key and input.\n",
    ),
    "yaml without a component": ("# later\n", " is empty. Write a "),
    "yaml with a misspelled component": (
        "# mine\ntype: dagma.FlowTabel  # of reviews\n",
        ":2: There is no component dagma.FlowTabel, only dagma.Flows and dagma.FlowTable.",
    ),
    "yaml with an unknown attribute": (
        "type: dagma.FlowTable\nattributes:\n  colour: red\n",
        ":3: colour: Extra inputs are not permitted\n",
    ),
    "the second table of a file": (
        f"{TABLE}  rows: r\n---\n{TABLE}  rows: r\n  concurrency: 0\n",
        ":14: mine: concurrency can't be used: Input should be greater than or equal to 1.\n",
    ),
    "a kind of rows": (f"{TABLE}  rows: {{cvs: a.csv}}\n", ":6: mine: rows.cvs: rows have no such attribute.\n"),
    "a kind of partitions": (
        f"{TABLE}  rows: r\n  partition_column: day\n  partitions_def: {{type: dayly, start_date: 2026-01-31}}\n",
        ":8: partitions_def: Input tag 'dayly' found using 'type' does not match any of the ",
    ),
    "an option of partitions": (
        f"{TABLE}  rows: r\n  partition_column: day\n  partitions_def: {{type: daily, start: 2026-01-31}}\n",
        ":8: partitions_def.daily.start_date: Field required\n",
    ),
    "keys of partitions": (
        f"{TABLE}  rows: r\n  partition_column: c\n  partitions_def: {{type: static, partition_keys: [de, de]}}\n",
        ":8: partitions_def: Partition keys must be unique.",
    ),
    "a text for the keys of partitions": (
        f"{TABLE}  rows: r\n  partition_column: c\n  partitions_def: {{type: static, partition_keys: de}}\n",
        "partitions_def.static.partition_keys: Input should be a valid array",
    ),
    "a text for a list of flows": (
        f"{FLOWS}flows:\n    label:\n      deps: reviews\n",
        ":5: flows.label.deps: deps is a text. Write a list, [reviews], or an object, ",
    ),
    "a text for an object of flows": (
        f"{FLOWS}from_files: true\n  select: label\n",
        ":4: select is a text. Write a list, [label], or an object, {name: ...}.\n",
    ),
    "a password": (
        f"{TABLE}  rows: {{sql: select 1, url: 'postgresql://me:secret@db/shop'}}\n",
        ":6: mine: rows.url: The url names a variable, so that no password is in this file.",
    ),
    "a password as a variable's name": (
        f"{TABLE}  rows: {{sql: select 1, url: {{env: 'postgresql://me:secret@db/shop'}}}}\n",
        ":6: mine: rows.url: The url names a variable, so that no password is in this file.",
    ),
    "a password in an attribute that there is not": (
        f"{TABLE}  rows: r\n  url: postgresql://me:secret@db/shop\n",
        ":7: url: Extra inputs are not permitted\n",
    ),
    "partitions without their column": (
        f"{TABLE}  rows: r\n  partitions_def: {{type: static, partition_keys: [de]}}\n",
        ":7: mine: Partitions need both: partitions_def, and the partition_column",
    ),
    "a word of flows": (
        f"{FLOWS}flows: {{label: {{mode: jbo}}}}\n",
        ":3: flows: mode is 'jbo'. Set it to one of: auto, direct, job.\n",
    ),
    "a template of flows": (
        f"{FLOWS}flows: {{label: {{input: '{{{{ row.text }}}}'}}}}\n",
        ": flows.label: The input of the flow asset 'label' uses row, which does not exist.",
    ),
    "a name of the config of flows": (
        f"{FLOWS}flows: {{label: {{config: {{size: 1}}, session: '{{{{ config.siez }}}}'}}}}\n",
        "the flow asset 'label' uses config.siez, which its config does not have. It has: size.\n",
    ),
    "a cron expression of flows": (
        f"{FLOWS}flows: {{label: {{schedule: daily}}}}\n",
        ": flows.label: Found invalid cron schedule 'daily'",
    ),
    "a key of flows that Dagster has for itself": (
        f"{FLOWS}flows: {{config: {{}}}}\n",
        ': flows.config: "config" is not a valid name in Dagster.',
    ),
    "a key of a table that Dagster has for itself": (
        f"{TABLE.replace('mine', 'config')}  rows: r\n",
        ': config: "config" is not a valid name in Dagster.',
    ),
    "a condition of flows": (
        f"{FLOWS}flows: {{label: {{automation_condition: eager}}}}\n",
        "automation_condition is 'eager'. Write a template that makes it, such as '{{ dg.AutomationCondition.",
    ),
    "retries of flows": (
        f"{FLOWS}defaults: {{max_retries: many}}\n",
        ":3: defaults: max_retries is 'many'. Write a whole number from 0.\n",
    ),
    "a number in the partitions of flows": (
        f"{FLOWS}defaults: {{partitions_def: {{type: static, partition_keys: [de, no]}}}}\n",
        ":3: defaults.partitions_def.static.partition_keys.1: Input should be a valid string\n",
    ),
}
# Name of the case: file of the project, its text, further settings, and what has to be said.
MISTAKES: dict[str, tuple[str, str, Mapping[str, str], str]] = {
    **{
        name: ("defs/a/defs.yaml", text, {}, f"project/defs/a/defs.yaml{told}" if told[0] in " :" else told)
        for name, (text, told) in DECLARATIONS.items()
    },
    "syntax": ("defs/x.py", "import dagster\n\ndef x(:\n", {}, "project/defs/x.py:3: SyntaxError: invalid syntax\n"),
    "name": ("defs/x.py", "\nx = y\n", {}, "project/defs/x.py:2: NameError: name 'y' is not defined\n"),
    "package": (
        "defs/x.py",
        "import nothing\n",
        {},
        "project/defs/x.py:1: ModuleNotFoundError: No module named 'nothing'",
    ),
    "exit": ("defs/x.py", "import sys\nprint('bye')\nsys.exit(3)\n", {}, "project/defs/x.py:3: SystemExit: 3\n"),
    "one asset twice": ("defs/x.py", ASSET, {}, "Duplicate asset key: AssetKey(['mine'])\n"),
    "cron": (
        "defs/x.py",
        "import dagster as dg\nx = dg.ScheduleDefinition(job_name='j', cron_schedule='0 25 * * *')\n",
        {},
        "project/defs/x.py:2: Found invalid cron schedule '0 25 * * *'",
    ),
    "resource": (
        "defs/x.py",
        "import dagster as dg\n@dg.asset(required_resource_keys={'gone'})\ndef needy(): ...\n",
        {},
        "resource with key 'gone' required by op 'needy' was not provided.",
    ),
    "a component in a file of another name": (
        "defs/a/flows.yaml",
        "type: dagma.Flows\n",
        {},
        "project/defs/a/flows.yaml is not loaded: only defs.yaml holds components. Rename the file.",
    ),
    "a component in the folder of all others": (
        "defs/defs.yaml",
        "type: dagma.Flows\n",
        {},
        "project/defs/mine.py is not loaded, because project/defs/defs.yaml is beside it. Give defs.yaml its own f",
    ),
    "backend": (
        "mine.py",
        "reply = undefined\n",
        {"DAGMA_BACKEND": "mine:reply"},
        "DAGMA_BACKEND: project/mine.py:1: NameError: name 'undefined' is not defined\n",
    ),
    "a backend that exits": (
        "mine.py",
        "raise SystemExit(0)\n",
        {"DAGMA_BACKEND": "mine:reply"},
        "DAGMA_BACKEND: project/mine.py:1: SystemExit: 0\n",
    ),
    "beside a bad setting": ("defs/x.py", "x = y\n", BAD_SETTING, "project/defs/x.py:1: NameError"),
}
# Name of the project, and the only file in its `defs`.
NOTHING_TO_LOAD = {"a misnamed component": "defs/a/flows.yaml", "an emptied project": "defs/a/README.md"}


def make_project(folder: Path, file: str = "", text: str = "") -> Path:
    (folder / "defs").mkdir(parents=True)
    (folder / "dg.toml").write_text((ROOT / "project/dg.toml").read_text())
    (folder / "defs/mine.py").write_text(ASSET)
    if file:
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text(text)
    return folder


def validate(environments: Sequence[Mapping[str, str]]) -> list[tuple[int, str]]:
    """What `dagma validate` ends with and prints, in each of these environments."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("DAGMA_", "DAGSTER_", "LANGFLOW_"))}
    done = subprocess.run(
        [sys.executable, str(LOAD_PROJECTS)],
        env={**kept, "PYTHONPATH": str(ROOT / "src")},
        input=json.dumps(environments),
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return [(code, said) for code, said in json.loads(done.stdout)]


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """What is said of each mistake, and of what loads: in one process, as most of its time goes into imports."""
    root = tmp_path_factory.mktemp("projects")
    environments = {
        name: {"DAGMA_PROJECT_DIR": str(make_project(root / name, file, text)), **settings}
        for name, (file, text, settings, _) in MISTAKES.items()
    }
    with_backend = make_project(root / "a backend", "mine.py", "def reply(request):\n    return 'hello'\n")
    misnamed, emptied = (make_project(root / name, file, "x: 1\n") for name, file in NOTHING_TO_LOAD.items())
    for folder in (misnamed, emptied):
        (folder / "defs/mine.py").unlink()
    with_flows = make_project(root / "a flow of a taken name", "defs/flows/defs.yaml", "type: dagma.Flows\n")
    (with_flows / "defs/shop/flows").mkdir(parents=True)
    (with_flows / "defs/shop/flows/defs.yaml").write_text("type: dagma.Flows\n")
    (with_flows / "flows").mkdir()
    (with_flows / "flows/mine.json").write_text('{"id": "1", "name": "Mine", "data": {}}')
    environments |= {
        "a flow of a taken name": {
            "DAGMA_PROJECT_DIR": str(with_flows),
            "DAGMA_FLOWS_DIR": str(with_flows / "flows"),
        },
        "a misnamed component": {"DAGMA_PROJECT_DIR": str(misnamed)},
        "an emptied project": {"DAGMA_PROJECT_DIR": str(emptied)},
        "an asset": {"DAGMA_PROJECT_DIR": str(make_project(root / "an asset"))},
        "a backend": {"DAGMA_PROJECT_DIR": str(with_backend), "DAGMA_BACKEND": "mine:reply"},
        "the shipped project": {"DAGMA_PROJECT_DIR": str(ROOT / "project")},
        "no project": {"DAGMA_PROJECT_DIR": str(root / "nowhere")},
    }
    return dict(zip(environments, validate(list(environments.values())), strict=True))


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_with_its_cause_and_its_line_alone(mistake: str, said: dict[str, tuple[int, str]]) -> None:
    code, text = said[mistake]
    assert code == 1
    assert MISTAKES[mistake][3] in text
    assert "Traceback" not in text
    assert "secret" not in text
    assert "bye" not in text, "what the project prints is not a problem"
    assert "errors.pydantic.dev" not in text


def test_a_component_whose_file_has_another_name_is_told(said: dict[str, tuple[int, str]]) -> None:
    code, text = said["a misnamed component"]
    assert code == 1
    assert "project/defs/a/flows.yaml is not loaded: only defs.yaml holds components. Rename the file." in text


def test_a_bad_setting_is_said_once_beside_a_mistake_of_the_project(said: dict[str, tuple[int, str]]) -> None:
    assert said["beside a bad setting"][1].count("DAGMA_QUOTAS") == 1


@pytest.mark.parametrize(
    "project",
    ["an asset", "a backend", "a flow of a taken name", "the shipped project", "no project", "an emptied project"],
)
def test_what_loads_is_passed_in_silence(project: str, said: dict[str, tuple[int, str]]) -> None:
    assert said[project] == (0, "")


@pytest.mark.parametrize(("file", "backend"), [("defs/loop.py", "langflow"), ("loop.py", "loop:reply")])
def test_code_that_does_not_come_to_an_end_is_given_up(tmp_path: Path, file: str, backend: str) -> None:
    project = make_project(tmp_path / "p", file, "import time\nwhile True:\n    time.sleep(0.1)\n")
    script = (
        "import os; import dagma.definitions; from dagma.validation.definitions import loading_problems;"
        f"os.environ['DAGMA_BACKEND'] = '{backend}'; print(*loading_problems(seconds=5))"
    )
    done = run([sys.executable, "-c", script], project)
    assert f"project/{file}:3: Loading was given up here after 5 s." in done.stdout


def test_a_thread_of_the_project_does_not_keep_the_command_alive(tmp_path: Path) -> None:
    code = "import threading, time\nthreading.Thread(target=time.sleep, args=(3600,)).start()\n"
    project = make_project(tmp_path / "p", "defs/poll.py", code)
    done = run([sys.executable, "-m", "dagma.cli", "validate"], project)
    assert (done.returncode, done.stdout) == (0, "")


def run(command: Sequence[str], project: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "DAGMA_PROJECT_DIR": str(project)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
