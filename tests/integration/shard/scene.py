"""What whole shards did on a real Kafka, and a network in front of it that loses requests."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

import fastavro

from bridge.config import Settings
from bridge.entities import schemas
from bridge.errors import OutcomeUnknown
from bridge.kafka.envelope import Archived, Records
from bridge.kafka.shardlog import ShardLog
from bridge.kafka.statelog import HEAD_ID, Head, KeyFraming, OnEntity, Restored, read_key, read_value
from bridge.shard.ports import Log
from tests.integration.reading import read_topics


class Trouble:
    """The real log (`shard.ports.Log`) behind a network that loses requests, or answers, when told to."""

    def __init__(self, log: ShardLog, faults: dict[int, str]) -> None:
        self.fencing = log.fencing
        self.commits = 0
        self._log, self._faults = log, faults

    async def start(self) -> None:
        await self._log.start()

    async def read_framing(self) -> KeyFraming | None:
        return await self._log.read_framing()

    async def check(self) -> None:
        await self._log.check()

    async def read_head(self) -> Restored:
        return await self._log.read_head()

    async def restore(self, on_entity: OnEntity) -> Restored:
        return await self._log.restore(on_entity)

    async def ends(self) -> dict[str, int]:
        return await self._log.ends()

    async def commit(
        self, batches: Mapping[str, Records], timestamp_ms: int, archived: Mapping[str, Archived] | None = None
    ) -> None:
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
