"""Killed under load and started again at once: what stays wrong? The bridge, and two straightforward programs."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from bridge.entities.schemas import value_schema
from bridge.kafka.names import TopicNames
from bridge.oracle.content import canonical, wire_form
from bridge.oracle.decode import Decoder
from tests.integration.bridge.scene import Bridge, Scene, until
from tests.integration.reading import read_topics
from tests.scenarios.churn import TYPES, Churn
from tests.scenarios.common import MOST_S, Ends, accounts, judged, scene, state
from tests.scenarios.gaps import bounds, right
from tests.scenarios.registry import Figures, Ground, scenario

SHARDS = 4
PEERS = ("awaited", "pipelined")


@dataclass(frozen=True, slots=True)
class Size:
    """The world, and for how long it changes before the kill and after everybody is back."""

    accounts: int
    entities: int
    rate: float
    before_s: float
    after_s: float
    rest_s: float


FULL, SMALL = Size(400, 17_200, 2_000, 10.0, 5.0, 3.0), Size(20, 300, 200, 1.0, 0.5, 1.0)


@scenario(
    "away",
    "Kill the bridge, and two straightforward programs, under 2,000 events/s; start them again at once",
    minutes=3,
    paced=True,
)
async def play(ground: Ground) -> Figures:
    """Of the bridge no final state may be wrong or absent, nothing is repeated, and one gap a shard is told of."""
    if ground.small:
        found = list(await asyncio.gather(of_bridge(ground, SMALL), of_peer(ground, SMALL, "awaited")))
    else:  # one after the other: together they would keep each other waiting
        found = [await of_bridge(ground, FULL), *[await of_peer(ground, FULL, name) for name in PEERS]]
    return {name: figure for some in found for name, figure in some.items()}


async def of_bridge(ground: Ground, size: Size) -> dict[str, Any]:
    async with scene(ground, shards=SHARDS, accounts=size.accounts, name="bridge", registry=True) as made:

        async def settled(bridge: Bridge) -> None:
            await (await bridge.ready()).drained()

        async with changing(made, size) as churn:
            figures = await away(made, churn, size, "bridge", settled)
        await judged(made, exact=not ground.small)
        figures |= await compared(made)
        gaps = await bounds(made)
    assert sorted(gap.shard for gap in gaps) == list(range(SHARDS)), gaps
    assert figures["wrong"] == figures["repeated"] == 0, figures
    return figures | right(gaps, exact=not ground.small)


async def of_peer(ground: Ground, size: Size, name: str) -> dict[str, Any]:
    async with scene(ground, shards=SHARDS, accounts=size.accounts, name=name, registry=True) as made:
        topics = [TopicNames(made.prefix).entity(name) for name in TYPES]
        async with changing(made, size) as churn, Ends(made, topics) as ends:

            async def settled(_: Bridge) -> None:
                await ends.rest(size.rest_s)
                await until(lambda: caught_up(made), "what is there is as it should be", MOST_S)

            figures = await away(made, churn, size, f"tests.bench.peers.{name}", settled)
        figures |= await compared(made)
    assert figures["repeated"], "it publishes whole snapshots"
    return {f"{name}_{key}": figure for key, figure in figures.items()}


@asynccontextmanager
async def changing(made: Scene, size: Size) -> AsyncIterator[Churn]:
    """Topics, and the world as it is before anything happens."""
    await made.create_topics()
    async with Churn(made, await accounts(made), size.entities) as churn:
        yield churn


async def away(
    made: Scene, churn: Churn, size: Size, module: str, settled: Callable[[Bridge], Awaitable[None]]
) -> dict[str, Any]:
    """Kill a program under load and start it again; returns when all has come to rest."""
    first = made.start(module=module)
    await synced(made, 0)
    await settled(first)
    churn.go(size.rate)
    await asyncio.sleep(size.before_s)
    first.process.check()
    await first.process.child.kill()
    assert first.process.child.returncode == -9, "it was killed, and did not end by itself"
    began_us = time.time_ns() // 1000
    second = made.start(module=module)
    back_s = await synced(made, began_us) - began_us / 1e6
    await asyncio.sleep(size.after_s)
    await churn.stop()
    await made.control("POST", "pause", {})
    await settled(second)
    second.process.check()
    return {"start_to_four_sockets_s": round(back_s, 2), "events": churn.events}


async def caught_up(made: Scene) -> bool:
    """Whether nothing is absent or outdated; what should have been deleted may be there for ever."""
    found = await compared(made)
    return bool(found["wrong"] == found.get("not_deleted", 0))


async def synced(made: Scene, since_us: int) -> float:
    """Wait until every shard has a socket that synced since then; when the last of them did, in seconds since 1970."""

    async def look() -> list[int]:
        found = {s["remainder"]: s["synced_us"] for s in await made.sessions() if s["synced_us"] >= since_us}
        return list(found.values()) if len(found) == SHARDS else []

    return float(max(await until(look, "all sockets are synced"))) / 1e6


async def compared(made: Scene) -> dict[str, Any]:
    """The entities of all accounts as the topics leave them, beside the simulated world."""
    truth = {(x["type"], x["id"]): canonical(x["entity"]) for x in await state(made) if x["account"] is not None}
    decoder = Decoder(made.stage.registry_url)
    names = {f"{made.prefix}.{name}": name for name in {name for name, _ in truth} | set(TYPES)}
    found: dict[tuple[str, int], bytes] = {}
    repeated = 0
    for record in await read_topics(made.bootstrap, *names):
        name = names[record.topic]
        key = name, (await decoder.value(record.key))["id"]
        value = None if record.value is None else await decoder.value(record.value)
        body = value["after"] if value and "op" in value else value
        if body is None:
            found.pop(key, None)
            continue
        content = canonical(wire_form(body, value_schema(name)))
        repeated += found.get(key) == content
        found[key] = content
    wrong = Counter(_how(truth.get(key), found.get(key)) for key in truth.keys() | found.keys())
    del wrong["right"]
    return {
        "entities": len(truth),
        "wrong": wrong.total(),
        "wrong_percent": round(100 * wrong.total() / len(truth), 2),
        **dict(wrong),
        "repeated": repeated,
    }


def _how(true: bytes | None, told: bytes | None) -> str:
    if true == told:
        return "right"
    return "absent" if told is None else "not_deleted" if true is None else "outdated"
