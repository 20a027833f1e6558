"""Draw docs/terminal.svg from a real run of ``geministream stream --offline``.

    python docs/make_terminal_svg.py

The picture shows each piece of the output at the moment at which it came. Viewers without
animations, and readers who want none, see the whole output at once.
"""

import os
import subprocess
import sys
import textwrap
import time
from html import escape
from pathlib import Path
from typing import Iterator, List, Tuple

PROMPT = "Tell me a story about a lighthouse"
COMMAND = [sys.executable, "-m", "geministream", "stream", "--offline", PROMPT]
COLUMNS = 104
ROW, WIDTH, LEFT, TOP = 19, 7.8, 18, 56  # pixels: a line's height, a character's width, the margins

STYLE = """
    .back { fill: #1b1f27 } .bar { fill: #2b313c }
    text { font: 13px ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace; white-space: pre }
    .shell { fill: #8fbf7f } .note { fill: #8b95a5 } .answer { fill: #e6e9ef }
    @media (prefers-reduced-motion: no-preference) {
      .piece { animation: come 0.01s both } @keyframes come { from { opacity: 0 } to { opacity: 1 } }
    }
"""


def run() -> Tuple[str, List[Tuple[float, str]]]:
    """Run the command: what it says on stderr, and the pieces of its stdout with their seconds."""
    with subprocess.Popen(COMMAND, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        begun = None
        pieces = []
        while True:
            data = os.read(process.stdout.fileno(), 65536)
            if not data:
                break
            begun = time.monotonic() if begun is None else begun
            pieces.append((time.monotonic() - begun, data.decode()))
        note = process.stderr.read().decode()
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(COMMAND)} failed:\n{note}")
    return note.strip(), pieces


def rows(text: str) -> Iterator[Tuple[int, str]]:
    """The rows of a terminal, each with the place in the text at which it begins."""
    at = 0
    for line in text.split("\n"):
        for row in textwrap.wrap(line, COLUMNS, drop_whitespace=False) or [""]:
            yield at, row
            at += len(row)
        at += 1  # the line end


def draw(note: str, pieces: List[Tuple[float, str]]) -> str:
    """The picture as SVG."""
    drawn: List[str] = []

    def put(kind: str, column: int, row: int, text: str, more: str = "") -> None:
        x, y = LEFT + column * WIDTH, TOP + row * ROW
        drawn.append(f'  <text class="{kind}" x="{x:g}" y="{y}"{more}>{escape(text, quote=False)}</text>')

    put("shell", 0, 0, f'$ geministream stream --offline "{PROMPT}"')
    put("note", 0, 1, note)
    answer = list(rows("".join(text for _, text in pieces).rstrip("\n")))
    begin = 0
    for seconds, text in pieces:
        end = begin + len(text)
        for row, (start, line) in enumerate(answer, 2):
            first, last = max(begin, start), min(end, start + len(line))
            if line[first - start : last - start].strip() and first < last:
                shown = line[first - start : last - start]
                put(
                    "answer piece", first - start, row, shown, f' style="animation-delay: {seconds + 1:.2f}s"'
                )
        begin = end
    width, height = 2 * LEFT + int(COLUMNS * WIDTH), TOP + (2 + len(answer)) * ROW
    dots = "".join(
        f'<circle cx="{LEFT + 4 + 20 * n}" cy="16" r="6" fill="{colour}"/>'
        for n, colour in enumerate(["#ef6a5e", "#f5be4f", "#61c554"])
    )
    return "\n".join(
        [
            '<svg xmlns="http://www.w3.org/2000/svg" xml:space="preserve" role="img"'
            f' viewBox="0 0 {width} {height}" width="{width}">',
            "  <title>An answer streams into a terminal, chunk by chunk</title>",
            f"  <style>{STYLE}  </style>",
            f'  <rect class="back" width="{width}" height="{height}" rx="8"/>',
            f'  <path class="bar" d="M0 32V8a8 8 0 0 1 8-8H{width - 8}a8 8 0 0 1 8 8V32Z"/>{dots}',
            *drawn,
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    Path(__file__).with_name("terminal.svg").write_text(draw(*run()), "utf-8")
