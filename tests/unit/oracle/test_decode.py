"""Both framings, by hand: bytes are built here with fastavro alone."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import fastavro
import pytest
from aiohttp import web

from bridge.oracle.decode import ARCHIVED, Decoder
from bridge.oracle.records import Source
from bridge.oracle.schemas import Folder, Registry, UndecodableError, mark, value_of

VALUE: dict[str, Any] = {
    "type": "record",
    "name": "Value",
    "namespace": "tradovate.order",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "timestamp", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}], "default": None},
        {"name": "unmapped", "type": {"type": "map", "values": "string"}, "default": {}},
    ],
}
LONGS = ("ts_ms", "epoch", "seq", "frame", "frame_last", "received_us")
SOURCE: dict[str, Any] = {
    "type": "record",
    "name": "Source",
    "namespace": "tradovate",
    "fields": [
        *({"name": name, "type": "long"} for name in LONGS),
        *({"name": name, "type": "int"} for name in ("shard", "divisor")),
        {"name": "snapshot", "type": "string"},
        {"name": "resend", "type": "boolean"},
    ],
}
KEY: dict[str, Any] = {"type": "record", "name": "Key", "fields": [{"name": "id", "type": "long"}]}
ENVELOPE: dict[str, Any] = {
    "type": "record",
    "name": "Envelope",
    "namespace": "tradovate.order",
    "fields": [
        {"name": "before", "type": ["null", VALUE], "default": None},
        {"name": "after", "type": ["null", "tradovate.order.Value"], "default": None},
        {"name": "source", "type": SOURCE},
        {"name": "op", "type": "string"},
        {"name": "ts_ms", "type": "long"},
    ],
}
SENT: dict[str, Any] = {
    "before": {"id": 600, "timestamp": None, "unmapped": {}},
    "after": {"id": 600, "timestamp": 1_787_060_101_123, "unmapped": {"new": "1.0"}},
    "source": dict.fromkeys(LONGS, 5) | {"shard": 1, "divisor": 4, "snapshot": "false", "resend": False},
    "op": "u",
    "ts_ms": 1,
}


def avro(schema: dict[str, Any], value: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(schema), value)
    return stream.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    for name, schema in {"order.avsc": VALUE, "envelope/Source.avsc": SOURCE, "keys/Key.avsc": KEY}.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(schema))
    return Folder(tmp_path)


def single(schema: dict[str, Any], value: dict[str, Any]) -> bytes:
    return b"\xc3\x01" + mark(schema) + avro(schema, value)


SINGLE_KEY = single({**KEY, "namespace": "tradovate.order"}, {"id": 600})


async def test_single_object_encoding(folder: Folder) -> None:
    record = await Decoder(folder=folder).record("order", 1, 9, SINGLE_KEY, single(ENVELOPE, SENT), {})
    assert (record.id, record.op, record.partition, record.offset) == (600, "u", 1, 9)
    assert record.before == b'{"id":600}'
    assert record.after == b'{"id":600,"new":1,"timestamp":"2026-08-18T13:35:01.123Z"}'
    assert record.source == Source("false", 1, 4, 5, 5, 5, 5, 5, False)


async def test_tombstones(folder: Folder) -> None:
    decoder = Decoder(folder=folder)
    assert not (await decoder.record("order", 0, 0, SINGLE_KEY, None, {})).archived
    assert (await decoder.record("order", 0, 0, SINGLE_KEY, None, {ARCHIVED: b"1"})).archived


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"plain text",
        b"\x00\x00\x00\x00\x01rest",
        b"\xc3\x01unknown!",
        single(ENVELOPE, SENT)[:-3],
        single(ENVELOPE, SENT) + b"x",
    ],
    ids=["empty", "unframed", "registry-without-registry", "unknown-fingerprint", "short", "long"],
)
async def test_what_cannot_be_read_is_said_to_be_so(folder: Folder, value: bytes) -> None:
    with pytest.raises(UndecodableError):
        await Decoder(folder=folder).record("order", 0, 0, SINGLE_KEY, value, {})


async def test_confluent_framing_asks_the_registry_once_for_each_id() -> None:
    asked: list[str] = []

    async def schema(request: web.Request) -> web.Response:
        asked.append(request.match_info["id"])
        known = {"1": KEY, "2": ENVELOPE}.get(request.match_info["id"])
        return web.json_response({"schema": json.dumps(known)}) if known else web.json_response({}, status=404)

    app = web.Application()
    app.router.add_get("/schemas/ids/{id}", schema)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        decoder = Decoder(f"http://127.0.0.1:{runner.addresses[0][1]}/")
        key, value = b"\x00\x00\x00\x00\x01" + avro(KEY, {"id": 600}), b"\x00\x00\x00\x00\x02" + avro(ENVELOPE, SENT)
        for _ in range(2):
            assert (await decoder.record("order", 0, 0, key, value, {})).op == "u"
        assert sorted(asked) == ["1", "2"]
        with pytest.raises(UndecodableError, match="404"):
            await decoder.record("order", 0, 0, key, b"\x00\x00\x00\x00\x09x", {})
    finally:
        await runner.cleanup()


def test_the_shipped_schemas_are_all_found() -> None:
    folder = Folder()
    for file in folder.path.glob("*.avsc"):
        value = json.loads(file.read_text())
        source = json.loads((folder.path / "envelope" / "Source.avsc").read_text())
        envelope = {**ENVELOPE, "namespace": value["namespace"]}
        envelope["fields"] = [
            {"name": "before", "type": ["null", value]},
            {"name": "after", "type": ["null", f"{value['namespace']}.Value"]},
            {"name": "source", "type": source},
            *ENVELOPE["fields"][3:],
        ]
        assert value_of(folder.find(mark(envelope)).raw)["namespace"] == value["namespace"]


async def test_the_control_records_are_read_too() -> None:
    folder = Folder()
    schema = json.loads((folder.path / "control" / "ShardKey.avsc").read_text())
    value = {field["name"]: 3 for field in schema["fields"]}
    assert await Decoder(folder=folder).value(single(schema, value)) == value


async def test_a_registry_that_wants_a_password_gets_it() -> None:
    seen: list[str] = []

    async def schema(request: web.Request) -> web.Response:
        seen.append(request.headers["Authorization"])
        return web.json_response({"schema": json.dumps(KEY)})

    app = web.Application()
    app.router.add_get("/schemas/ids/{id}", schema)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        await Registry(f"http://127.0.0.1:{runner.addresses[0][1]}", ("me", "secret")).find(1)
    finally:
        await runner.cleanup()
    assert seen == ["Basic bWU6c2VjcmV0"]


def test_the_fingerprint_is_the_one_of_the_specification() -> None:
    assert mark("null").hex() == "8a8f25cce724dd63"
