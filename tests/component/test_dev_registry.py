"""The development schema registry as Confluent's own client and plain HTTP see it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.serialization import MessageField, SerializationContext

from bridge.devkit.registry import DevRegistry


def record(*fields: dict[str, Any], name: str = "R") -> str:
    return json.dumps({"type": "record", "name": name, "fields": list(fields)})


A: dict[str, Any] = {"name": "a", "type": "int"}
B: dict[str, Any] = {"name": "b", "type": ["null", "string"], "default": None}
ONE, TWO = record(A), record(A, B)
INCOMPATIBLE = record(A, {"name": "c", "type": "string"})


@pytest.fixture
async def registry() -> AsyncIterator[DevRegistry]:
    async with DevRegistry() as running:
        yield running


@pytest.fixture
def client(registry: DevRegistry) -> Iterator[SchemaRegistryClient]:
    with SchemaRegistryClient({"url": registry.url, "max.retries": 0}) as connected:
        yield connected


async def call(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Confluent's client blocks; the registry it talks to needs the event loop."""
    return await asyncio.to_thread(function, *arguments, **named)


async def refusal(function: Callable[..., Any], *arguments: Any, **named: Any) -> tuple[int, int]:
    with pytest.raises(SchemaRegistryError) as caught:
        await call(function, *arguments, **named)
    return caught.value.http_status_code, caught.value.error_code


def avro(text: str) -> Schema:
    return Schema(text, "AVRO")


async def http(registry: DevRegistry, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, registry.url + path, json=body) as answer,
    ):
        assert answer.content_type == "application/vnd.schemaregistry.v1+json"
        return answer.status, json.loads(await answer.text())


async def test_same_schema_has_the_same_id_in_every_subject(client: SchemaRegistryClient) -> None:
    first = await call(client.register_schema, "x-value", avro(ONE))
    spaced = await call(client.register_schema, "y-value", avro(json.dumps(json.loads(ONE), indent=4)))
    second = await call(client.register_schema, "x-value", avro(TWO))
    assert first == spaced != second
    assert await call(client.get_versions, "x-value") == [1, 2]
    assert await call(client.get_subjects) == ["x-value", "y-value"]
    uses = await call(client.get_schema_versions, first)
    assert [(each.subject, each.version) for each in uses] == [("x-value", 1), ("y-value", 1)]


async def test_registering_again_changes_nothing(registry: DevRegistry, client: SchemaRegistryClient) -> None:
    first = await call(client.register_schema, "x-value", avro(ONE))
    assert await http(registry, "POST", "/subjects/x-value/versions", {"schema": ONE}) == (200, {"id": first})
    assert await call(client.get_versions, "x-value") == [1]


async def test_schema_is_found_by_id_by_version_and_by_itself(client: SchemaRegistryClient) -> None:
    schema_id = await call(client.register_schema, "x-value", avro(ONE))
    assert (await call(client.get_schema, schema_id)).schema_str == ONE
    latest = await call(client.get_latest_version, "x-value")
    found = await call(client.lookup_schema, "x-value", avro(ONE))
    for each in (latest, found, await call(client.get_version, "x-value", 1)):
        assert (each.schema_id, each.version, each.subject) == (schema_id, 1, "x-value")


async def test_serializer_and_deserializer_understand_each_other(client: SchemaRegistryClient) -> None:
    context = SerializationContext("x", MessageField.VALUE)
    data = await call(AvroSerializer(client, TWO), {"a": 1, "b": "two"}, context)
    assert data[0] == 0
    assert await call(AvroDeserializer(client), data, context) == {"a": 1, "b": "two"}


async def test_refusals_carry_confluents_codes(registry: DevRegistry, client: SchemaRegistryClient) -> None:
    await call(client.register_schema, "x-value", avro(ONE))
    assert await refusal(client.get_latest_version, "nobody") == (404, 40401)
    assert await refusal(client.get_version, "x-value", 7) == (404, 40402)
    assert await refusal(client.get_schema, 77) == (404, 40403)
    assert await refusal(client.lookup_schema, "x-value", avro(TWO)) == (404, 40403)
    assert await refusal(client.register_schema, "x-value", avro('{"type": "nothing"}')) == (422, 42201)
    assert await refusal(client.register_schema, "x-value", avro(INCOMPATIBLE)) == (409, 409)
    assert await refusal(client.set_compatibility, "x-value", "SIDEWAYS") == (422, 42203)
    for path, code in (("/subjects/x-value/versions/zero", 42202), ("/config/x-value", 40408), ("/nowhere", 404)):
        status, body = await http(registry, "GET", path)
        assert (status, body["error_code"]) == (int(str(code)[:3]), code)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"schema": ONE, "references": [{"name": "n", "subject": "s", "version": 1}]}, "references"),
        ({"schema": ONE, "schemaType": "JSON"}, "AVRO only"),
        ({}, "no schema"),
        ([], "not a JSON object"),
    ],
)
async def test_what_it_does_not_support_is_said(registry: DevRegistry, body: Any, reason: str) -> None:
    status, answer = await http(registry, "POST", "/subjects/x-value/versions", body)
    assert (status, answer["error_code"]) == (422, 42201)
    assert reason in answer["message"]


async def test_compatibility_is_asked_and_enforced_by_level(
    registry: DevRegistry, client: SchemaRegistryClient
) -> None:
    await call(client.register_schema, "x-value", avro(ONE))
    assert await call(client.get_compatibility) == "BACKWARD"
    assert await call(client.test_compatibility, "x-value", avro(TWO)) is True
    assert await call(client.test_compatibility, "x-value", avro(INCOMPATIBLE)) is False
    path = "/compatibility/subjects/x-value/versions?verbose=true"
    _, verbose = await http(registry, "POST", path, {"schema": INCOMPATIBLE})
    assert verbose["is_compatible"] is False
    assert "/c/" in verbose["messages"][0]
    await call(client.set_compatibility, "x-value", "NONE")
    assert await call(client.get_compatibility, "x-value") == "NONE"
    await call(client.register_schema, "x-value", avro(INCOMPATIBLE))
    await call(client.set_compatibility, "x-value", "FULL_TRANSITIVE")
    assert await refusal(client.register_schema, "x-value", avro(TWO)) == (409, 409)


async def test_global_level_holds_where_a_subject_has_none(client: SchemaRegistryClient) -> None:
    await call(client.set_compatibility, level="NONE")
    await call(client.register_schema, "x-value", avro(ONE))
    await call(client.register_schema, "x-value", avro('"string"'))
    await call(client.delete_config)
    assert await call(client.get_compatibility) == "BACKWARD"


async def test_deleted_version_is_hidden_then_gone(registry: DevRegistry, client: SchemaRegistryClient) -> None:
    schema_id = await call(client.register_schema, "x-value", avro(ONE))
    await call(client.register_schema, "x-value", avro(TWO))
    assert await refusal(client.delete_version, "x-value", 2, permanent=True) == (404, 40407)
    assert await call(client.delete_version, "x-value", 2) == 2
    assert await call(client.get_versions, "x-value") == [1]
    assert (await http(registry, "GET", "/subjects/x-value/versions?deleted=true"))[1] == [1, 2]
    assert await call(client.delete_version, "x-value", 2, permanent=True) == 2
    assert await call(client.delete_subject, "x-value") == [1]
    assert await call(client.get_subjects) == []
    assert await refusal(client.get_versions, "x-value") == (404, 40401)
    assert await call(client.delete_subject, "x-value", permanent=True) == [1]
    assert await http(registry, "GET", "/subjects?deleted=true") == (200, [])
    assert (await http(registry, "GET", f"/schemas/ids/{schema_id}"))[0] == 200


async def test_read_only_subject_takes_no_new_version(client: SchemaRegistryClient) -> None:
    await call(client.register_schema, "x-value", avro(ONE))
    await call(client.update_mode, "x-value", "READONLY")
    assert await call(client.get_mode, "x-value") == "READONLY"
    assert await refusal(client.register_schema, "x-value", avro(TWO)) == (422, 42205)
    await call(client.delete_mode, "x-value")
    await call(client.register_schema, "x-value", avro(TWO))


async def test_subject_with_odd_characters(client: SchemaRegistryClient) -> None:
    await call(client.register_schema, "tradovate.demo/ä %-value", avro(ONE))
    assert await call(client.get_subjects) == ["tradovate.demo/ä %-value"]


async def test_faults_are_served_as_asked_and_then_over(registry: DevRegistry, client: SchemaRegistryClient) -> None:
    registry.fail_next(503, count=2)
    assert (await refusal(client.get_subjects))[0] == 503
    assert (await refusal(client.get_subjects))[0] == 503
    assert await call(client.get_subjects) == []


@asynccontextmanager
async def _client(registry: DevRegistry) -> AsyncIterator[SchemaRegistryClient]:
    with SchemaRegistryClient({"url": registry.url}) as connected:
        yield connected


async def test_file_keeps_everything_over_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "data" / "schemas.jsonl"
    async with DevRegistry(file=file) as registry, _client(registry) as client:
        schema_id = await call(client.register_schema, "x-value", avro(ONE))
        await call(client.register_schema, "x-value", avro(TWO))
        await call(client.delete_version, "x-value", 2)
        await call(client.set_compatibility, "x-value", "FULL")
    async with DevRegistry(file=file) as registry, _client(registry) as client:
        assert await call(client.get_versions, "x-value") == [1]
        assert await call(client.get_compatibility, "x-value") == "FULL"
        assert await call(client.register_schema, "y-value", avro(ONE)) == schema_id
        assert await call(client.register_schema, "y-value", avro(TWO)) == schema_id + 1


async def test_taken_port_is_an_error(registry: DevRegistry) -> None:
    port = int(registry.url.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"):
        await DevRegistry(port=port).start()
