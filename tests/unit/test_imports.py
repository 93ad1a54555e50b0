"""What a program or a command does not load: Dagster takes seconds, and a database or client not everybody has."""

import subprocess
import sys

import pytest

WITHOUT_DAGSTER = {
    "dagma": ("dagster",),
    "dagma.cli.main": ("dagster",),
    "dagma.flows.files, dagma.flows.sync, dagma.flows.validation": ("dagster",),
    "dagma.langflow": ("dagster", "sqlalchemy", "dagma.defs", "dagma.ledger"),
    "dagma.testing": ("dagster", "sqlalchemy", "dagma.defs", "dagma.ledger"),
    "dagma.ledger, dagma.ledger.commands, dagma.ledger.migrate": ("dagster", "dagma.langflow", "requests"),
}


@pytest.mark.parametrize("modules", WITHOUT_DAGSTER)
def test_a_module_loads_nothing_that_it_does_not_need(modules: str) -> None:
    others = WITHOUT_DAGSTER[modules]
    script = f"import sys, {modules}; print([name for name in sys.modules if name.startswith({others})])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
