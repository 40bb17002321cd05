"""The documents say what the code says, and what they point to exists."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from pydantic import SecretStr

from bridge.cli import app
from bridge.config import keys
from bridge.entities.catalogue import CATALOGUE, Lifecycle
from bridge.entities.schemas import envelope_schema
from bridge.errors import BridgeError
from bridge.kafka.names import TopicNames
from bridge.kafka.plan import Topic
from bridge.kafka.plan import wanted as wanted_topics
from bridge.operate.collector import DRIFT, HOLD, WAITS
from bridge.operate.metrics import METRICS
from bridge.workers.merged import UP

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
TEXT = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in DOCUMENTS}
KEPT = ("bridge", "tests", "docs", "schemas", "deploy", "tools", ".ci")
SUFFIXES = {".py", ".md", ".toml", ".yml", ".yaml", ".txt", ".avsc", ".json", ".lock", ".env", ""}


def section(document: str, title: str) -> str:
    """The text under a heading, to the next heading of any level."""
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#+ |\Z)", TEXT[document], re.MULTILINE | re.DOTALL)
    assert found, f"{document} has no section {title}"
    return found[1]


def rows(text: str) -> Iterator[list[str]]:
    """The cells of every table row but headings."""
    for line in text.splitlines():
        if line.startswith("| ") and not line.startswith("| key |"):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def sources(*rooms: str) -> Iterator[ast.Module]:
    for room in rooms:
        for path in sorted((ROOT / "bridge").glob(f"{room}/**/*.py")):
            yield ast.parse(path.read_text(encoding="utf-8"))


def first_words(name: str, *rooms: str) -> set[str]:
    """The literal first arguments of all calls of a function, method or class of this name."""
    return {
        argument.value
        for tree in sources(*rooms)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and node.args
        for argument in ast.walk(node.args[0])
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
        if name == (node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", ""))
    }


# Settings


def shown(default: Any) -> str:
    plain = default.get_secret_value() if isinstance(default, SecretStr) else default
    if plain is None or plain in ("", ()):
        return "none"
    return str(plain).lower() if isinstance(plain, bool) else str(plain)


def test_every_setting_is_documented_with_its_default() -> None:
    table = [cells for cells in rows(TEXT["docs/configuration.md"]) if len(cells) == 3 and "." in cells[0]]
    assert [(code(key)[0], code(default)[0]) for key, default, _ in table] == [
        (key, shown(default)) for key, default in keys().items()
    ]
    assert all(meaning for *_, meaning in table)


def test_settings_that_are_named_exist() -> None:
    known = set(keys()) | {f"source.{field['name']}" for field in source_fields()}  # `source` is also a part of records
    sections = {key.partition(".")[0] for key in keys()}
    for document, text in TEXT.items():
        named = re.findall(rf"`((?:{'|'.join(sorted(sections))})\.[a-z_]+)`", text)
        assert set(named) - known == set(), document


# Commands and exit codes


def commands() -> set[str]:
    def walk(command: Any, above: str) -> Iterator[str]:
        inner = getattr(command, "commands", None)
        if inner is None:
            yield above
        else:
            for name, child in inner.items():
                yield from walk(child, f"{above} {name}")

    return set(walk(typer.main.get_command(app), "syncbridge"))


def test_the_readme_lists_every_command() -> None:
    assert {code(cells[0])[0] for cells in rows(section("README.md", "Commands")) if "`" in cells[0]} == commands()


def test_every_exit_code_is_documented_with_its_errors() -> None:
    errors: dict[int, set[str]] = {}
    todo: list[type[BridgeError]] = [BridgeError]
    while todo:
        kind = todo.pop()
        if kind.__module__ == "bridge.errors":
            errors.setdefault(kind.exit_code, set()).add(kind.__name__)
        todo += kind.__subclasses__()
    table = {
        int(cells[0]): set(code(cells[1]))
        for cells in rows(section("docs/operations.md", "Exit codes"))
        if cells[0].isdigit()
    }
    assert {number: names for number, names in table.items() if names} == errors
    assert set(table) - set(errors) == {0, 130}


# Operation


def test_every_metric_is_documented_with_its_labels() -> None:
    documented = {
        code(cells[0])[0]: (cells[1], code(cells[2]))
        for cells in rows(section("docs/operations.md", "Metrics"))
        if code(cells[0])
    }
    expected = {
        f"{m.name}_total" if m.kind == "counter" else m.name: (m.kind, ["shard", *([m.label] if m.label else [])])
        for m in METRICS.values()
    }
    assert documented == {
        **expected,
        f"{DRIFT}_total": ("counter", ["entity_type", "field", "kind"]),
        f"{WAITS}_total": ("counter", ["limit"]),
        HOLD: ("gauge", []),
        UP: ("gauge", ["worker"]),
    }


def test_every_cause_of_a_lost_session_is_documented() -> None:
    documented = {
        name
        for cells in rows(section("docs/operations.md", "Causes"))
        for name in code(cells[0])
        if cells[0] != "cause"
    }
    states = {"opening_timeout", "authorizing_timeout", "syncing_timeout"}
    words = {word for word in first_words("SessionLost", "source", "shard", "app") if not word.startswith("_")}
    assert documented == (words | states | {"garbage"}) - {"no_token"}  # no_token: `check` alone, never a session


def test_every_line_of_the_log_is_documented() -> None:
    documented = {name for cells in rows(section("docs/operations.md", "Log")) for name in code(cells[0])}
    written = {
        node.args[0].value
        for tree in sources("app", "shard", "kafka", "source", "changes", "operate", "workers")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"debug", "info", "warning", "error", "exception"}
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }
    assert documented == written


# Topics


def planned() -> dict[str, Topic]:
    return {topic.name: topic for topic in wanted_topics(TopicNames("P"), 4, keys()["kafka.max_record_bytes"])}


def test_topics_are_those_of_the_plan() -> None:
    table = {}
    for cells in rows(section("docs/topics.md", "Topics")):
        if cells[0].startswith("`P."):
            table[cells[0]] = dict(pair.split("=") for pair in code(cells[3]))
    plan = planned()
    common = dict(pair.split("=") for pair in code(section("docs/topics.md", "Topics")) if "=" in pair)
    common = {key: common[key] for key in ("message.timestamp.type", "max.message.bytes")}
    entities = {lifecycle: table.pop(f"`P.<entityType>`, {word}") for lifecycle, word in WORDS.items()}
    for name, row in CATALOGUE.items():
        session = row.lifecycle is Lifecycle.SESSION
        assert {**common, **entities[session]} == plan.pop(f"P.{name}").config
    assert {code(name)[0]: {**common, **config} for name, config in table.items()} == {
        name: dict(topic.config) for name, topic in plan.items()
    }


WORDS = {True: "lifecycle session", False: "all others"}


def test_entity_types_are_those_of_the_catalogue() -> None:
    listed = re.findall(r"^\* (\w+): ((?:`\w+`\s*)+)", section("docs/topics.md", "Entity types"), re.MULTILINE)
    assert {word: set(code(names)) for word, names in listed} == {
        lifecycle.value: {name for name, row in CATALOGUE.items() if row.lifecycle is lifecycle}
        for lifecycle in Lifecycle
    }


def source_fields() -> list[dict[str, Any]]:
    (source,) = (f["type"] for f in envelope_schema("order")["fields"] if f["name"] == "source")
    fields: list[dict[str, Any]] = source["fields"]
    return fields


def test_the_fields_of_the_envelope_are_documented_in_order() -> None:
    named = [code(cells[0])[0] for cells in rows(section("docs/topics.md", "The envelope")) if code(cells[0])]
    envelope = [field["name"] for field in envelope_schema("order")["fields"]]
    assert named == envelope + [field["name"] for field in source_fields()]


def test_the_events_of_a_shard_are_documented() -> None:
    title = "What happened to a shard: P.bridge.events"
    documented = {code(cells[0])[0] for cells in rows(section("docs/topics.md", title)) if code(cells[0])}
    assert documented == first_words("LifecycleEvent", "shard")


def test_the_reasons_of_dead_letters_are_documented() -> None:
    title = "What could not become a record: P.bridge.dead-letter"
    documented = {code(cells[0])[0] for cells in rows(section("docs/topics.md", title)) if code(cells[0])}
    assert first_words("Unencodable", "entities", "changes") <= documented
    literals = {
        node.value
        for tree in sources("entities", "changes", "kafka", "shard")
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert documented <= literals


# What the documents point to


def anchors(text: str) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", TEXT)
def test_links_lead_somewhere(document: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", TEXT[document]):
        if "://" in target:
            continue
        place, _, anchor = target.partition("#")
        path = (ROOT / document).parent / place if place else ROOT / document
        assert path.exists(), target
        if anchor:
            assert anchor in anchors(path.read_text(encoding="utf-8")), target


def paths(text: str) -> set[str]:
    found = re.findall(rf"(?<![\w./-])((?:{'|'.join(map(re.escape, KEPT))})/[\w./*-]*[\w*/])(?![\w<])", text)
    return {path for path in found if Path(path).suffix in SUFFIXES}


@pytest.mark.parametrize("document", TEXT)
def test_files_that_are_named_exist(document: str) -> None:
    missing = {p for p in paths(TEXT[document]) if not (list(ROOT.glob(p)) if "*" in p else (ROOT / p).exists())}
    assert missing == set()


def test_documents_that_the_code_names_exist() -> None:
    for path in sorted((ROOT / "bridge").rglob("*.py")):
        for name in re.findall(r"\bdocs/[\w/-]+(?:\.md)?", path.read_text(encoding="utf-8")):
            assert (ROOT / name).exists(), (path, name)


def test_the_map_of_the_readme_has_every_room() -> None:
    rooms = {path.parent.name for path in (ROOT / "bridge").glob("*/__init__.py")}
    assert set(re.findall(r"^    bridge/(\w+)/", section("README.md", "Map"), re.MULTILINE)) == rooms


def test_tests_that_are_named_exist() -> None:
    known = {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
    for path in (ROOT / "tests").rglob("test_*.py"):
        known |= set(re.findall(r"def (test_\w+)\(", path.read_text(encoding="utf-8")))
    for document, text in TEXT.items():
        assert set(re.findall(r"\b(test_\w+)", text)) - known == set(), document


def test_sections_of_the_protocol_that_the_code_refers_to_exist() -> None:
    there = set(re.findall(r"^#+ ([\d.]+?)\.? ", TEXT["docs/protocol.md"], re.MULTILINE))
    for folder in ("bridge", "tests", "schemas"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in {".py", ".avsc", ".json"}:
                text = path.read_text(encoding="utf-8")
                for listed in re.findall(r"protocol\s+sections? ((?:\d+(?:\.\d+)?(?:, | and |-)?)+)", text):
                    assert set(re.findall(r"\d+(?:\.\d+)?", listed)) <= there, (path, listed)


def test_decisions_are_numbered_and_say_what_they_must() -> None:
    files = sorted((ROOT / "docs/decisions").glob("*.md"))
    assert [int(path.name[:4]) for path in files] == list(range(1, len(files) + 1))
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert text.startswith(f"# {int(path.name[:4])}. ")
        for title in ("Context", "Decision", "Refused", "What would change our mind"):
            assert f"\n## {title}\n" in text, (path.name, title)


def test_invariants_fit_a_page() -> None:
    assert [cells[0] for cells in rows(TEXT["docs/invariants.md"]) if cells[0].isdigit()] == [
        str(number) for number in range(1, 11)
    ]
    assert len(TEXT["docs/invariants.md"].splitlines()) < 60


def test_the_changelog_begins_with_what_is_unreleased() -> None:
    assert re.search(r"^## \[(.+)\]", TEXT["CHANGELOG.md"], re.MULTILINE)[1] == "Unreleased"  # type: ignore[index]


# What must stand nowhere


def texts() -> Iterator[tuple[str, str]]:
    top = [path for path in ROOT.iterdir() if path.is_file() and path.name not in {".git", ".env", "syncbridge.toml"}]
    below = [path for folder in KEPT for path in (ROOT / folder).rglob("*") if path.is_file()]
    for path in sorted({*top, *below}):
        if path.suffix in SUFFIXES and "__pycache__" not in path.parts:
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8", errors="replace")


FORBIDDEN = (
    r"pypi[.]org|pythonhosted[.]org|repo\d*[.]maven|maven[.]apache|npmjs[.](org|com)|proxy[.]golang",
    r"(?<![\w.])/(work|root|tmp/brief)/|/home/(?!syncbridge\b)\w+/|/Users/\w+/",
    r"(?<![\w.-])(?:[.]{2}/)*shared[/]",
)


@pytest.mark.parametrize("pattern", FORBIDDEN, ids=["hosts of registries", "paths of a machine", "a private folder"])
def test_nothing_names(pattern: str) -> None:
    assert [(name, found[0]) for name, text in texts() if (found := re.search(pattern, text))] == []


def test_the_configuration_example_is_one() -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", TEXT["docs/configuration.md"], re.DOTALL)
    named = {f"{part}.{key}" for part, members in tomllib.loads(block).items() for key in members}
    assert named
    assert named <= set(keys())
