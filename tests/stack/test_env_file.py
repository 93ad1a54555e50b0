"""The scripts read a secret of .env as Compose reads every other variable there."""

import json
import subprocess
from pathlib import Path

import pytest
from harness.stack import in_bash

KEY = "LLM_API_KEY"
LINES = [
    f"{KEY}=plain",
    f"{KEY}= blanks around  ",
    f"{KEY}=cut # a comment",
    f"{KEY}=not#cut",
    f"{KEY}='a$b ${{C}} \\n # \"all\" of it' # but this",
    f'{KEY}="double # quotes" # but this',
    f"{KEY}=back\\slash",
    f"{KEY}=it's",
    f"export {KEY}=exported",
    f"  {KEY} = indented",
    f"OTHER_{KEY}=another\n{KEY}=first\n{KEY}=last",
    f'{KEY}={{"X-Key": "value"}}',
    f"# {KEY}=commented\n{KEY}=",
]


@pytest.mark.parametrize("line", LINES)
def test_a_secret_is_what_compose_would_have_read(tmp_path: Path, line: str) -> None:
    (tmp_path / ".env").write_text(line + "\n")
    (tmp_path / "compose.yml").write_text(f'services: {{x: {{image: x, environment: {{V: "${{{KEY}}}"}}}}}}\n')
    command = ["docker", "compose", "--project-name", "x", "--file", "compose.yml", "config", "--format", "json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, text=True)
    # Compose writes its output so that it could read it again.
    read_by_compose = json.loads(done.stdout)["services"]["x"]["environment"]["V"].replace("$$", "$")
    assert in_bash(f"dotenv {KEY}", tmp_path) == read_by_compose
