from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import fastavro
import pytest

from bridge.devkit.registry import DevRegistry
from bridge.entities import schemas
from bridge.errors import KafkaUnusable
from bridge.kafka.decode import RecordDecoder
from bridge.kafka.framing import Confluent, SingleObject
from bridge.kafka.registry import Registry

KEY = schemas.key_schema("order")


def body(schema: Mapping[str, Any], content: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(dict(schema)), content)
    return out.getvalue()


async def test_tombstone_is_nothing() -> None:
    assert await RecordDecoder([], None).decode(None) is None


async def test_single_object_encoding_is_read_with_known_schemas() -> None:
    event = schemas.control_schema("ShardKey")
    decoder = RecordDecoder([KEY, event], None)
    framed = SingleObject().prefix("", "key", event) + body(event, {"shard": 3})
    assert await decoder.decode(framed) == {"shard": 3}


async def test_confluent_format_is_read_with_the_registrys_schema() -> None:
    async with DevRegistry() as server, Registry(server.url) as registry:
        ids = await registry.register_all({"p.order-key": KEY})
        framed = Confluent(ids).prefix("p.order", "key", KEY) + body(KEY, {"id": 5})
        assert await RecordDecoder([], registry).decode(framed) == {"id": 5}


@pytest.mark.parametrize("data", [b"", b"plain text", b"\xc3\x01unknown!"])
async def test_unknown_schema_is_told_as_such(data: bytes) -> None:
    with pytest.raises(KafkaUnusable, match="a schema that is not known here"):
        await RecordDecoder([KEY], None).decode(data)


async def test_confluent_format_without_registry_says_what_to_set() -> None:
    with pytest.raises(KafkaUnusable, match=r"set registry\.url"):
        await RecordDecoder([KEY], None).decode(b"\x00\x00\x00\x00\x01\x02")


async def test_record_cut_short_is_told_in_a_sentence() -> None:
    schema = schemas.control_schema("StateKey")
    framed = SingleObject().prefix("", "key", schema) + body(schema, {"entityType": "order", "id": 5})
    with pytest.raises(KafkaUnusable, match="does not hold what its schema says"):
        await RecordDecoder([schema], None).decode(framed[:-3])
    with pytest.raises(KafkaUnusable, match="not known here"):
        await RecordDecoder([schema], None).decode(b"\x00\x00")
