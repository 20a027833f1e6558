"""Draw docs/performance.svg from the table in docs/performance.rst: python benchmarks/chart.py

A bar for each row in which google-genai was measured: the ratio to the floor, on a logarithmic scale,
with a line where the floor is.
"""

import math
import re
from html import escape
from pathlib import Path
from typing import List, NamedTuple

DOCS = Path(__file__).resolve().parent.parent / "docs"
TABLE, CHART = DOCS / "performance.rst", DOCS / "performance.svg"

LABELS, SCALE, ROW = 360, 420, 46  # pixels: the width of the labels and of the bars, the height of a row
LEAST, MOST = 1 / 32, 64.0  # the ends of the scale
COLOURS = {"geministream": "#2f7d4f", "google-genai": "#b0632a"}
STYLE = "text { font: 13px system-ui, sans-serif; fill: #30343b } .value { font-size: 12px }"


class Row(NamedTuple):
    """A row of the table: the ratios to the floor."""

    what: str
    geministream: float
    google_genai: float


def rows(table: str) -> List[Row]:
    """The rows with a ratio for both, from the text of a page."""
    found = []
    for line in table.splitlines():
        cells = re.split(r" {2,}", line.strip())
        if len(cells) == 7 and re.fullmatch(r"[\d.]+", cells[3]) and re.fullmatch(r"[\d.]+", cells[5]):
            found.append(Row(cells[0], float(cells[3]), float(cells[5])))
    return found


def place(ratio: float) -> float:
    """Where a ratio is on the scale, in pixels."""
    inside = min(max(ratio, LEAST), MOST)
    return LABELS + SCALE * math.log(inside / LEAST) / math.log(MOST / LEAST)


def draw(found: List[Row]) -> str:
    height = 60 + ROW * len(found)
    width = LABELS + SCALE + 60
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">',
        "  <title>Costs of geministream and google-genai as multiples of a plain requests loop</title>",
        f"  <style>{STYLE}</style>",
        f'  <rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for number, (name, colour) in enumerate(COLOURS.items()):
        x = LABELS + 150 * number
        lines.append(f'  <rect x="{x}" y="12" width="12" height="12" fill="{colour}"/>')
        lines.append(f'  <text x="{x + 18}" y="23">{name}</text>')
    for row, (what, ours, theirs) in enumerate(found):
        y = 44 + ROW * row
        lines.append(f'  <text x="{LABELS - 12}" y="{y + 20}" text-anchor="end">{escape(what)}</text>')
        for number, (ratio, colour) in enumerate(zip((ours, theirs), COLOURS.values())):
            top = y + 16 * number
            length = place(ratio) - LABELS
            lines.append(f'  <rect x="{LABELS}" y="{top}" width="{length:.1f}" height="14" fill="{colour}"/>')
            lines.append(f'  <text class="value" x="{place(ratio) + 6:.1f}" y="{top + 12}">{ratio:g}</text>')
    floor = place(1)
    lines.append(f'  <path d="M{floor:.1f} 36V{height - 14}" stroke="#30343b" stroke-dasharray="4 3"/>')
    lines.append(f'  <text x="{floor:.1f}" y="{height - 2}" text-anchor="middle">1: a requests loop</text>')
    return "\n".join([*lines, "</svg>\n"])


if __name__ == "__main__":
    CHART.write_text(draw(rows(TABLE.read_text("utf-8"))), "utf-8")
