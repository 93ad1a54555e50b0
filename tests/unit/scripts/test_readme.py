"""What the README and docs/ show is there: messages, make targets, files and pictures."""

import ast
import re
from collections.abc import Iterator

import pytest
from unit.scripts.compose import ROOT

DOCUMENTS = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
ELLIPSIS = "…"


def quoted_messages() -> list[str]:
    return re.findall(r"^\| `([^`]+)` \|", (ROOT / "docs" / "troubleshooting.md").read_text(), re.MULTILINE)


def texts_of_python(source: str) -> Iterator[str]:
    """Each text of the code, put together from its lines, with an ellipsis for what is filled in."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else ELLIPSIS for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.fixture(scope="module")
def corpus() -> str:
    """Every text that users can meet; those of Langflow stand in the tests that met them."""
    shell = [path.read_text() for folder in ("scripts", "docker/base") for path in (ROOT / folder).glob("*.sh")]
    python = [
        path.read_text() for folder in ("src", "tests/browser", "tests/stack") for path in (ROOT / folder).rglob("*.py")
    ]
    return "\n".join([*shell, *python, *(text for source in python for text in texts_of_python(source))])


@pytest.mark.parametrize("message", quoted_messages())
def test_a_message_of_the_troubleshooting_is_one_that_users_can_meet(message: str, corpus: str) -> None:
    for fragment in message.split(ELLIPSIS):
        assert fragment.strip().removesuffix(":") in corpus, fragment


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_make_target_of_a_document_exists(document: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = (ROOT / document).read_text()
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= targets


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_relative_link_of_a_document_leads_to_a_file(document: str) -> None:
    path = ROOT / document
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text()):
        if not target.startswith("http"):
            assert (path.parent / target).exists(), target


def test_docs_opens_with_a_page_that_leads_to_all_others() -> None:
    chosen = set(re.findall(r"\]\(([a-z-]+\.md)\)", (ROOT / "docs" / "README.md").read_text()))
    assert chosen == {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}


def test_the_readme_is_read_in_five_minutes() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    assert sum(len(line.split()) for line in lines if not line.startswith("|")) <= 1400


def test_every_picture_is_used() -> None:
    shown = {
        name
        for document in DOCUMENTS
        for name in re.findall(r"pictures/([\w-]+\.(?:png|svg))", (ROOT / document).read_text())
    }
    assert {path.name for path in (ROOT / "docs" / "pictures").iterdir()} == shown
