"""Whole shards on a real Kafka, fed by a broker that says what the test tells it to."""

from __future__ import annotations

import asyncio
import io
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import fastavro
import orjson

from bridge.app import cluster as parts
from bridge.app.reading import frame_reader
from bridge.app.shards import Shared, build
from bridge.config import Settings, load
from bridge.entities import schemas
from bridge.errors import OutcomeUnknown, SessionLost
from bridge.kafka.envelope import Archived, Batches
from bridge.kafka.framing import Framing
from bridge.kafka.restore import OnEntity, Restored
from bridge.kafka.shardlog import ShardLog
from bridge.kafka.statelog import HEAD_ID, Head, read_key, read_value
from bridge.shard.ports import Listener, Log
from bridge.shard.runner import Runner
from tests.integration.reading import read_topics

WAIT_S = 90.0


class Desk:
    """A broker (`shard.ports.Source`) and its only conversation at a time: plays what it is given, in order."""

    def __init__(self) -> None:
        self.conversations = 0
        self._waiting: deque[Callable[[Listener], None]] = deque()
        self._more = asyncio.Event()

    def live(self, *entities: dict[str, Any], event: str = "Updated") -> None:
        for entity in entities:
            self._frame({"e": "props", "d": {"entityType": "order", "eventType": event, "entity": entity}})

    def snapshot(self, *entities: dict[str, Any]) -> None:
        self._frame({"i": 1, "s": 200, "d": {"orders": list(entities)}})
        self._put(lambda listener: listener.snapshot_completed({"orders": len(entities)}))

    def _frame(self, *messages: dict[str, Any]) -> None:
        raw = b"a" + orjson.dumps(messages)
        self._put(lambda listener: listener.data(raw, frame_reader().messages(raw, False), 1_772_366_400_000_000))

    def _put(self, act: Callable[[Listener], None]) -> None:
        self._waiting.append(act)
        self._more.set()

    def converse(self, listener: Listener) -> Talk:
        self.conversations += 1
        return Talk(self, listener)

    def delay(self, lost: SessionLost, useful: bool) -> float:  # noqa: ARG002 - never matters here
        return 0.01


class Talk:
    """One conversation (`shard.ports.Conversation`)."""

    heard_us = 1_772_366_400_000_000

    def __init__(self, desk: Desk, listener: Listener) -> None:
        self._desk, self._listener = desk, listener
        self._allowed, self._lost = asyncio.Event(), asyncio.Event()
        self._why = SessionLost("none")

    async def run(self) -> SessionLost:
        ended = asyncio.create_task(self._lost.wait())
        try:
            await asyncio.wait([ended, asyncio.create_task(self._allowed.wait())], return_when=asyncio.FIRST_COMPLETED)
            if not self._lost.is_set():
                self._listener.synced()
            while not self._lost.is_set():
                while self._desk._waiting:
                    self._desk._waiting.popleft()(self._listener)
                self._desk._more.clear()
                more = asyncio.create_task(self._desk._more.wait())
                await asyncio.wait([ended, more], return_when=asyncio.FIRST_COMPLETED)
                more.cancel()
        finally:
            ended.cancel()
            self._allowed.set()
        return self._why

    def allow_sync(self) -> None:
        self._allowed.set()

    def pause(self) -> None:
        """There is no socket to pause."""

    def resume(self) -> None:
        """Nor to resume."""

    def give_up(self, lost: SessionLost) -> None:
        self._why = lost
        self._lost.set()


class Trouble:
    """The real log (`shard.ports.Log`) behind a network that loses requests, or answers, when told to."""

    def __init__(self, log: ShardLog, faults: dict[int, str]) -> None:
        self.fencing = log.fencing
        self.commits = 0
        self._log, self._faults = log, faults

    async def start(self) -> None:
        await self._log.start()

    async def read_head(self) -> Restored:
        return await self._log.read_head()

    async def restore(self, on_entity: OnEntity) -> Restored:
        return await self._log.restore(on_entity)

    async def commit(self, batches: Batches, timestamp_ms: int, archived: Mapping[str, Archived] | None = None) -> None:
        self.commits += 1
        fault = self._faults.get(self.commits)
        if fault != "request lost":
            await self._log.commit(batches, timestamp_ms, archived)
        if fault is not None:
            await self._log.close()
            raise OutcomeUnknown(fault)

    async def close(self) -> None:
        await self._log.close()


def troubled(faults: dict[int, str]) -> Callable[..., Log]:
    """To stand in for `ShardLog`: the commits with these numbers come to grief."""

    def make(*positional: Any, **named: Any) -> Log:
        return Trouble(ShardLog(*positional, **named), faults)

    return make


def settings_of(bootstrap_servers: str, prefix: str, delivery: str) -> Settings:
    return load(
        overrides={
            "kafka": {
                "bootstrap_servers": bootstrap_servers,
                "topic_prefix": prefix,
                "delivery": delivery,
                "transaction_timeout_ms": 5000,
                "request_timeout_ms": 5000,
            },
            "sharding": {"divisor": 1},
        }
    )


class Instance:
    """One process' worth of shard 0, running until it is stopped or ends by itself."""

    def __init__(self, settings: Settings, framed: Framing) -> None:
        async def framing() -> Framing:
            return framed

        self.desk = Desk()
        shared = Shared(settings, parts.cluster(settings), frame_reader(), framing)
        self.name = shared.instance
        self.runner: Runner
        self.runner, _ = build(shared, 0, self.desk)
        self.task = asyncio.create_task(self.runner.run())

    async def until(self, reached: Callable[[], bool]) -> None:
        """Wait until something is so; what ends the shard before is raised."""
        async with asyncio.timeout(WAIT_S):
            while not reached():
                if self.task.done():
                    self.task.result()
                    raise AssertionError("the shard has ended")
                await asyncio.sleep(0.01)

    async def published(self, seq: int) -> None:
        await self.until(lambda: self.runner.stats.seq >= seq)

    async def stop(self) -> None:
        self.runner.stop()
        async with asyncio.timeout(WAIT_S):
            await self.task


def plain(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: plain(each) for key, each in node.items() if key != "logicalType"}
    return [plain(each) for each in node] if isinstance(node, list) else node


async def envelopes(settings: Settings) -> list[Mapping[str, Any]]:
    """All envelopes of the order topic, tombstones left out."""
    schema = fastavro.parse_schema(plain(schemas.envelope_schema("order")))
    records = await read_topics(settings.kafka.bootstrap_servers, f"{settings.prefix}.order")
    found = [fastavro.schemaless_reader(io.BytesIO(r.value[10:]), schema, None) for r in records if r.value is not None]
    return [each for each in found if isinstance(each, dict)]


async def heads(settings: Settings) -> list[Head]:
    """Every head that was ever committed, in log order."""
    records = await read_topics(settings.kafka.bootstrap_servers, f"{settings.prefix}.bridge.state")
    contents = [read_value(r.value) for r in records if r.value is not None and read_key(r.key) == ("", HEAD_ID)]
    return [each for each in contents if isinstance(each, Head)]
