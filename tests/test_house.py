"""The house: which room may import which, what only one wing knows, and how large a room may be."""

import ast
from pathlib import Path

import pytest

import geministream

PACKAGE = Path(geministream.__file__).parent

# From the ground up.  A module imports from lower floors, and from its own wing.
FLOORS = [
    ["depth", "_version"],
    ["errors"],
    ["types", "wire"],
    ["retry"],
    ["endpoint", "cancel"],
    ["transport"],
    ["tools", "parts", "merging", "citing"],
    ["request"],
    ["answer", "files"],
    ["stream"],
    ["models"],
    ["chat", "batch", "structured"],
    ["cli"],
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
# A house of its own beside this one.
TESTING = "testing"
# The doors: they offer what lies behind them.
DOORS = {"", "__main__"}

# The wings that know requests and urllib3.
KNOWS_REQUESTS = {"transport"}

LONGEST_MODULE = 450
LONGEST_FUNCTION = 60
# What is better longer, and why.
LONG = {}


def modules():
    """Name below the package to the tree of each module: ``"wire.body"``, and ``"wire"`` for the wing itself."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text("utf-8"), str(path))
    return found


MODULES = modules()


def imports(name, tree):
    """The modules of the package that a module imports, wherever in it, and the packages that it imports besides."""
    is_wing = any(other.startswith(f"{name}.") for other in MODULES) or not name
    home = name.split(".") if is_wing else name.split(".")[:-1]
    home = [part for part in home if part]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield None, alias.name.split(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield None, node.module.split(".")[0]
        elif isinstance(node, ast.ImportFrom):
            base = home[: len(home) - node.level + 1]
            target = ".".join(base + (node.module.split(".") if node.module else []))
            for alias in node.names:
                below = f"{target}.{alias.name}".lstrip(".")
                yield (below if below in MODULES else target), None


def arrows():
    for name, tree in MODULES.items():
        for inside, _ in imports(name, tree):
            if inside is not None and inside != name:
                yield name, inside


def room(name):
    return name.split(".")[0]


def test_each_room_is_on_a_floor():
    assert {room(name) for name in MODULES} == {*FLOOR, TESTING, *DOORS}


MAP = Path(__file__).resolve().parent.parent / "CONTRIBUTING.rst"


def test_the_map_shows_what_is_there():
    shown = MAP.read_text("utf-8").split(".. house-begin")[1].split(".. house-end")[0]
    lines = [line.strip() for line in shown.splitlines() if line.startswith("      ")]
    rooms = [line.split()[0] for line in lines[:-1]]
    there = {path.name + "/" * path.is_dir() for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    assert {*rooms, *lines[-1].split()} == there
    # From the top down, as the floors are; the test server stands beside them.
    floors = [FLOOR[room.rstrip("/").replace(".py", "")] for room in rooms[:-1]]
    assert rooms[-1] == "testing/"
    assert floors == sorted(floors, reverse=True)


def upward(some_arrows):
    return [
        (importer, imported)
        for importer, imported in some_arrows
        if room(importer) not in DOORS
        and room(importer) != room(imported)
        and (
            TESTING in (room(importer), room(imported))
            or FLOOR[room(importer)] <= FLOOR.get(room(imported), 99)
        )
    ]


def test_arrows_go_downwards():
    found = list(arrows())
    assert len(found) > 150
    allowed = {
        # The command line runs the test server, which gives its endpoint and knows the messages.
        (importer, imported)
        for importer, imported in found
        if (room(importer), room(imported))
        in [("cli", TESTING), *((TESTING, below) for below in ("types", "errors", "depth", "endpoint"))]
    }
    assert upward(set(found) - allowed) == []


def test_an_upward_arrow_would_be_seen():
    assert upward([("wire.body", "stream")]) == [("wire.body", "stream")]
    assert upward([("stream", "chat"), ("chat", "stream"), ("batch.gate", "chat")]) == [
        ("stream", "chat"),
        ("batch.gate", "chat"),
    ]
    assert upward([("stream", "testing.server"), ("testing.server", "stream")])
    assert upward([("wire.framing", "wire.json_values"), ("cli", "errors")]) == []


def circles(some_arrows):
    """The modules that can reach themselves."""
    below = {}
    for importer, imported in some_arrows:
        below.setdefault(importer, set()).add(imported)
    found = set()
    for start in below:
        reached, waiting = set(), [start]
        while waiting:
            for imported in below.get(waiting.pop(), ()):
                if imported not in reached:
                    reached.add(imported)
                    waiting.append(imported)
        if start in reached:
            found.add(start)
    return found


def test_there_is_no_circle():
    inside = [(importer, imported) for importer, imported in arrows() if "" not in (importer, imported)]
    assert circles(inside) == set()
    assert circles([("a", "b"), ("b", "c"), ("c", "b")]) == {"b", "c"}


def test_only_transport_knows_requests():
    knows = {
        room(name)
        for name, tree in MODULES.items()
        for _, outside in imports(name, tree)
        if outside in ("requests", "urllib3")
    }
    assert knows == KNOWS_REQUESTS


STANDARD_LIBRARY_OF_WIRE = {"codecs", "io", "itertools", "json", "re", "typing", "zlib"}


def test_wire_does_no_io():
    outside = {
        package
        for name, tree in MODULES.items()
        if room(name) == "wire"
        for _, package in imports(name, tree)
    }
    assert outside - {None} <= STANDARD_LIBRARY_OF_WIRE


def test_nobody_uses_a_neighbours_private_names():
    found = [
        (name, alias.name)
        for name, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level
        for alias in node.names
        if alias.name.startswith("_") and alias.name != "__version__"
    ]
    assert found == []


def lines(node):
    """The lines of a function's own: not its signature, docstring, or dataclasses and functions inside."""
    body = node.body[1:] if ast.get_docstring(node) else node.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def sizes():
    for name, tree in MODULES.items():
        data = sum(
            node.end_lineno - node.lineno + 1
            for node in tree.body
            if isinstance(node, (ast.Assign, ast.AnnAssign))
            or (isinstance(node, ast.ClassDef) and is_data(node))
            or isinstance(node, (ast.Import, ast.ImportFrom))
        )
        total = max((node.end_lineno for node in tree.body), default=0)
        yield name, total - data, LONGEST_MODULE
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield f"{name}:{node.name}", lines(node), LONGEST_FUNCTION


def is_data(node):
    """Whether a class is a definition of fields or of constants."""
    return all(isinstance(each, (ast.AnnAssign, ast.Assign, ast.Expr, ast.Pass)) for each in node.body)


def test_rooms_and_functions_are_small():
    too_long = {name: size for name, size, limit in sizes() if size > limit}
    assert {name: size for name, size in too_long.items() if name not in LONG} == {}
    assert set(LONG) <= set(too_long), "these are not too long any more"


@pytest.mark.parametrize("name", sorted(name for name in MODULES if name))
def test_each_room_says_what_it_is_for(name):
    assert ast.get_docstring(MODULES[name]) or name == "_version"


def test_test_files_have_names_of_their_own():
    """pytest imports them by their base names."""
    names = [path.name for path in Path(__file__).parent.rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))


def test_test_files_are_small():
    sizes = {
        path.name: len(path.read_text("utf-8").splitlines()) for path in Path(__file__).parent.rglob("*.py")
    }
    assert {name: size for name, size in sizes.items() if size > 600} == {}
