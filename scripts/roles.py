#!/usr/bin/env python3
"""Write the tables of docs/roles.md from src/dagma/execution/roles.py.

Usage: .venv/bin/python scripts/roles.py
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from dagma.execution.roles import MUTATIONS, ROUTES, Role  # noqa: E402

PAGE = ROOT / "docs" / "roles.md"
BEGIN, END = "<!-- Written by scripts/roles.py -->\n", "<!-- Until here -->"


def table(title: str, roles: dict[str, Role]) -> str:
    """Write a row for each name, in the order of the roles that they take."""
    head = f"| {title} | {' | '.join(map(str, Role))} |\n|---|{'---|' * len(Role)}\n"
    ordered = sorted(roles.items(), key=lambda item: (item[1], item[0]))
    rows = (
        f"| `{name}` | {' | '.join('yes' if role >= needed else '' for role in Role)} |\n" for name, needed in ordered
    )
    return head + "".join(rows)


def page(text: str) -> str:
    """Put the tables into the page."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table('mutation', MUTATIONS)}\n{table('route', ROUTES)}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
