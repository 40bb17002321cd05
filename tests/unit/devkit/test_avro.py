from __future__ import annotations

import json
from typing import Any

import fastavro
import pytest

from bridge.devkit.avro import SchemaError, read_schema, text_of


def normal(schema: Any) -> Any:
    return read_schema(json.dumps(schema))


def record(*fields: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "record", "name": "R", "fields": list(fields), **more}


@pytest.mark.parametrize(
    "schema",
    [
        {"name": "R"},
        5,
        True,
        "nothing",
        record(name="a-b"),
        record(namespace="tradovate.demo-1"),
        record(name="x..y"),
        record(name=7),
        {"type": "record", "name": "R"},
        {"type": "record", "name": "R", "fields": {"a": "int"}},
        record({"name": "a", "type": "int"}, {"name": "a", "type": "int"}),
        record({"type": "int"}),
        record({"name": "a"}),
        record({"name": "a", "type": "Later"}),
        record({"name": "a", "type": {"type": "record", "name": "R", "fields": []}}),
        record({"name": "a", "type": "int", "default": "1"}),
        record({"name": "a", "type": "int", "default": 2**31}),
        record({"name": "a", "type": "int", "default": True}),
        record({"name": "a", "type": "string", "default": None}),
        record({"name": "a", "type": ["string", "null"], "default": None}),
        record({"name": "a", "type": {"type": "array", "items": "int"}, "default": ["x"]}),
        record({"name": "a", "type": {"type": "map", "values": "int"}, "default": []}),
        record({"name": "a", "type": record(name="I"), "default": None}),
        ["null", "null"],
        ["null", ["int"]],
        {"type": "array"},
        {"type": "map"},
        {"type": "enum", "name": "E", "symbols": ["a", "a"]},
        {"type": "enum", "name": "E", "symbols": ["a-b"]},
        {"type": "enum", "name": "E", "symbols": ["a"], "default": "b"},
        {"type": "enum", "name": "E", "symbols": 3},
        {"type": "fixed", "name": "F"},
        {"type": "fixed", "name": "F", "size": -1},
    ],
)
def test_what_java_refuses_is_refused(schema: Any) -> None:
    with pytest.raises(SchemaError):
        normal(schema)


@pytest.mark.parametrize("text", ["", "{", "[1,", "int32"])
def test_what_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(SchemaError):
        read_schema(text)


def test_very_deep_nesting_is_refused_not_fatal() -> None:
    with pytest.raises(SchemaError):
        read_schema('{"type":"array","items":' * 20_000 + '"int"' + "}" * 20_000)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"type": "int"}, "int"),
        ({"type": {"type": "int"}}, "int"),
        (record(name="a.R"), record(name="R", namespace="a")),
        (record(name="a.R", namespace="ignored"), record(name="a.R")),
        (
            record({"name": "x", "type": record(name="I")}, {"name": "y", "type": "a.I"}, namespace="a"),
            record({"name": "x", "type": record(name="a.I")}, {"name": "y", "type": "I"}, namespace="a"),
        ),
        (record(aliases=["S"], namespace="a"), record(aliases=["a.S"], namespace="a")),
    ],
)
def test_two_ways_to_write_a_schema_have_one_normal_form(one: Any, other: Any) -> None:
    assert text_of(normal(one)) == text_of(normal(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"type": "long", "logicalType": "timestamp-millis"}, "long"),
        (record(doc="something"), record()),
        (record(namespace="a"), record(namespace="b")),
    ],
)
def test_different_schemas_stay_different(one: Any, other: Any) -> None:
    assert text_of(normal(one)) != text_of(normal(other))


def test_normal_form_means_the_same_to_another_reader_of_avro() -> None:
    schema = record(
        {"name": "t", "type": {"type": "long", "logicalType": "timestamp-millis"}, "default": 0},
        {"name": "i", "type": ["null", record({"name": "n", "type": "int"}, name="I")], "default": None},
        {"name": "again", "type": {"type": "array", "items": "I"}},
        {"name": "m", "type": {"type": "map", "values": "string"}, "default": {}},
        namespace="tradovate.demo",
    )
    ours, theirs = normal(schema), fastavro.parse_schema(schema)
    canonical = fastavro.schema.to_parsing_canonical_form
    assert canonical(fastavro.parse_schema(ours)) == canonical(theirs)


@pytest.mark.parametrize(
    ("kind", "default"),
    [
        ("null", None),
        ("boolean", False),
        ("long", 2**40),
        ("double", 1),
        ("bytes", "\u00ff"),
        (["null", "int"], None),
        ({"type": "enum", "name": "E", "symbols": ["a"]}, "a"),
        ({"type": "fixed", "name": "F", "size": 1}, "x"),
        (record({"name": "n", "type": "int"}, name="I"), {"n": 1}),
        (record({"name": "n", "type": "int", "default": 3}, name="I"), {}),
    ],
)
def test_fitting_default_is_accepted(kind: Any, default: Any) -> None:
    assert normal(record({"name": "a", "type": kind, "default": default}))["fields"][0]["default"] == default
