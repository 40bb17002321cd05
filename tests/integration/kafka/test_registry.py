"""The registry's client against the development registry."""

from __future__ import annotations

import json

import aiohttp
import pytest
from aiohttp import web

from bridge.app import cluster as parts
from bridge.config import load
from bridge.devkit.registry import DevRegistry
from bridge.entities import schemas
from bridge.entities.catalogue import CATALOGUE
from bridge.errors import KafkaUnavailable, KafkaUnusable
from bridge.kafka import registry as module
from bridge.kafka.framing import Confluent
from bridge.kafka.registry import Registry

ONE = {"type": "record", "name": "R", "fields": [{"name": "a", "type": "long"}]}
COMPATIBLE = {**ONE, "fields": [*ONE["fields"], {"name": "b", "type": ["null", "long"], "default": None}]}
INCOMPATIBLE = {**ONE, "fields": [{"name": "a", "type": "string"}]}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ATTEMPTS", 3)


async def test_ids_stay_the_same_for_ever(registry: DevRegistry) -> None:
    async with Registry(registry.url) as client:
        first = await client.register_all({"s": ONE, "t": ONE, "u": COMPATIBLE})
        assert first["s"] == first["t"] != first["u"]
    async with Registry(registry.url + "/") as client:
        assert await client.register_all({"u": COMPATIBLE, "s": ONE}) == {"s": first["s"], "u": first["u"]}
        assert await client.schema(first["s"]) == ONE


async def test_new_subjects_are_fully_compatible_for_ever_and_known_ones_are_left(registry: DevRegistry) -> None:
    async with Registry(registry.url) as client, aiohttp.ClientSession() as operator:
        await client.register_all({"s": ONE})
        address = f"{registry.url}/config/s"
        async with operator.get(address) as answer:
            assert (await answer.json(content_type=None))["compatibilityLevel"] == "FULL_TRANSITIVE"
        async with operator.put(address, json={"compatibility": "NONE"}) as answer:
            assert answer.status == 200
        await client.register_all({"s": INCOMPATIBLE})


async def test_an_incompatible_schema_is_refused_with_the_registrys_words(registry: DevRegistry) -> None:
    async with Registry(registry.url) as client:
        await client.register_all({"s": ONE})
        assert await client.incompatible("s", COMPATIBLE) == []
        assert await client.incompatible("unknown", INCOMPATIBLE) == []
        (*_, words) = await client.incompatible("s", INCOMPATIBLE)
        assert words
        with pytest.raises(KafkaUnusable, match=r"refuses a schema as incompatible \(/subjects/s/versions\): .+"):
            await client.register_all({"s": INCOMPATIBLE, "t": ONE})


async def test_every_schema_of_the_bridge_is_accepted(registry: DevRegistry) -> None:
    settings = load(overrides={"registry": {"url": registry.url}})
    framing = await parts.framing(settings)
    assert isinstance(framing, Confluent)
    assert set(framing.ids) == set(parts.subjects(settings))
    remembered = parts.key_framing(settings, framing)
    assert remembered.framing == "registry"
    assert set(remembered.key_schemas) == set(CATALOGUE)
    assert (await parts.framing(settings)) == framing


@pytest.mark.parametrize("name", sorted(CATALOGUE)[:5])
async def test_released_versions_can_follow_each_other(registry: DevRegistry, name: str) -> None:
    async with Registry(registry.url) as client:
        versions = [schemas.envelope_schema(name, version) for version in (*schemas.released_versions(), None)]
        found = [(await client.register_all({"s": schema}))["s"] for schema in versions]
        assert found == sorted(found), "each is newer than the one before, or the same"
        assert len(set(found)) == len({json.dumps(schema) for schema in versions})


async def test_trouble_that_passes_is_waited_out(registry: DevRegistry) -> None:
    registry.fail_next(503, 1)
    registry.fail_next(429, 1)
    async with Registry(registry.url) as client:
        assert set(await client.register_all({"s": ONE})) == {"s"}


async def test_trouble_that_lasts_is_told(registry: DevRegistry) -> None:
    registry.fail_next(500, 3)
    async with Registry(registry.url) as client:
        with pytest.raises(KafkaUnavailable, match=r"is in trouble \(500\): A fault that was asked for"):
            await client.register_all({"s": ONE})


async def test_no_registry_is_unavailable_with_its_address(unused_tcp_port: int) -> None:
    address = f"http://127.0.0.1:{unused_tcp_port}"
    async with Registry(address) as client:
        with pytest.raises(KafkaUnavailable, match=f"the schema registry at {address} does not answer.*registry.url"):
            await client.register_all({"s": ONE})


async def test_a_refused_login_names_the_settings_and_not_the_password(registry: DevRegistry) -> None:
    registry.fail_next(401)
    client = Registry(registry.url, auth=("me", "s3cret"))
    assert "s3cret" not in repr(client)
    async with client:
        with pytest.raises(KafkaUnusable, match=r"refuses us \(401\); check registry.username and") as refused:
            await client.register_all({"s": ONE})
    assert "s3cret" not in str(refused.value)


async def test_an_unknown_id_is_told(registry: DevRegistry) -> None:
    async with Registry(registry.url) as client:
        with pytest.raises(KafkaUnusable, match=r"refuses /schemas/ids/4711 \(404\)"):
            await client.schema(4711)


@pytest.mark.parametrize("answer", ["<html>Welcome</html>", '{"status": "ok"}', "[]", "5", "null"])
async def test_something_else_at_the_address_is_told_as_such(answer: str) -> None:
    async def welcome(_: web.Request) -> web.Response:
        return web.Response(text=answer)

    app = web.Application()
    app.router.add_route("*", "/{any:.*}", welcome)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        async with Registry(f"http://127.0.0.1:{runner.addresses[0][1]}") as client:
            with pytest.raises(KafkaUnusable, match=r"check registry\.url"):
                await client.register_all({"s": ONE})
    finally:
        await runner.cleanup()
