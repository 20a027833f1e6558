"""The budgets of geministream, measured side by side: python benchmarks/run.py

Every contender works in a process of its own against one server process on
loopback that replays bodies made in advance, one HTTP chunk for each event.
The contenders take turns, several rounds long.  A figure is the median of its
rounds, and a ratio the median of the rounds' ratios: where another guest of the
machine takes half of a processor's speed for a second, it takes it from both
sides of a ratio.  The exit status is 1 where a budget is broken.

The floor is `clients.floor`: a session of its own for each call, like
geministream's, and nothing but `requests`, a split and `json.loads`.  Where
google-genai is installed (extra ``bench``), its ratio to the floor stands beside ours.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Set

from bodies import IMAGE_BASE64, MIB, SMALL_CHUNKS

HERE = Path(__file__).resolve().parent
FLOOR, OURS, SDK = "floor", "geministream", "google-genai"
PIECES = (1, 7, 64, 1460)
Turn = Callable[[], float]
Figures = Dict[str, List[float]]  # what was measured, a figure for each round


class Row(NamedTuple):
    """One line of the table.

    :ivar against: what ours is divided by, as a text; the floor's figure unless ``what`` says otherwise.
    :ivar sdk: google-genai's ratio to the same.
    :ivar at_least: the budget is a lower bound.
    """

    what: str
    against: str
    ours: str
    ratio: float
    budget: float
    sdk: Optional[float] = None
    unit: str = ""
    at_least: bool = False

    @property
    def holds(self) -> bool:
        return self.ratio >= self.budget if self.at_least else self.ratio <= self.budget

    def cells(self) -> List[str]:
        bound = "≥" if self.at_least else "≤"
        return [
            self.what,
            self.against,
            self.ours,
            f"{self.ratio:.2f}{self.unit}",
            f"{bound} {self.budget:g}{self.unit}",
            "-" if self.sdk is None else f"{self.sdk:.2f}{self.unit}",
            "ok" if self.holds else "BROKEN",
        ]


class Worker:
    """A contender's process, see clients.py."""

    def __init__(self, bench: "Bench", contender: str) -> None:
        self._process = _child(bench.environment, "clients.py", contender, bench.url)

    def do(self, job: str, *arguments: Any) -> float:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps([job, *arguments]) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"{job}{arguments} failed, see above")
        return float(json.loads(answer))

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


class Bench:
    """The server, the workers, and the rows of the table.

    :param rounds: how often each contender has its turn.
    """

    def __init__(self, rounds: int, scratch: str) -> None:
        self.rounds = rounds
        self.scratch = scratch
        self.environment = _environment(scratch)
        self.has_sdk = _version(SDK) is not None
        self._server = _child(self.environment, "server.py")
        assert self._server.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._server.stdout.readline())}"
        self._workers: Dict[str, Worker] = {}

    def close(self) -> None:
        for worker in self._workers.values():
            worker.close()
        self._server.kill()
        self._server.communicate()

    # How things are measured

    def do(self, contender: str, job: str, *arguments: Any) -> float:
        """A job for the contender's process, which lives as long as this."""
        if contender not in self._workers:
            self._workers[contender] = Worker(self, contender)
        return self._workers[contender].do(job, *arguments)

    def do_afresh(self, contender: str, job: str, *arguments: Any) -> float:
        """A job for a new process."""
        worker = Worker(self, contender)
        try:
            return worker.do(job, *arguments)
        finally:
            worker.close()

    def in_turns(self, rounds: int, turns: Mapping[str, Turn]) -> Figures:
        """All turns again and again, forwards and backwards, after one round to warm up."""
        figures: Figures = {name: [] for name in turns}
        order = list(turns)
        for _ in range(1 + rounds):
            for name in order:
                figures[name].append(turns[name]())
            order.reverse()
        return {name: values[1:] for name, values in figures.items()}

    def compare(self, what: str, budget: float, rounds: int, turns: Mapping[str, Turn]) -> Row:
        """Us by the floor; google-genai, which takes long, has its turns afterwards and fewer of them."""
        row = _row(what, self.in_turns(rounds, {name: turns[name] for name in (FLOOR, OURS)}), budget)
        if self.has_sdk:
            figures = self.in_turns(max(rounds // 7, 3), {name: turns[name] for name in (FLOOR, SDK)})
            row = row._replace(sdk=_ratio(figures, SDK))
        return row

    def jobs(self, job: str, *arguments: Any) -> Dict[str, Turn]:
        """The same job for each contender."""
        return {name: partial(self.do, name, job, *arguments) for name in (FLOOR, OURS, SDK)}

    def answers(self, what: str, model: str, budget: float, times: int = 1, share: int = 1) -> Row:
        """A row on the CPU of complete answers, ``share`` of the usual number of rounds."""
        rounds = max(self.rounds // share, 3)
        return self.compare(what, budget, rounds, self.jobs("cpu", model, "sse", times))

    # The rows

    def small(self) -> Iterator[Row]:
        what = f"CPU, {SMALL_CHUNKS:,} small chunks"
        yield self.answers(what, "small", 1.25)
        # System calls decide here, so the floor has the timeouts that every program should have.
        jobs = self.jobs("cpu", "small-slow", "sse", 1)
        jobs[FLOOR] = partial(self.do, "floor with timeouts", "cpu", "small-slow", "sse", 1)
        yield self.compare(f"{what}, each one coming alone", 1.25, max(self.rounds // 3, 3), jobs)

    def framings(self) -> Iterator[Row]:
        cpu = partial(self.do, OURS, "cpu")
        turns = {
            "our SSE": partial(cpu, "small", "sse", 1),
            "JSON array": partial(cpu, "small", "json", 1),
            "pretty-printed JSON array": partial(cpu, "small-pretty", "json", 1),
            "SSE with LF for CRLF": partial(cpu, "small-lf", "sse", 1),
        }
        sse, *others = self.in_turns(self.rounds, turns).items()
        for what, seconds in others:
            # An array without white space has as much to read as SSE; the other two have more.
            budget = 1.1 if what == "JSON array" else 1.25
            yield _row(f"CPU, {what} against {sse[0]}", {FLOOR: sse[1], OURS: seconds}, budget)

    def image(self) -> Iterator[Row]:
        size = f"{IMAGE_BASE64 // MIB} MiB"
        yield self.answers(f"CPU, one event of {size}, data as bytes", "image", 1.15)
        yield self.answers("CPU, the same in 256 HTTP chunks", "image-split", 1.25)

        def peak(contender: str, model: str = "image", alt: str = "sse") -> float:
            return self.do_afresh(contender, "peak_memory", model, alt, None) / IMAGE_BASE64

        ours = max(peak(OURS), peak(OURS, "image-split"), peak(OURS, "image", "json"))
        sdk = peak(SDK) if self.has_sdk else None
        yield Row(
            f"peak memory, one event of {size}", size, f"{ours * IMAGE_BASE64 / MIB:.0f} MiB", ours, 2.5, sdk
        )

    def pieces(self) -> Iterator[Row]:
        yield self._linear("small chunks", "small", SMALL_CHUNKS // 2)
        yield self._linear("one event of 4 MiB", "image", 2 * MIB)

    def _linear(self, what: str, kind: str, size: int) -> Row:
        """What twice the length takes by what the length takes: the worst ratio of all ways to cut."""
        rows: List[Row] = []
        for framing in ("sse", "array"):
            for piece in PIECES:
                figures = self._once_and_twice(f"{framing} {kind}", size, piece, 2.2)
                what_worst = f"{what}, twice the length; worst: {framing} in pieces of {piece:,} bytes"
                rows.append(_row(what_worst, figures, 2.2))
        return max(rows, key=lambda row: row.ratio)

    def _once_and_twice(self, kind: str, size: int, piece: int, budget: float) -> Figures:
        """A length and twice that, for a second in all; where that looks too much, for nine rounds at least."""
        figures: Figures = {FLOOR: [], OURS: []}
        seconds = 0.0
        while seconds < 1 or (_ratio(figures) > 0.95 * budget and len(figures[FLOOR]) < 9):
            for name, length in ((FLOOR, size), (OURS, 2 * size)):
                figures[name].append(self.do(OURS, "framing", kind, length, piece))
                seconds += figures[name][-1]
        return figures

    def first(self) -> Iterator[Row]:
        jobs = self.jobs("first_chunk", "small-slow", 5)
        yield self.compare("time to the first chunk", 1.1, self.rounds, jobs)

    def request(self) -> Iterator[Row]:
        yield self.answers("CPU, a request without media and one chunk", "one", 1.3, times=20)

    def upload(self) -> Iterator[Row]:
        size = 50 * MIB
        path = os.path.join(self.scratch, "film.mp4")
        with open(path, "wb") as file:
            file.truncate(size)
        peak = self.do_afresh(OURS, "peak_memory", "one", "sse", path)
        yield Row("peak memory, request with a file", "50 MiB", f"{peak / MIB:.0f} MiB", peak / size, 2.5)

    def imports(self) -> Iterator[Row]:
        imports = {FLOOR: "import requests", OURS: "import geministream", SDK: "import google.genai"}
        turns = {name: partial(self._afresh, code) for name, code in imports.items()}
        yield self.compare("import, against import requests", 0.5, self.rounds, turns)
        count = "import sys; print(len(sys.modules))"
        loaded = {name: [self._printed(f"{imports[name]}; {count}")] for name in (FLOOR, OURS)}
        shown = [f"{loaded[name][0]:.0f}" for name in (FLOOR, OURS)]
        yield Row("modules loaded, against import requests", *shown, _ratio(loaded), 0.5)
        turns[OURS] = partial(self._afresh, "from geministream.cli import main; main(['--help'])")
        yield self.compare("geministream --help, against import requests", 0.6, self.rounds, turns)

    def _afresh(self, code: str) -> float:
        """Seconds of CPU for some code in a new process, everything being compiled already."""
        timed = f"import time; start = time.process_time(); {code}; print(time.process_time() - start)"
        return self._printed(timed)

    def _printed(self, code: str) -> float:
        """The number in the last line that a new process prints."""
        printed = subprocess.check_output([sys.executable, "-c", code], env=self.environment)
        return float(printed.split()[-1])

    def threads(self) -> Iterator[Row]:
        jobs = self.jobs("throughput", "small", 32)
        figures = self.in_turns(max(self.rounds // 8, 3), {name: jobs[name] for name in (FLOOR, OURS)})
        floor, ours = (f"{statistics.median(figures[name]):,.0f}/s" for name in (FLOOR, OURS))
        yield Row("chunks a second, 32 threads", floor, ours, _ratio(figures), 0.6, at_least=True)

    def batch(self) -> Iterator[Row]:
        jobs = self.jobs("batch", "one-late", 1000, 32)
        figures = self.in_turns(max(self.rounds // 4, 3), {name: jobs[name] for name in (FLOOR, OURS)})
        floor, ours = (f"{statistics.median(figures[name]):,.0f}/s" for name in (FLOOR, OURS))
        what = "prompts a second, generate_many with 32 workers, 50 ms latency"
        yield Row(what, floor, ours, _ratio(figures), 0.95, at_least=True)

    def growth(self) -> Iterator[Row]:
        grown = self.do_afresh(OURS, "growth", "many") / MIB
        yield Row("memory, 1,000,000 chunks less 10,000", "-", f"{grown:.2f} MiB", grown, 1, unit=" MiB")

    def size(self) -> Iterator[Row]:
        package = HERE.parent / "geministream"
        files = [path for path in package.rglob("*") if path.is_file() and path.suffix != ".pyc"]
        ours = sum(path.stat().st_size for path in files) / MIB
        sdk = _installed_size(SDK, beside="requests") / MIB if self.has_sdk else None
        yield Row("installed beyond requests", "-", f"{ours:.2f} MiB", ours, 0.9, sdk, unit=" MiB")


# Small change ------------------------------------------------------------------


def _child(environment: Dict[str, str], *command: str) -> "subprocess.Popen[str]":
    """A program of this directory; it ends when its standard input does, so it never outlives us."""
    program = [sys.executable, str(HERE / command[0]), *command[1:]]
    return subprocess.Popen(
        program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )


def _row(what: str, figures: Figures, budget: float) -> Row:
    floor, ours = (_time(statistics.median(figures[name])) for name in (FLOOR, OURS))
    return Row(what, floor, ours, _ratio(figures), budget)


def _ratio(figures: Figures, contender: str = OURS) -> float:
    """By what the floor has in the same round, or about the same second."""
    return statistics.median(ours / floor for floor, ours in zip(figures[FLOOR], figures[contender]))


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.2f} ms"


def _environment(scratch: str) -> Dict[str, str]:
    """For the children: this checkout, compiled once, and nothing that would turn requests elsewhere."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith("_proxy") and name != "PYTHONDONTWRITEBYTECODE"
    }
    environment["PYTHONPATH"] = str(HERE.parent)
    environment["PYTHONPYCACHEPREFIX"] = scratch
    return environment


def _version(distribution: str) -> Optional[str]:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _installed_size(distribution: str, beside: str) -> int:
    """Bytes of a distribution and of all that it requires, without what ``beside`` requires anyway."""
    size = 0
    for name in _required(distribution) - _required(beside):
        for file in metadata.files(name) or ():
            path = Path(str(file.locate()))
            size += path.stat().st_size if path.is_file() and path.suffix != ".pyc" else 0
    return size


def _required(distribution: str, known: Optional[Set[str]] = None) -> Set[str]:
    """The installed distributions that this one needs, itself among them."""
    known = set() if known is None else known
    name = re.sub("[-_.]+", "-", distribution).lower()
    if name not in known and _version(name) is not None:
        known.add(name)
        for requirement in metadata.requires(name) or ():
            if "extra ==" not in requirement:
                _required(re.split(r"[^\w.-]", requirement)[0], known)
    return known


def _machine() -> str:
    """What the figures were measured on and with."""
    model = platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        names = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.M)
        model = names[0] if names else model
    versions = [f"{name} {_version(name)}" for name in ("requests", "urllib3", SDK) if _version(name)]
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{model}, {os.cpu_count()} CPUs, {platform.system()}; " + ", ".join([python, *versions])


HEADINGS = ["what", "floor", "geministream", "ratio", "budget", SDK, "verdict"]


def print_table(rows: List[Row]) -> None:
    """As a simple table of reStructuredText."""
    lines = [HEADINGS, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    border = "  ".join("=" * width for width in widths)
    texts = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines]
    print("\n".join([border, texts[0], border, *texts[1:], border]))


def main() -> int:
    groups = (
        "small",
        "framings",
        "image",
        "pieces",
        "first",
        "request",
        "upload",
        "imports",
        "threads",
        "batch",
        "growth",
        "size",
    )
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=31, help="turns of each contender (%(default)s)")
    parser.add_argument("--only", action="append", choices=groups, help="these rows alone; may be repeated")
    parser.add_argument("--quick", action="store_true", help="3 rounds: a first look, no verdict to trust")
    arguments = parser.parse_args()
    rows: List[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(3 if arguments.quick else arguments.rounds, scratch)
        try:
            for name in arguments.only or groups:
                for row in getattr(bench, name)():
                    rows.append(row)
                    print(".", end="", file=sys.stderr, flush=True)
        finally:
            bench.close()
    print(file=sys.stderr)
    print(_machine(), end="\n\n")
    print_table(rows)
    return 0 if all(row.holds for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
