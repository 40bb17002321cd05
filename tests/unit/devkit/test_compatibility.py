from __future__ import annotations

import json
from typing import Any

import pytest

from bridge.devkit.avro import read_schema
from bridge.devkit.compatibility import LEVELS, incompatibilities, unreadable


def normal(schema: Any) -> Any:
    return read_schema(json.dumps(schema))


def reads(reader: Any, writer: Any) -> bool:
    return not unreadable(normal(reader), normal(writer))


def record(*fields: dict[str, Any], name: str = "R", **more: Any) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": list(fields), **more}


def field(name: str, kind: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, **more}


def enum(*symbols: str, **more: Any) -> dict[str, Any]:
    return {"type": "enum", "name": "E", "symbols": list(symbols), **more}


def fixed(size: int, name: str = "F") -> dict[str, Any]:
    return {"type": "fixed", "name": name, "size": size}


NUMBERS = ["int", "long", "float", "double"]


@pytest.mark.parametrize("reader", NUMBERS)
@pytest.mark.parametrize("writer", NUMBERS)
def test_numbers_are_promoted_upwards_only(reader: str, writer: str) -> None:
    assert reads(reader, writer) == (NUMBERS.index(reader) >= NUMBERS.index(writer))


@pytest.mark.parametrize(
    ("reader", "writer", "good"),
    [
        ("string", "bytes", True),
        ("bytes", "string", True),
        ("string", "int", False),
        ("boolean", "int", False),
        ("null", "null", True),
        ({"type": "long", "logicalType": "timestamp-millis"}, "long", True),
        ({"type": "array", "items": "long"}, {"type": "array", "items": "int"}, True),
        ({"type": "array", "items": "int"}, {"type": "array", "items": "long"}, False),
        ({"type": "map", "values": "double"}, {"type": "map", "values": "int"}, True),
        ({"type": "map", "values": "int"}, {"type": "array", "items": "int"}, False),
        (enum("a", "b"), enum("a"), True),
        (enum("a"), enum("a", "b"), False),
        (enum("a", default="a"), enum("a", "b"), True),
        (fixed(4), fixed(4), True),
        (fixed(4), fixed(8), False),
        (fixed(4), fixed(4, name="G"), False),
        (["null", "long"], "int", True),
        (["null", "string"], "int", False),
        ("int", ["int"], True),
        ("int", ["null", "int"], False),
        (["null", "int", "string"], ["null", "int"], True),
        (["null", "int"], ["null", "int", "string"], False),
    ],
)
def test_types(reader: Any, writer: Any, good: bool) -> None:
    assert reads(reader, writer) is good


@pytest.mark.parametrize(
    ("reader", "writer", "good"),
    [
        (record(field("a", "int")), record(), False),
        (record(field("a", "int", default=0)), record(), True),
        (record(), record(field("a", "int")), True),
        (record(field("a", "long")), record(field("a", "int")), True),
        (record(field("a", "int")), record(field("a", "long")), False),
        (record(field("b", "int", aliases=["a"])), record(field("a", "int")), True),
        (record(field("b", "int", aliases=["c"])), record(field("a", "int")), False),
        (record(field("b", "int"), field("a", "string")), record(field("a", "string"), field("b", "int")), True),
        (record(name="other.R"), record(name="some.R"), True),
        (record(name="S"), record(name="R"), False),
        (record(name="S", aliases=["R"]), record(name="R"), True),
        (record(name="x.S", aliases=["R"]), record(name="x.R"), True),
        (record(name="x.S", aliases=["R"]), record(name="y.R"), False),
        (record(field("a", ["null", "int"], default=None)), record(field("a", "int")), True),
        (record(field("a", "int")), record(field("a", ["null", "int"])), False),
    ],
)
def test_records(reader: Any, writer: Any, good: bool) -> None:
    assert reads(reader, writer) is good


def test_named_type_is_followed_where_it_is_used_again() -> None:
    def pair(inner: str) -> dict[str, Any]:
        return record(field("before", record(field("x", inner), name="V")), field("after", "V"))

    assert reads(pair("long"), pair("int"))
    assert len(unreadable(normal(pair("int")), normal(pair("long")))) == 2


def linked(kind: str) -> dict[str, Any]:
    return record(field("value", kind), field("next", ["null", "R"]))


def test_recursive_types_end() -> None:
    assert reads(linked("long"), linked("int"))
    assert not reads(linked("int"), linked("long"))


def test_branch_that_fails_leaves_no_assumption_behind() -> None:
    """A union's first branch may fail after it has compared inner records that the second branch meets again."""
    inner = {"type": "record", "name": "I", "fields": [field("up", ["null", "R"], default=None)]}
    reader = [record(field("i", inner), field("must", "int")), record(field("i", "I"), name="S", aliases=["R"])]
    assert not reads(reader, record(field("i", inner)))


def test_message_names_the_place_and_the_reason() -> None:
    reader = record(field("o", record(field("deep", "int"), name="Inner")))
    writer = record(field("o", record(field("deep", "string"), name="Inner")))
    assert unreadable(normal(reader), normal(writer)) == ["/o/deep/: string cannot be read as int"]


WITHOUT, WITH, REQUIRED = (
    normal(each) for each in (record(), record(field("a", "int", default=0)), record(field("a", "int")))
)


@pytest.mark.parametrize(
    ("level", "new", "earlier", "good"),
    [
        ("NONE", "int", ["string"], True),
        ("BACKWARD", REQUIRED, [WITHOUT], False),
        ("BACKWARD", WITHOUT, [REQUIRED], True),
        ("FORWARD", REQUIRED, [WITHOUT], True),
        ("FORWARD", WITHOUT, [REQUIRED], False),
        ("FULL", WITH, [WITHOUT], True),
        ("FULL", REQUIRED, [WITHOUT], False),
        ("FULL", WITHOUT, [REQUIRED], False),
        ("BACKWARD", REQUIRED, [WITHOUT, WITH], True),
        ("BACKWARD_TRANSITIVE", REQUIRED, [WITHOUT, WITH], False),
        ("FORWARD", WITHOUT, [REQUIRED, WITH], True),
        ("FORWARD_TRANSITIVE", WITHOUT, [REQUIRED, WITH], False),
        ("FULL", WITHOUT, [REQUIRED, WITH], True),
        ("FULL_TRANSITIVE", WITHOUT, [REQUIRED, WITH], False),
    ],
)
def test_levels(level: str, new: Any, earlier: list[Any], good: bool) -> None:
    assert (incompatibilities(new, earlier, level) == []) is good


@pytest.mark.parametrize("level", LEVELS)
def test_first_version_and_unchanged_version_are_always_good(level: str) -> None:
    assert incompatibilities(REQUIRED, [], level) == []
    assert incompatibilities(REQUIRED, [REQUIRED], level) == []
