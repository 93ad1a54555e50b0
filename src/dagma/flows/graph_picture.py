"""A flow's graph as a picture that Dagster's pages show: an SVG in the address of a Markdown image."""

from collections.abc import Mapping, Sequence
from html import escape
from urllib.parse import quote

from dagma.flows.outline import FlowOutline

MOST_COMPONENTS = 60
"""How many components are drawn: more would be too small to read."""

_WIDTH, _HEIGHT, _GAP_X, _GAP_Y = 150, 34, 40, 14
_MOST_LETTERS = 20


def picture_of(flow: FlowOutline) -> str | None:
    """Draw a flow's graph as a Markdown image; None where the flow has no components, or too many to draw."""
    if not flow.components or len(flow.components) > MOST_COMPONENTS:
        return None
    # Percent-encoded and not in base64: it compresses, and a page lists many flows.
    return f"![The graph of {_plain(flow.name)}](data:image/svg+xml,{quote(svg_of(flow))})"


def svg_of(flow: FlowOutline) -> str:
    """Draw a flow's components as boxes, each in a column to the right of those that feed it."""
    places = _places(flow.components, flow.edges)
    width = 1 + max(x for x, _ in places.values()) + _WIDTH
    height = 1 + max(y for _, y in places.values()) + _HEIGHT
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
        ' font-family="sans-serif" font-size="12" text-anchor="middle">'
    ]
    for start, end in dict.fromkeys(flow.edges):
        if start in places and end in places:
            (x1, y1), (x2, y2) = places[start], places[end]
            x1, y1, y2 = x1 + _WIDTH, y1 + _HEIGHT // 2, y2 + _HEIGHT // 2
            bend = _GAP_X // 2
            drawn.append(
                f'<path d="M{x1} {y1}C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}" fill="none" stroke="#8aa"/>'
            )
    for component, (x, y) in places.items():
        title = _printable(flow.components[component])
        shown = title if len(title) <= _MOST_LETTERS else f"{title[: _MOST_LETTERS - 1]}…"
        drawn.append(
            f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="6" fill="#eef4f4" stroke="#577"/>'
            f'<text x="{x + _WIDTH // 2}" y="{y + 21}">{escape(shown)}</text>'
        )
    return "".join([*drawn, "</svg>"])


def _places(components: Mapping[str, str], edges: Sequence[tuple[str, str]]) -> dict[str, tuple[int, int]]:
    places: dict[str, tuple[int, int]] = {}
    left, column = list(components), 0
    while left:
        fed = {end for start, end in edges if start in left and start != end}
        # A loop has no first component: it begins with any.
        ready = [component for component in left if component not in fed] or left[:1]
        for row, component in enumerate(ready):
            places[component] = (1 + column * (_WIDTH + _GAP_X), 1 + row * (_HEIGHT + _GAP_Y))
        left = [component for component in left if component not in ready]
        column += 1
    return places


def _plain(name: str) -> str:
    """Leave out what would end a Markdown image's text."""
    return _printable(name).translate({ord(letter): " " for letter in "[]\\"})


def _printable(text: str) -> str:
    """Leave out what XML can't have, and what would end a Markdown paragraph."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
