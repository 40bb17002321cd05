"""What the scenarios of restarts share: the stage, the accounts, where topics end, whether a transaction is open."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition

from bridge.devkit.stage import Plan
from bridge.kafka.names import TopicNames
from bridge.oracle.expectation import Rules
from bridge.oracle.reader import Follower
from bridge.oracle.report import Report
from bridge.oracle.verify import verify
from tests.integration.bridge.scene import QUICK, Scene
from tests.scenarios.registry import Ground

MOST_S = 300.0
LATE_S = 30.0
UNREAD_US = 20_000_000


def scene(ground: Ground, *, shards: int, accounts: int, name: str = "", registry: bool = False) -> Scene:
    """A scene whose bridges share one token in a file and judge soon what is missing; `name` tells several apart."""
    folder = ground.folder / name if name else ground.folder
    folder.mkdir(exist_ok=True)
    settings = {
        **QUICK, "snapshot.delete_quiet_s": "1", "snapshot.delete_share": "1", "source.token_path": f"{folder}/token",
    }  # fmt: skip
    return Scene(
        Plan(
            shards=shards, registry=registry, folder=folder, kafka=ground.kafka,
            prefix=f"{ground.prefix}.{name}" if name else ground.prefix,
            simulator={"accounts": str(accounts), "deletes": "0"}, settings=settings,
        )
    )  # fmt: skip


async def state(made: Scene) -> list[dict[str, Any]]:
    """What is alive in the simulated world, as its ledger tells it."""
    url = f"{made.stage.control_url}/ledger/state"
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        return [orjson.loads(line) for line in (await answer.read()).splitlines()]


async def accounts(made: Scene) -> list[int]:
    """The accounts of the world."""
    return [line["id"] for line in await state(made) if line["type"] == "account"]


class Ends:
    """Async context manager that knows where the partitions of some topics end, for who reads only what is committed
    and for who reads all: while a transaction is open these differ.
    """

    def __init__(self, made: Scene, topics: list[str]) -> None:
        shards = range(made.stage.plan.shards)
        self._partitions = [TopicPartition(topic, shard) for topic in topics for shard in shards]
        self._committed, self._written = (
            AIOKafkaConsumer(bootstrap_servers=made.bootstrap, isolation_level=level, enable_auto_commit=False)
            for level in ("read_committed", "read_uncommitted")
        )

    async def __aenter__(self) -> Self:
        for consumer in (self._committed, self._written):
            await consumer.start()
            consumer.assign(self._partitions)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for consumer in (self._committed, self._written):
            await consumer.stop()

    async def committed(self) -> Mapping[Any, int]:
        """The offset after the last one that can be read, by partition."""
        found: Mapping[Any, int] = await self._committed.end_offsets(self._partitions)
        return found

    async def pending(self) -> list[int]:
        """The shards that have an open transaction; only true of writers that stand still."""
        written: Mapping[Any, int] = await self._written.end_offsets(self._partitions)
        committed = await self.committed()
        return sorted({place.partition for place, end in written.items() if end > committed[place]})

    async def rest(self, seconds: float) -> None:
        """Wait until something can be read in every partition, and nothing new for so long."""
        last, since = await self.committed(), time.monotonic()
        deadline = since + MOST_S
        while time.monotonic() - since < seconds:
            assert time.monotonic() < deadline, "it never comes to rest"
            await asyncio.sleep(0.2)
            now = await self.committed()
            if now != last or not all(now.values()):
                last, since = now, time.monotonic()


def of_state(made: Scene) -> Ends:
    """Of the state topic, to which every transaction writes."""
    return Ends(made, [TopicNames(made.prefix).state])


async def judged(made: Scene, follower: Follower | None = None, *, exact: bool) -> Report:
    """The verdict must be good, if need be after a while, and what vanished must be gone.

    If `exact`, whatever was sent before a gap that has been told must be there, however soon its socket ended. A bridge
    that is kept waiting by a slow machine may not have read it.
    """
    unread_us = 0 if exact else UNREAD_US
    rules = Rules(
        made.stage.plan.shards, uncertain_us=unread_us, uncertain_clean_us=unread_us, announce_us=0, delete_quiet_us=0
    )
    deadline = time.monotonic() + LATE_S
    while True:
        report = await verify(
            made.bootstrap, made.prefix, made.stage.control_url, made.stage.registry_url, rules=rules, follower=follower
        )
        if report.ok:
            return report
        assert time.monotonic() < deadline, [report.wrong, *report.offences[:5]]
        await asyncio.sleep(0.5)
