"""The client and the fake stand alone: a program that uses them needs neither Dagster nor a database."""

import subprocess
import sys

import pytest

OTHERS = ("dagster", "sqlalchemy", "dagma.defs", "dagma.ledger")


@pytest.mark.parametrize("package", ["dagma.langflow", "dagma.testing"])
def test_a_package_imports_neither_dagster_nor_the_ledgers_database(package: str) -> None:
    script = f"import sys, {package}; print([name for name in sys.modules if name.startswith({OTHERS})])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
