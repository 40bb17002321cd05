from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastavro
import pytest
from fastavro.schema import to_parsing_canonical_form

from bridge.entities.catalogue import CATALOGUE
from bridge.entities.schemas import (
    Schema,
    control_schema,
    envelope_schema,
    fingerprint,
    key_schema,
    released_versions,
    state_fingerprint,
    value_schema,
    wire_fields,
)

SCHEMAS = Path(__file__).parents[3] / "schemas"
TABLE = json.loads((SCHEMAS / "entities.json").read_text("utf-8"))
JAVA_WORDS = """
abstract assert boolean break byte case catch char class const continue default do double else enum extends false final
finally float for goto if implements import instanceof int interface long native new null package private protected
public return short static strictfp super switch synchronized this throw throws transient true try void volatile while
"""


def names(node: Any) -> Iterator[str]:
    """Every name and every part of a namespace in a schema."""
    if isinstance(node, dict):
        yield from (part for key in ("name", "namespace") if key in node for part in node[key].split("."))
        for value in node.values():
            yield from names(value)
    elif isinstance(node, list):
        for item in node:
            yield from names(item)


def crc64(data: bytes) -> bytes:
    """CRC-64-AVRO as the Avro specification defines it, little-endian."""
    crc = empty = 0xC15D213AA4D7A795
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (empty if crc & 1 else 0)
    return crc.to_bytes(8, "little")


@pytest.mark.parametrize("version", [None, 1, 2])
@pytest.mark.parametrize("name", CATALOGUE)
def test_every_type_has_schemas_that_avro_accepts_and_java_can_name(name: str, version: int | None) -> None:
    for schema in (value_schema(name, version), envelope_schema(name, version), key_schema(name)):
        fastavro.parse_schema(json.loads(json.dumps(schema)))
        for word in names(schema):
            assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", word)
            assert word not in JAVA_WORDS.split(), word
    assert key_schema(name)["namespace"] == f"tradovate.{name}"


@pytest.mark.parametrize("row", TABLE["entities"], ids=lambda row: str(row["name"]))
def test_a_value_requires_its_id_and_nothing_else(row: dict[str, Any]) -> None:
    schema = value_schema(row["name"])
    first, *optional, unmapped = schema["fields"]
    assert (first["name"], first["type"]) == ("id", "long")
    assert (unmapped["name"], unmapped["type"], unmapped["default"]) == (
        "unmapped",
        {"type": "map", "values": "string"},
        {},
    )
    assert all(f["type"][0] == "null" and len(f["type"]) == 2 and f["default"] is None for f in optional)
    assert {f["name"] for f in schema["fields"]} == {f["name"] for f in row["fields"]} | {"id", "unmapped"}


def test_the_types_on_the_wire_become_these_avro_types() -> None:
    fill, session = wire_fields(value_schema("fill")), wire_fields(value_schema("productSession"))
    assert fill["qty"] == "long"  # int32 on the wire: an Avro int could never be widened
    assert fill["price"] == "double"
    assert fill["active"] == "boolean"
    assert fill["timestamp"] == {"type": "long", "logicalType": "timestamp-millis"}
    assert fill["tradeDate"] == {"type": "int", "logicalType": "date"}
    assert session["openTime"] == {"type": "int", "logicalType": "time-millis"}
    assert fill["action"] == {"type": "string", "enumName": "Side", "knownSymbols": ["Buy", "Sell"]}
    nested = wire_fields(value_schema("OtherEnvAdminAlertSignal"))["adminAlertSignal"]
    assert "text" in wire_fields(nested)


def test_the_envelope_is_the_contract() -> None:
    schema = envelope_schema("order")
    assert (schema["namespace"], schema["name"]) == ("tradovate.order", "Envelope")
    assert [field["name"] for field in schema["fields"]] == ["before", "after", "source", "op", "ts_ms"]
    assert schema["fields"][0]["type"] == ["null", value_schema("order")]
    assert schema["fields"][1]["type"] == ["null", "tradovate.order.Value"]
    assert [(f["name"], f["type"]) for f in schema["fields"][2]["type"]["fields"]] == [
        ("version", "string"),
        ("connector", "string"),
        ("name", "string"),
        ("environment", "string"),
        ("ts_ms", "long"),
        ("snapshot", "string"),
        ("shard", "int"),
        ("divisor", "int"),
        ("epoch", "long"),
        ("seq", "long"),
        ("frame", "long"),
        ("frame_last", "long"),
        ("account_id", ["null", "long"]),
        ("user_id", ["null", "long"]),
        ("received_us", "long"),
        ("resend", "boolean"),
    ]
    assert [f["type"] for f in schema["fields"][3:]] == ["string", "long"]


def test_versions_count_from_one_and_the_last_is_the_present_one() -> None:
    assert released_versions() == tuple(range(1, TABLE["versions"] + 1))
    for name in CATALOGUE:
        present, last = value_schema(name), value_schema(name, released_versions()[-1])
        assert state_fingerprint(present) == state_fingerprint(last)
        assert "doc" in json.dumps(present)
        assert '"doc"' not in json.dumps(last)


def test_fields_seen_only_on_the_wire_came_with_version_two() -> None:
    assert "external" not in wire_fields(value_schema("fill", 1))
    assert "external" in wire_fields(value_schema("fill", 2))
    assert state_fingerprint(value_schema("fill", 1)) != state_fingerprint(value_schema("fill", 2))
    assert fingerprint(value_schema("currency", 1)) == fingerprint(value_schema("currency", 2))


def test_an_unknown_schema_is_named() -> None:
    with pytest.raises(LookupError, match="neverHeardOf"):
        value_schema("neverHeardOf")
    with pytest.raises(LookupError, match="never released"):
        envelope_schema("order", 99)
    with pytest.raises(LookupError, match="Nothing"):
        control_schema("Nothing")
    assert control_schema("TypeKey")["namespace"] == "tradovate.bridge"


@pytest.mark.parametrize("schema", [value_schema("order"), envelope_schema("fill"), key_schema("position")])
def test_the_fingerprint_is_the_one_of_single_object_encoding(schema: Schema) -> None:
    assert fingerprint(schema) == crc64(to_parsing_canonical_form(schema).encode())
    assert crc64(b'"null"').hex() == "8a8f25cce724dd63"  # the specification's example, 63dd24e7cc258f8a, reversed


def test_the_fingerprint_of_state_notices_what_the_avro_fingerprint_does_not() -> None:
    schema: Schema = json.loads(json.dumps(value_schema("fill")))
    learned: Schema = json.loads(json.dumps(schema).replace('["Buy", "Sell"]', '["Buy", "Sell", "Short"]'))
    explained: Schema = json.loads(json.dumps(schema).replace('"doc": "side"', '"doc": "which side"'))
    assert learned != schema
    assert explained != schema
    assert fingerprint(learned) == fingerprint(schema) == fingerprint(explained)
    assert state_fingerprint(learned) != state_fingerprint(schema)
    assert state_fingerprint(explained) == state_fingerprint(schema)
    assert len(state_fingerprint(schema)) == len(fingerprint(schema)) == 8
