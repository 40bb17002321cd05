"""Kafka is away at the start, killed and frozen: no socket is lost, nothing is lost, nothing is doubled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from bridge.devkit.kafka import EmbeddedKafka
from tests.integration.bridge.conftest import Make
from tests.integration.bridge.scene import Bridge, Scene, until

RATE = 200
STOP_LIMIT_S = 10.0
FROZEN_S = 15.0
"""Longer than the simulator's patience with a client that sends no heartbeats (10 s)."""


@pytest.fixture
async def own_kafka() -> AsyncIterator[EmbeddedKafka]:
    async with EmbeddedKafka() as broker:
        yield broker


@pytest.mark.timeout(480)  # three troubles in one bridge's life, each with waits of Kafka's own
async def test_kafka_away_killed_and_frozen(scene: Make, own_kafka: EmbeddedKafka) -> None:
    made = await scene(kafka=own_kafka)
    await own_kafka.kill()
    bridge = made.start()
    await bridge.logged("kafka_unavailable")
    await made.rate(RATE)
    await sockets_are_synced(made)
    assert (await bridge.answers("/livez"), await bridge.answers("/readyz")) == (200, 503)
    await own_kafka.restart()
    await bridge.ready()
    await it_goes_on_and_all_is_right(made, bridge)

    await own_kafka.kill()
    await made.step(50)
    await own_kafka.restart()
    await it_goes_on_and_all_is_right(made, bridge)

    own_kafka.pause()
    await asyncio.sleep(FROZEN_S)
    assert await bridge.answers("/livez") == 200
    assert all(s["waiting_bytes"] > 0 for s in await bridge.shards())
    own_kafka.resume()
    await it_goes_on_and_all_is_right(made, bridge)

    ended = [s for s in await made.sessions() if s["ended_us"]]
    assert not ended, (
        [(s["remainder"], s["end"], s["ended_us"], s["synced_us"]) for s in ended],
        bridge.log("session_given_up"),
        bridge.log("session_ended"),
    )
    own_kafka.pause()
    status, seconds = await bridge.stop()
    own_kafka.resume()
    assert (status, seconds < STOP_LIMIT_S) == (4, True)
    assert "could not write what was left" in bridge.process.tail()


async def sockets_are_synced(made: Scene) -> None:
    """The sockets wait for Kafka only so long: then the history begins without it."""

    async def look() -> bool:
        return len(await made.sessions()) == 2

    await until(look, "two sockets have synced")


async def it_goes_on_and_all_is_right(made: Scene, bridge: Bridge) -> None:
    """Commits go on under load; then everything that was ever sent is there once. Ends under load again."""
    before = [s["seq"] for s in await bridge.shards()]

    async def look() -> bool:
        return all(s["seq"] > seq + 50 for s, seq in zip(await bridge.shards(), before, strict=True))

    await until(look, f"commits go on\n{bridge.process.tail()}")
    await made.calm(bridge)
    await made.judged_ok()
    await made.rate(RATE)
