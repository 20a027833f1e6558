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
from typing import List, Tuple

PROMPT = "Tell me a story about a lighthouse. Once, on the last rock before the open sea, a lamp was lit."
COMMAND = [sys.executable, "-m", "geministream", "stream", "--offline", PROMPT]
COLUMNS = 72
ROW, WIDTH, LEFT, TOP = 20, 9, 18, 58  # pixels: a line's height, a character's width, the margins

STYLE = """
    .back { fill: #1b1f27 } .bar { fill: #2b313c }
    text { font: 15px ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace; white-space: pre }
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


def wrapped(text: str) -> List[str]:
    return textwrap.wrap(text, COLUMNS, break_long_words=False, drop_whitespace=False)


def draw(note: str, pieces: List[Tuple[float, str]]) -> str:
    """The picture as SVG."""
    before = [("shell", line) for line in wrapped(f'$ geministream stream --offline "{PROMPT}"')]
    before += [("note", line) for line in wrapped(note)]
    drawn = []
    for row, (kind, line) in enumerate(before):
        drawn.append(f'  <text class="{kind}" x="{LEFT}" y="{TOP + row * ROW}">{escape(line)}</text>')
    answer = "".join(text for _, text in pieces).rstrip("\n")
    starts = []  # where each line of the answer begins in it
    at = 0
    for line in wrapped(answer):
        starts.append((at, line))
        at += len(line)
    begin = 0
    for seconds, text in pieces:
        end = begin + len(text)
        for row, (start, line) in enumerate(starts, len(before)):
            first, last = max(begin, start), min(end, start + len(line))
            if first < last:
                x, y = LEFT + (first - start) * WIDTH, TOP + row * ROW
                drawn.append(
                    f'  <text class="answer piece" x="{x}" y="{y}"'
                    f' style="animation-delay: {seconds + 1:.2f}s">'
                    f"{escape(line[first - start : last - start])}</text>"
                )
        begin = end
    width, height = 2 * LEFT + COLUMNS * WIDTH, TOP + (len(before) + len(starts)) * ROW
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
