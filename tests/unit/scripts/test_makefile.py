"""The Makefile, as far as it does more than run a script."""

import subprocess
from pathlib import Path

import pytest
from unit.scripts.compose import ROOT

QUESTIONS = ["What costs $5, and who is $HOME?", """It's "sure" $(pwd) `pwd`""", "Is 50 % a half?", ""]


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_is_asked_as_it_was_typed(tmp_path: Path, question: str) -> None:
    script = tmp_path / "scripts" / "ask.sh"
    script.parent.mkdir()
    script.write_text('#!/bin/bash\nprintf "%s" "$Q"\n')
    script.chmod(0o755)
    command = ["make", "--no-print-directory", "-f", str(ROOT / "Makefile"), "ask", f"Q={question}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == question
