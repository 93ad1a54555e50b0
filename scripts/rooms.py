#!/usr/bin/env python3
"""Draw the rooms of src/dagma and who imports whom: docs/pictures/rooms.svg, from the code's own imports.

Usage: python3 scripts/rooms.py
"""

import ast
from collections import Counter
from collections.abc import Iterator
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "dagma"
PICTURE = ROOT / "docs" / "pictures" / "rooms.svg"
# From the ground. A room imports from floors below its own, and from no other room of its floor.
FLOORS = (
    ("environment", "backoff", "principal_tag", "wording"),
    ("langflow", "ledger", "project"),
    ("calls", "flows", "execution", "retention"),
    ("run_config",),
    ("backends",),
    ("batches",),
    ("components",),
    ("defs",),
    ("validation",),
    ("definitions", "project_definitions"),
    ("cli", "testing"),
    ("dev",),
)
Edges = Counter[tuple[str, str]]
WIDTH, BOX_WIDTH, BOX_HEIGHT, GAP = 900, 170, 46, 84


def room_of(module: str) -> str:
    """Name the room of a module: the folder, or the file, that stands in the package."""
    return module.split(".")[1] if "." in module else "dagma"


def imports() -> Iterator[tuple[str, str]]:
    """Yield each import inside the package, also those that stand in functions: who imports, and what."""
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
        importer = ".".join(part for part in parts if part != "__init__")
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "dagma":
                yield from ((importer, f"dagma.{alias.name}") for alias in node.names if alias.name != "__version__")
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dagma."):
                yield importer, str(node.module)


def edges() -> Edges:
    """Count the imports between rooms. `dagma` itself only hands public names on, when they are asked for."""
    pairs = ((room_of(importer), room_of(imported)) for importer, imported in imports())
    return Counter((one, other) for one, other in pairs if one != other and "dagma" not in (one, other))


def floor_of(room: str) -> int:
    """Give the floor of a room, counted from the ground.

    Raises:
        LookupError: It has none yet: add it to `FLOORS`.
    """
    for number, rooms in enumerate(FLOORS):
        if room in rooms:
            return number
    raise LookupError(f"{room} is on no floor. Add it to FLOORS in {Path(__file__).name}.")


def direct(found: Edges) -> list[tuple[str, str]]:
    """Leave out what follows from others: where a room imports one that imports the third."""
    below: dict[str, set[str]] = {}

    def reached(room: str) -> set[str]:
        if room not in below:
            below[room] = set()
            for one, other in found:
                if one == room:
                    below[room] |= {other} | reached(other)
        return below[room]

    return sorted(
        (one, other)
        for one, other in found
        if not any(other in reached(between) for first, between in found if first == one and between != other)
    )


def svg() -> str:
    """Draw the picture."""
    places: dict[str, tuple[float, float]] = {}
    for number, rooms in enumerate(reversed(FLOORS)):
        for index, room in enumerate(rooms):
            places[room] = (WIDTH * (index + 1) / (len(rooms) + 1), 40 + number * GAP)
    height = 40 + len(FLOORS) * GAP
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
        ' font-family="sans-serif" font-size="14">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
    ]
    for one, other in direct(edges()):
        (x1, y1), (x2, y2) = places[one], places[other]
        y1, y2 = y1 + BOX_HEIGHT / 2, y2 - BOX_HEIGHT / 2
        bend = (y1 + y2) / 2
        drawn.append(
            f'<path d="M{x1:g} {y1:g} C{x1:g} {bend:g} {x2:g} {bend:g} {x2:g} {y2:g}"'
            ' fill="none" stroke="#8aa" stroke-width="1.5"/>'
        )
    for room, (x, y) in places.items():
        box = f'x="{x - BOX_WIDTH / 2:g}" y="{y - BOX_HEIGHT / 2:g}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}"'
        drawn += [
            f'<rect {box} rx="6" fill="#eef4f4" stroke="#577"/>',
            f'<text x="{x:g}" y="{y + 5:g}" text-anchor="middle" font-weight="bold">{escape(room)}</text>',
        ]
    return "\n".join([*drawn, "</svg>", ""])


if __name__ == "__main__":
    PICTURE.write_text(svg())
