"""The encoder against the reference encoder, against arbitrary JSON, and across schema versions."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import fastavro
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.entities.catalogue import CATALOGUE
from bridge.entities.decoder import decode, re_encode, to_wire
from bridge.entities.encoder import Encoder
from bridge.entities.exact import Inexact, exact_dumps, exact_loads
from bridge.entities.reference import Reference
from bridge.entities.schemas import envelope_schema, released_versions, value_schema, wire_fields
from bridge.errors import Unencodable
from tests.implementations import ENCODERS as IMPLEMENTATIONS
from tests.property.wire import Entity, canonical, make_entity, seeded

RECORDS = 2000
"""Generated records per entity type in the comparison of the two encoders."""
ENCODERS = {name: [each(name, value_schema(name)) for each in IMPLEMENTATIONS] for name in CATALOGUE}
"""Every implementation of the encoder: they see the same entities and must do the same."""
REFERENCES = {name: Reference(value_schema(name)) for name in CATALOGUE}
VERSIONS: tuple[int | None, ...] = (None, *released_versions())
PAIRS = [(old, new) for old in released_versions() for new in released_versions() if old != new]

characters = st.characters(codec=None, exclude_categories=())  # lone surrogates too
numbers = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([2**63, -(2**63) - 1, 2**64, 2.0**63, 1e300, 10**400, 1.0, 2**53 + 1]),
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    numbers,
    st.text(characters, max_size=10),
    st.sampled_from(["Buy", "2026-01-01T00:00:00Z"]),
)
names = st.one_of(
    st.text(max_size=5),
    st.sampled_from(["year", "month", "day", "hour", "minute", "id", "text", "/a/b", "~", "unmapped"]),
)
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4), max_leaves=8
)


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_encoders_give_the_bytes_of_the_reference(name: str) -> None:
    r, schema, reference = seeded(name), value_schema(name), REFERENCES[name]
    encoders = [each(name, schema) for each in IMPLEMENTATIONS]
    shapes = [tuple(make_entity(r, schema, present=r.random())) for _ in range(40)]
    for number in range(RECORDS):
        whole = make_entity(r, schema, present=1.0)
        entity = {field: whole[field] for field in shapes[number % len(shapes)]}
        parts = reference.split(entity)
        data, time = reference.write(parts), parts.datum.get("timestamp") if CATALOGUE[name].time_field else None
        for encoder in encoders:
            assert encoder.encode(entity) == (data, time), entity
        assert to_wire(decode(data, schema), schema) == canonical(entity, schema)
    for encoder in encoders:
        assert not encoder.drift
        if name != "OtherEnvAdminAlertSignal":  # the one type with a nested record
            assert encoder.slow < RECORDS / 3  # doubles and integers beyond 2**53 are left to the reference


def encode_by_all(name: str, entity: Any) -> bytes | None:
    """As the bridge does it, by every implementation."""
    encoders = ENCODERS[name]
    data, *others = [encode_anyhow(encoder, entity) for encoder in encoders]
    assert all(other == data for other in others), entity
    assert all(encoder.drift == encoders[0].drift for encoder in encoders)
    return data


def encode_anyhow(encoder: Encoder, entity: Any) -> bytes | None:
    """Decode fast, and again exactly if a number may have been rounded."""
    try:
        return encoder.encode(entity)[0]
    except Inexact:
        return encode_exactly(encoder, entity)
    except Unencodable:
        return None


def encode_exactly(encoder: Encoder, entity: Any) -> bytes | None:
    try:
        return encoder.encode(entity, exact=True)[0]
    except Unencodable:
        return None


@st.composite
def arbitrary_entities(draw: st.DrawFn) -> tuple[str, Entity]:
    """An entity of any type, some of whose fields hold any JSON, with unknown fields among them."""
    name = draw(st.sampled_from(sorted(CATALOGUE)))
    entity = make_entity(seeded(draw(st.integers(0, 2**32))), value_schema(name), present=0.5)
    fields = st.sampled_from(sorted(wire_fields(value_schema(name)).keys() - {"id"})) | names.filter("id".__ne__)
    return name, entity | draw(st.dictionaries(fields, json_values, max_size=5))


@given(arbitrary_entities())
@example(("fill", {"id": 1, "tradeDate": {"year": 2026, "month": 1, "day": 1, "hour": None, "/": 1e300}}))
@example(("fill", {"id": 1, "/tradeDate/hour": 5, "tradeDate": {"year": 2026, "month": 1, "day": 1, "hour": 6}}))
@example(("order", {"id": 1, "accountId": {"a": None}, "": {"": {"": None}}}))
def test_whatever_stands_in_a_field_nothing_is_lost(made: tuple[str, Entity]) -> None:
    name, entity = made
    schema = value_schema(name)
    data = encode_by_all(name, entity)
    assert data is not None, "only ids, depth and names without a UTF-8 form may stop an entity"
    back = to_wire(decode(data, schema), schema)
    assert exact_dumps(back) == exact_dumps(canonical(entity, schema))
    reference = REFERENCES[name]
    assert data == reference.write(reference.split(entity))
    for encoder in ENCODERS[name]:
        assert encode_exactly(encoder, back) == data


@given(st.sampled_from(sorted(CATALOGUE)), json_values)
def test_whatever_comes_instead_of_an_entity_only_the_known_errors_arise(name: str, value: Any) -> None:
    data = encode_by_all(name, value)
    usable = isinstance(value, dict) and type(value.get("id")) is int and -(2**63) <= value["id"] < 2**63
    assert (data is not None) == usable
    encode_by_all(name, {"id": 1, "accountId": value, "timestamp": value, "tradeDate": value, "x": value})


@given(st.dictionaries(names, json_values, max_size=4))
def test_reading_fast_or_exactly_makes_no_difference(entity: Entity) -> None:
    raw = json.dumps({"id": 5, "price": 1.5, **entity, "id ": 0} | {"id": 5})
    for encoder in ENCODERS["fill"]:
        exactly = encoder.encode(exact_loads(raw), exact=True)
        try:
            fast = encoder.encode(orjson.loads(raw))
        except (Inexact, orjson.JSONDecodeError):
            continue  # then the bridge reads exactly
        assert fast == exactly


@pytest.mark.parametrize(("old", "new"), PAIRS)
@pytest.mark.parametrize("name", CATALOGUE)
def test_encoding_again_for_another_version_is_encoding_the_entity_with_it(name: str, old: int, new: int) -> None:
    r, newest = seeded(name), value_schema(name)
    encoders = {version: Encoder(name, value_schema(name, version)) for version in (old, new)}
    for _ in range(50):
        entity = make_entity(r, newest, present=r.random())
        if r.random() < 0.3:
            entity |= {"brandNew": {"a": [1.5, None]}, "timestamp": "soon"}
        before, _ = encoders[old].encode(entity)
        # going back, a value leaves its field in canonical form: a date-time always has three digits then
        expected = entity if old < new else canonical(entity, encoders[old].schema)
        assert re_encode(before, encoders[old].schema, encoders[new]) == encoders[new].encode(expected)[0]


def breaks(reader: Any, writer: Any) -> list[str]:
    """Why a record written with `writer` cannot always be read with `reader`; types of common fields must be equal."""
    read, written = ({field["name"]: field for field in schema["fields"]} for schema in (reader, writer))
    added = [name for name in read.keys() - written.keys() if "default" not in read[name]]
    changed = [name for name in read.keys() & written.keys() if not same(read[name]["type"], written[name]["type"])]
    return added + changed


def same(one: Any, other: Any) -> bool:
    """Equal types, where the symbols of an enum, being only a property, may differ and records may add fields."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, dict) and isinstance(other, dict) and one["type"] == other["type"] == "record":
        return (one["name"], one["namespace"]) == (other["name"], other["namespace"]) and not breaks(one, other)
    bare = [
        {k: v for k, v in t.items() if k not in {"knownSymbols", "doc"}} if isinstance(t, dict) else t
        for t in (one, other)
    ]
    return bool(bare[0] == bare[1])


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_version_reads_every_other(name: str) -> None:
    for make in (value_schema, envelope_schema):
        for reader in VERSIONS:
            for writer in VERSIONS:
                assert breaks(make(name, reader), make(name, writer)) == []


@pytest.mark.parametrize("name", CATALOGUE)
def test_fastavro_reads_every_version_with_every_other(name: str) -> None:
    r = seeded(name)
    source = {
        "version": "0",
        "connector": "tradovate",
        "name": "t",
        "environment": "demo",
        "ts_ms": 1,
        "snapshot": "false",
    }
    source |= dict.fromkeys(("shard", "divisor", "epoch", "seq", "frame", "frame_last", "received_us"), 3) | {
        "resend": False
    }
    for writer, reader in PAIRS:
        written, read = (fastavro.parse_schema(envelope_schema(name, version)) for version in (writer, reader))
        for _ in range(5):
            datum = REFERENCES[name].split(make_entity(r, value_schema(name, writer))).datum
            fastavro.schemaless_writer(
                out := BytesIO(), written, {"after": datum, "source": source, "op": "c", "ts_ms": 2}
            )
            out.seek(0)
            got: Any = fastavro.schemaless_reader(out, written, read)
            assert got["source"]["seq"] == 3
            assert got["after"]["id"] == datum["id"]
            common = wire_fields(value_schema(name, writer)).keys() & wire_fields(value_schema(name, reader)).keys()
            assert {f for f in common if got["after"][f] is None} == {f for f in common if datum.get(f) is None}
