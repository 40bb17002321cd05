"""Kafka is killed, frozen, unreachable and slow under load, and a partition's leader dies."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from bridge.devkit.kafka import EmbeddedKafka
from bridge.devkit.stage import Plan
from bridge.kafka import topics
from bridge.kafka.client import Cluster
from bridge.kafka.names import TopicNames
from bridge.kafka.plan import wanted
from tests.integration.bridge.scene import QUICK, Bridge, Scene, until
from tests.integration.middleman import Middleman
from tests.scenarios.registry import Figures, Ground, scenario

SHARDS, ACCOUNTS = 2, 40
HEARTBEAT_S, LATE_S = 2.5, 0.5
MOST_MB = 300
SLOW_S = 0.5
"""Of every answer to what a broker has to write: as if each flush took so long."""

Trouble = Callable[[], AbstractAsyncContextManager[None]]


@dataclass(frozen=True, slots=True)
class Size:
    """How much happens, and how long each trouble lasts."""

    rate: float
    trouble_s: float


FULL, SMALL = Size(500, 120.0), Size(100, 1.5)


@scenario(
    "kafka-away",
    "Keep Kafka from the bridge for two minutes at 500 events/s: killed, frozen, refused, slow",
    minutes=10,
    paced=True,
)
async def play(ground: Ground) -> Figures:
    """No socket, no syncrequest, no heartbeat and no event may be lost by it, and memory stays bounded."""
    size = SMALL if ground.small else FULL
    async with AsyncExitStack() as stack:
        kafka = ground.kafka if ground.small else await stack.enter_async_context(EmbeddedKafka())
        middleman = await stack.enter_async_context(Middleman(kafka.bootstrap_servers))
        made = await stack.enter_async_context(stage(ground, kafka, middleman.bootstrap_servers))
        await made.create_topics()
        bridge = await made.start().ready()
        found: dict[str, Any] = {}
        for name, trouble in troubles(kafka, middleman, everything=not ground.small).items():
            found |= await through(made, bridge, name, trouble, size)
            if not ground.small:
                await made.judged_ok()
        return {**found, **await unharmed(made, bridge, exact=not ground.small)}


def stage(ground: Ground, kafka: EmbeddedKafka, bootstrap_servers: str) -> Scene:
    settings = {**QUICK, "kafka.bootstrap_servers": bootstrap_servers, "audit.interval_s": "0"}  # an audit syncs too
    simulator = {"accounts": str(ACCOUNTS)}
    return Scene(
        Plan(
            shards=SHARDS, registry=False, folder=ground.folder, kafka=kafka, prefix=ground.prefix,
            simulator=simulator, settings=settings,
        )
    )  # fmt: skip


def troubles(kafka: EmbeddedKafka, middleman: Middleman, *, everything: bool) -> dict[str, Trouble]:
    """By name; a broker that others use is neither killed nor stopped."""

    @asynccontextmanager
    async def killed() -> AsyncIterator[None]:
        before = kafka.pids
        await kafka.kill()
        yield
        await kafka.restart()
        assert kafka.pids != before

    @asynccontextmanager
    async def frozen() -> AsyncIterator[None]:
        kafka.pause()
        (pid,) = kafka.pids.values()
        await until(lambda: stands_still(pid), "all threads of Kafka stand still")
        yield
        kafka.resume()

    @asynccontextmanager
    async def held() -> AsyncIterator[None]:
        middleman.hold()
        yield
        middleman.go_on()
        assert middleman.happened["held"]

    @asynccontextmanager
    async def refused() -> AsyncIterator[None]:
        await middleman.refuse()
        yield
        await middleman.accept()
        assert middleman.happened["refused"]

    @asynccontextmanager
    async def slow() -> AsyncIterator[None]:
        middleman.delay_s = SLOW_S
        yield
        middleman.delay_s = 0.0
        assert middleman.happened["delayed"]

    if everything:
        return {"killed": killed, "frozen": frozen, "refused": refused, "slow": slow}
    return {"held": held, "refused": refused, "slow": slow}


async def through(made: Scene, bridge: Bridge, name: str, trouble: Trouble, size: Size) -> dict[str, Any]:
    """One trouble under load, until everything is committed."""
    await made.rate(size.rate)
    before = sum(s["events"] for s in await bridge.shards())
    await until(lambda: more(bridge, before), "events are committed")
    async with trouble():
        await asyncio.sleep(size.trouble_s)
        if name != "slow":
            await until(lambda: waiting(bridge), "something waits for Kafka in each shard")
        last = await bridge.shards()
    began = time.monotonic()
    await until(lambda: more(bridge, sum(s["events"] for s in last)), "commits go on", 2 * size.trouble_s + 120)
    going_on_s = time.monotonic() - began
    await made.calm(bridge)
    return {
        f"{name}_most_waiting_kb": max(s["waiting_bytes"] for s in last) // 1024,
        f"{name}_first_commit_s": round(going_on_s, 1),
        f"{name}_caught_up_s": round(time.monotonic() - began, 1),
    }


async def more(bridge: Bridge, events: int) -> bool:
    return bool(sum(s["events"] for s in await bridge.shards()) > events)


async def waiting(bridge: Bridge) -> bool:
    return all(s["waiting_bytes"] for s in await bridge.shards())


async def unharmed(made: Scene, bridge: Bridge, *, exact: bool) -> dict[str, Any]:
    """What must be true of the whole run, troubles and all."""
    bridge.process.check()
    report = await made.judged_ok()
    sessions = await made.sessions()
    assert len(sessions) == SHARDS, "a syncrequest was spent"
    assert not [s for s in sessions if s["ended_us"]], "a socket was lost"
    assert all(s["sessions"] == 1 and not s["lost"] for s in await bridge.shards())
    assert not bridge.log("session_given_up")
    late_s = max(s["longest_pause_us"] for s in sessions) / 1e6 - HEARTBEAT_S
    if exact:
        assert late_s <= LATE_S, f"a heartbeat was late by {late_s:.2f} s"
    memory_mb = peak_mb(bridge)
    assert memory_mb < MOST_MB
    return {
        "envelopes": report.records_committed,
        "unsettled_transactions": len(bridge.log("transaction_unsettled")),
        "heartbeats": sum(s["heartbeats"] for s in sessions),
        "latest_heartbeat_ms": round(late_s * 1000),
        "peak_memory_mb": memory_mb,
    }


async def stands_still(pid: int) -> bool:
    """Whether a process has been stopped; its threads stop one after the other, some time after the signal."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(") ", 1)[1].startswith("T")


def peak_mb(bridge: Bridge) -> int:
    """The most memory that the process ever had (VmHWM), MiB."""
    status = Path(f"/proc/{bridge.process.child.pid}/status").read_text(encoding="utf-8")
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) // 1024


@scenario(
    "leader",
    "Kill the leader of a shard's partition in a cluster of three, under load",
    minutes=2,
    paced=True,
    small=False,
)
async def leader(ground: Ground) -> Figures:
    """Another takes over; nothing may be lost or repeated, and no socket."""
    async with EmbeddedKafka(nodes=3, heap_mb=384) as kafka, stage(ground, kafka, kafka.bootstrap_servers) as made:
        plan = wanted(TopicNames(made.prefix), SHARDS, 900 * 1024)
        await topics.apply(Cluster(kafka.bootstrap_servers), plan, 3)
        bridge = await made.start().ready()
        found: dict[str, Any] = {}
        for shard in range(SHARDS):
            await made.rate(FULL.rate)
            node = await leader_of(made, shard)
            await kafka.kill(node)
            assert node not in kafka.pids
            before = await bridge.shards()
            began = time.monotonic()
            await until(lambda: ahead(bridge, before), "every shard goes on", 120)  # noqa: B023 - awaited in this turn
            found[f"shard_{shard}_went_on_s"] = round(time.monotonic() - began, 1)
            assert await leader_of(made, shard) != node
            await kafka.restart(node)
            await made.calm(bridge)
            await made.judged_ok()
        return {**found, **await unharmed(made, bridge, exact=True)}


async def ahead(bridge: Bridge, before: list[dict[str, Any]]) -> bool:
    """Whether each shard has committed some hundred events more."""
    return all(now["seq"] > was["seq"] + 100 for now, was in zip(await bridge.shards(), before, strict=True))


async def leader_of(made: Scene, shard: int) -> int:
    """The node that leads the shard's partition of the state."""
    place = TopicPartition(TopicNames(made.prefix).state, shard)
    consumer = AIOKafkaConsumer(bootstrap_servers=made.bootstrap)
    await consumer.start()
    try:
        consumer.assign([place])
        await consumer.end_offsets([place])
        node: int = consumer._client.cluster.leader_for_partition(place)
    finally:
        await consumer.stop()
    return node
