"""The examples of the documents run as they stand there."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from unit.scripts.compose import ROOT

from dagma import Backend, CallRequest
from dagma.testing import FakeAnswer, FakeLangflow

FILE_NAME = re.compile(r"# ((?:project|tests)/[\w/]+\.py)\n")
TEST = re.compile(r"^\s*def (test_\w+)", re.MULTILINE)
# As in pyproject.toml.
NO_PLUGIN = ("-p", "no:langsmith_plugin")
A_MODEL = """
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from mine import Mine


class Model(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"completion": "Paris."}')

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
threading.Thread(target=server.serve_forever, daemon=True).start()
a_server_that_answers = f"http://127.0.0.1:{server.server_port}"
"""


def blocks(document: str, language: str = "python") -> list[str]:
    """The code blocks of a document, in order."""
    text = (ROOT / document).read_text()
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [block for name, block in found if name == language]


def block_with(document: str, text: str) -> str:
    """The only code block that has this text."""
    (block,) = [block for block in blocks(document) if text in block]
    return block


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What pytest says of each test in the pages about testing and about backends, run as their owner would."""
    folder = tmp_path_factory.mktemp("owner")
    files = {
        **files_about_testing(),
        "project/mine.py": block_with("docs/backends.md", "class Mine(Backend)"),
        "tests/test_mine.py": A_MODEL + block_with("docs/backends.md", "class TestMine"),
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "flows").symlink_to(ROOT / "flows")
    clean = {name: text for name, text in os.environ.items() if not name.startswith(("DAGMA_", "LANGFLOW_", "PYTEST_"))}
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "--rootdir", folder, "--import-mode=importlib", *NO_PLUGIN, "tests"],
        cwd=folder,
        env={**clean, "PYTHONPATH": f"{folder / 'project'}:{ROOT / 'src'}"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def files_about_testing() -> dict[str, str]:
    """The files of the page about testing, by their names, without what asks the real flow: it needs a model."""
    files = {found[1]: block for block in blocks("docs/testing.md") if (found := FILE_NAME.match(block))}
    return {name: text for name, text in files.items() if not name.startswith("tests/answers/")}


def test_the_tests_of_the_page_about_testing_pass(results: str) -> None:
    files = files_about_testing()
    assert len(files) == 5
    for name in [name for text in files.values() for name in TEST.findall(text)]:
        assert re.search(rf"::{name}(\[.*\])? PASSED", results), results


def test_the_backend_of_ones_own_conforms(results: str) -> None:
    assert len(re.findall(r"::TestMine::\w+ PASSED", results)) == 9


class Shouting(Backend):
    def answer(self, request: CallRequest) -> dict[str, Any]:
        return {"text": request.input_value.upper()}

    def default_flow(self) -> str:
        return "shouting"


def test_the_asset_of_the_readme_materializes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGMA_LEDGER_URL", f"sqlite:///{tmp_path}/ledger.db")
    names: dict[str, Any] = {"__name__": "readme"}
    exec(block_with("README.md", "def capital("), names)  # noqa: S102 (our own document)
    done = dg.materialize([names["capital"]], resources={"backend": Shouting()})
    assert done.output_for_node("capital") == "WHAT IS THE CAPITAL OF FRANCE?"


def test_the_calls_of_the_page_about_the_client_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, Any] = {}
    with FakeLangflow() as fake:
        flow = json.loads((ROOT / "flows/assistant.json").read_text())
        fake.add_flow("assistant", lambda _: FakeAnswer("Paris.", "tiny", streamed=True), flow=flow)
        monkeypatch.setenv("LANGFLOW_BASE_URL", fake.base_url)
        monkeypatch.setenv("LANGFLOW_API_KEY", fake.api_key)
        for number, block in enumerate(blocks("docs/client.md"), start=1):
            exec(compile(block, f"block {number} of docs/client.md", "exec"), names)  # noqa: S102 (our own document)
        for name in ("client", "gateway", "patient"):
            names[name].close()
    said = capsys.readouterr().out
    (shown,) = blocks("docs/client.md", language="")
    assert shown in said
    assert said.count("Paris.") == 5


def test_the_config_of_ones_own_assets_takes_no_variable_and_no_resource(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAIL_KEY", "k")
    names: dict[str, Any] = {"__name__": __name__}
    exec(block_with("docs/security.md", "class Mailer(FixedResource)"), names)  # noqa: S102 (our own document)
    mailer = names["Mailer"](url="http://mail", key=dg.EnvVar("MAIL_KEY"))

    def run(config: dict[str, Any]) -> Any:
        result = dg.materialize([names["capital"]], resources={"mailer": mailer}, run_config=config)
        return result.output_for_node("capital")

    assert run({"ops": {"capital": {"config": {"country": "Spain"}}}}) == "Spain, mailed by http://mail"
    for attack in (
        {"ops": {"capital": {"config": {"country": {"env": "MAIL_KEY"}}}}},
        {"resources": {"mailer": {"config": {"url": "http://elsewhere"}}}},
    ):
        with pytest.raises(dg.DagsterInvalidConfigError):
            run(attack)
