"""Kafka is away until memory is full, then the spool, and then until the disk under it fails."""

from __future__ import annotations

import resource
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from bridge.devkit.stage import Plan
from tests.integration.bridge.scene import QUICK, Bridge, Scene
from tests.integration.middleman import Middleman
from tests.scenarios.common import accounts
from tests.scenarios.registry import Figures, Ground, scenario
from tests.scenarios.trouble import MOST_MB, peak_mb

TYPE = "order"
FIRST = 30_000_000
"""Ids of the entities begin here."""
EACH = 4
"""Entities of an account: few, so that snapshots stay small."""
TEXT = "x" * 4000
DISK_BYTES = 128 * 1024
"""What a file of the bridge may grow to when the disk is full; its log is smaller, a block of the spool is not."""
MOST_S = 120.0


@dataclass(frozen=True, slots=True)
class Size:
    """How many shards and accounts (with few one shard has most of them), what may wait for each shard, and how many
    events are sent before it is looked whether they came.
    """

    shards: int
    accounts: int
    memory_mb: int
    spool_mb: int
    at_once: int


FULL, SMALL = Size(2, 60, 8, 64, 250), Size(1, 8, 1, 4, 50)


@scenario("spool", "Keep Kafka away until frames go to disk, until the disk is full, and until it fails", minutes=3)
async def play(ground: Ground) -> Figures:
    """On disk nothing is lost. At the limit the session is given up and that is said; the end is right all the same."""
    size = SMALL if ground.small else FULL
    async with (
        Middleman(ground.kafka.bootstrap_servers) as middleman,
        stage(ground, size, middleman.bootstrap_servers) as made,
    ):
        await made.create_topics()
        bridge = await made.start().ready()
        flood = Flood(made, bridge, await accounts(made), size.at_once)
        found: dict[str, Any] = {}
        enough = size.spool_mb * 2**20 // 4
        async with away(bridge, middleman) as at_most:
            await flood.until(lambda: spooled(bridge, enough, at_most))
        assert all(s["sessions"] == 1 and not s["lost"] for s in await bridge.shards()), "nothing was to be lost"
        await made.judged_ok()
        found |= {"spooled_kb": at_most.bytes // 1024, "back_s": at_most.back_s}

        async with away(bridge, middleman) as at_most:
            await flood.until(lambda: given_up(bridge, 1, at_most))
        assert not bridge.log("spool_failed")
        found |= {"full_at_kb": at_most.bytes // 1024, "dropped": dropped(bridge)}
        await bridge.live(2)

        async with away(bridge, middleman), disk_full(bridge):
            await flood.until(lambda: given_up(bridge, 2, at_most))
            await bridge.logged("spool_failed", size.shards)
        await bridge.live(3)
        await made.calm(bridge)
        report = await made.judged_ok()
        gaps = [gap for gap in await made.announced_gaps() if gap[2] > gap[1]]
        assert len(gaps) >= 2 * size.shards, gaps
        assert peak_mb(bridge) < MOST_MB
        return {
            **found, "dropped_in_all": dropped(bridge), "events": flood.events, "envelopes": report.records_committed,
            "gaps": len(gaps), "peak_memory_mb": peak_mb(bridge),
        }  # fmt: skip


def stage(ground: Ground, size: Size, bootstrap_servers: str) -> Scene:
    folder = ground.folder / "spool"
    folder.mkdir()
    settings = {
        **QUICK, "kafka.bootstrap_servers": bootstrap_servers, "pressure.spool_path": str(folder),
        "pressure.memory_mb": str(size.memory_mb), "pressure.spool_mb": str(size.spool_mb),
        # Reading does not pause below the limit of memory, but once, when the next transaction is full.
        "pressure.high_water_kb": str(size.memory_mb * 1024), "snapshot.delete_quiet_s": "1", "audit.interval_s": "0",
    }  # fmt: skip
    return Scene(
        Plan(
            shards=size.shards, registry=False, folder=ground.folder, kafka=ground.kafka, prefix=ground.prefix,
            simulator={"accounts": str(size.accounts), "deletes": "0"}, settings=settings,
        )
    )  # fmt: skip


class Flood:
    """Large events for every shard, a few of each entity in turn; some when those before have arrived.

    Attributes:
        events: how many there have been.
    """

    def __init__(self, made: Scene, bridge: Bridge, owners: list[int], at_once: int) -> None:
        self.events = 0
        self._made, self._bridge, self._owners, self._at_once = made, bridge, owners, at_once

    async def until(self, reached: Callable[[], Awaitable[bool]]) -> None:
        """Let things happen until it is so."""
        deadline, arrived = time.monotonic() + MOST_S, -1
        while not await reached():
            assert time.monotonic() < deadline, "the flood has no end"
            if arrived != (arrived := await self._arrived()):
                frames = [[self._event()] for _ in range(self._at_once)]
                await self._made.control("POST", "inject", {"frames": frames})

    async def _arrived(self) -> int:
        return sum(s["waiting_bytes"] + s["spooled_bytes"] for s in await self._bridge.shards())

    def _event(self) -> dict[str, Any]:
        number = self.events % (EACH * len(self._owners))
        self.events += 1
        owner = self._owners[number % len(self._owners)]
        entity = {"id": FIRST + number, "accountId": owner, "ordStatus": "Working", "text": f"{self.events}{TEXT}"}
        created = self.events <= EACH * len(self._owners)
        return {"entityType": TYPE, "eventType": "Created" if created else "Updated", "entity": entity}


@dataclass(slots=True)
class Most:
    """The most that was seen in the spools of all shards, bytes; and seconds until nothing waited any more."""

    bytes: int = 0
    back_s: float = 0.0

    def see(self, shards: list[dict[str, Any]]) -> None:
        self.bytes = max(self.bytes, sum(s["spooled_bytes"] for s in shards))


@asynccontextmanager
async def away(bridge: Bridge, middleman: Middleman) -> AsyncIterator[Most]:
    """Kafka answers nothing meanwhile; afterwards everything is written."""
    before = middleman.happened["held"]
    most = Most()
    middleman.hold()
    try:
        yield most
    finally:
        middleman.go_on()
    assert middleman.happened["held"] > before
    began = time.monotonic()
    await bridge.drained()
    most.back_s = round(time.monotonic() - began - 1.0, 1)
    assert not any(s["spooled_bytes"] for s in await bridge.shards())


@asynccontextmanager
async def disk_full(bridge: Bridge) -> AsyncIterator[None]:
    """No file of the bridge can grow beyond some size: to whoever writes it looks like a full disk."""
    before = resource.prlimit(bridge.process.child.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(bridge.process.child.pid, resource.RLIMIT_FSIZE, (DISK_BYTES, before[1]))
    assert bridge.process.log.stat().st_size < DISK_BYTES / 2
    try:
        yield
    finally:
        resource.prlimit(bridge.process.child.pid, resource.RLIMIT_FSIZE, before)


async def spooled(bridge: Bridge, enough: int, most: Most) -> bool:
    """Whether each shard has so much on disk."""
    shards = await bridge.shards()
    most.see(shards)
    return all(s["spooled_bytes"] > enough for s in shards)


async def given_up(bridge: Bridge, times: int, most: Most) -> bool:
    """Whether each shard has given so many sessions up."""
    shards = await bridge.shards()
    most.see(shards)
    return all(s["lost"].get("overflow", 0) >= times for s in shards)


def dropped(bridge: Bridge) -> int:
    return sum(line["dropped_frames"] for line in bridge.log("session_given_up"))
