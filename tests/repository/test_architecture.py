"""Who may import whom, what pure means, and how long things may get. The lists here are the only place for it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BRIDGE = ROOT / "bridge"

ROOMS: dict[str, set[str]] = {
    "errors": set(),
    "loopback": set(),
    "config": {"errors", "loopback"},
    "speed": set(),
    "entities": {"errors", "speed"},
    "source": {"entities", "errors"},
    "changes": {"entities", "errors", "speed"},
    "kafka": {"entities", "errors", "speed"},
    "shard": {"changes", "entities", "errors", "kafka"},
    "operate": {"changes", "errors", "loopback", "shard"},
    "workers": {"errors", "operate"},
    "app": {"changes", "config", "entities", "errors", "kafka", "operate", "shard", "source", "speed", "workers"},
    "simulator": set(),
    "oracle": set(),
    "devkit": {"errors", "oracle"},
    "cli": {"app", "config", "devkit", "entities", "errors", "kafka", "operate", "oracle", "simulator", "workers"},
    "__main__": {"cli"},
}
"""What each room (package or module directly under bridge/) may import of the others."""

PURE = (
    "errors.py",
    "loopback.py",
    "entities/*.py",
    "changes/*.py",
    "shard/blocks.py",
    *(
        f"source/{name}.py"
        for name in ("backoff", "batches", "credentials", "events", "forward", "frames", "limits", "messages")
    ),
    *(f"source/{name}.py" for name in ("plan", "refusals", "rows", "scanner", "session", "snapshot", "states")),
    *(f"kafka/{name}.py" for name in ("control", "envelope", "framing", "names", "plan", "statelog")),
    "kafka/letters.py",
    *(f"shard/{name}.py" for name in ("chronicle", "letters", "notes", "ports", "reader", "stats", "transaction")),
    *(f"operate/{name}.py" for name in ("collector", "metrics", "page")),
    *(f"workers/{name}.py" for name in ("merged", "shares")),
    *(f"devkit/{name}.py" for name in ("avro", "compatibility", "subjects", "view")),
    *(
        f"oracle/{name}.py"
        for name in (
            "atomicity",
            "certificates",
            "content",
            "continuity",
            "expectation",
            "frames",
            "judge",
            "records",
            "report",
        )
    ),
    "simulator/[!_]*.py",
)
"""They are told the time and do no I/O."""
NOT_PURE = {
    f"simulator/{name}.py"
    for name in (
        *(
            "blast",
            "connection",
            "control",
            "director",
            "faults",
            "feed",
            "ledger",
            "link",
            "market",
            "listener",
            "options",
            "rest",
            "run",
        ),
        "server",
    )
}
IMPURE = {
    *("asyncio", "time", "logging", "os", "socket", "subprocess", "tempfile", "threading", "secrets", "uuid"),
    *("aiohttp", "aiokafka", "structlog", "random"),
}
CLOCK_READERS = {"now", "today", "utcnow"}
"""Methods of datetime and date that look at the machine's clock."""

MODULE_LINES, FUNCTION_LINES = 320, 60
"""Lines that are not blank; a function's without its docstring. Most are far below."""
LONGER_MODULES: dict[str, int] = {}
LONGER_FUNCTIONS: dict[str, int] = {}


def modules() -> dict[str, ast.Module]:
    return {
        path.relative_to(BRIDGE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(BRIDGE.rglob("*.py"))
    }


MODULES = modules()


def room(name: str) -> str:
    return name.split("/", maxsplit=1)[0].removesuffix(".py")


def imported(tree: ast.Module) -> Iterator[str]:
    """Dotted names of all that a module imports, wherever the statement stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide which room is meant"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_of(dotted: str) -> str | None:
    """The file that an imported name of ours stands in."""
    parts = dotted.split(".")[1:]
    while parts:
        for name in ("/".join(parts) + ".py", "/".join(parts) + "/__init__.py"):
            if name in MODULES:
                return name
        parts.pop()
    return None


def reached(name: str) -> set[str]:
    """The modules of ours that are loaded with this one, itself included."""
    done: set[str] = set()
    todo = {name}
    while todo:
        done |= todo
        names = {module_of(i) for used in todo for i in imported(MODULES[used]) if i.startswith("bridge.")}
        todo = {found for found in names if found is not None} - done
    return done


def pure() -> set[str]:
    found = {path.relative_to(BRIDGE).as_posix() for pattern in PURE for path in BRIDGE.glob(pattern)}
    return found - NOT_PURE


def lines(source: list[str], first: int, last: int) -> int:
    return sum(1 for line in source[first - 1 : last] if line.strip())


def test_every_room_is_listed() -> None:
    assert {room(name) for name in MODULES} - {"__init__"} == set(ROOMS)


@pytest.mark.parametrize("name", sorted(ROOMS))
def test_a_room_imports_only_what_it_may(name: str) -> None:
    used = {
        (module, dotted.split(".")[1])
        for module, tree in MODULES.items()
        if room(module) == name
        for dotted in imported(tree)
        if dotted.startswith("bridge.")
    }
    assert {(module, other) for module, other in used if other != name and other not in ROOMS[name]} == set()


def test_rooms_form_no_circle() -> None:
    done: set[str] = set()
    while len(done) < len(ROOMS):
        free = {name for name, others in ROOMS.items() if name not in done and others <= done}
        assert free, f"a circle among {set(ROOMS) - done}"
        done |= free


def test_only_the_root_of_composition_and_the_command_read_settings() -> None:
    readers = {
        room(name) for name, tree in MODULES.items() if any(i.startswith("bridge.config") for i in imported(tree))
    }
    assert readers == {"app", "cli"}


@pytest.mark.parametrize("name", sorted(pure()))
def test_a_pure_module_is_told_the_time_and_does_no_io(name: str) -> None:
    allowed = {"random"} if room(name) == "simulator" else set()  # random.Random, seeded by the caller
    assert {i.split(".")[0] for i in imported(MODULES[name])} & (IMPURE - allowed) == set()
    calls = [node.func for node in ast.walk(MODULES[name]) if isinstance(node, ast.Call)]
    assert [c.attr for c in calls if isinstance(c, ast.Attribute) and c.attr in CLOCK_READERS] == []
    assert [c.id for c in calls if isinstance(c, ast.Name) and c.id in {"open", "print", "input"}] == []


@pytest.mark.parametrize("name", sorted(pure()))
def test_a_pure_module_uses_nothing_that_does_io(name: str) -> None:
    """Neither directly nor by way of others."""
    found = {
        used for used in reached(name) if {i.split(".")[0] for i in imported(MODULES[used])} & (IMPURE - {"random"})
    }
    assert found == set()


def test_a_module_that_calls_itself_pure_is_held_to_it() -> None:
    claims = {
        name
        for name, tree in MODULES.items()
        if "Pure" in (ast.get_docstring(tree) or "") and not name.endswith("__init__.py")
    }
    assert claims <= pure()


def test_the_lists_name_what_exists() -> None:
    for pattern in PURE:
        assert list(BRIDGE.glob(pattern)), pattern
    named = NOT_PURE | set(LONGER_MODULES) | {place.split()[0] for place in LONGER_FUNCTIONS}
    assert named <= set(MODULES)
    assert all(name in sys.stdlib_module_names or name in {"aiohttp", "aiokafka", "structlog"} for name in IMPURE)


def test_no_module_and_no_function_is_too_long() -> None:
    found = []
    for name, tree in MODULES.items():
        source = (BRIDGE / name).read_text(encoding="utf-8").splitlines()
        if (count := lines(source, 1, len(source))) > LONGER_MODULES.get(name, MODULE_LINES):
            found.append((name, count))
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                place = f"{name} {node.name}"
                count = lines(source, body[0].lineno, node.end_lineno or 0) if body else 0
                if count > LONGER_FUNCTIONS.get(place, FUNCTION_LINES):
                    found.append((place, count))
    assert found == []


def test_every_module_says_what_it_is_for() -> None:
    assert [name for name, tree in MODULES.items() if not ast.get_docstring(tree)] == []
