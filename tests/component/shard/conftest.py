"""Instances on a partition in memory."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from typing import Any

import fastavro
import pytest

from bridge.app import cluster as parts
from bridge.app import shards
from bridge.config import Settings
from bridge.kafka.framing import SingleObject
from bridge.shard import claim, runner
from tests.component.shard.instance import Instance, framed, settings_of
from tests.component.shard.partition import Partition, PartitionLog

Start = Callable[..., tuple[Instance, PartitionLog]]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim, "LOOK_AGAIN_S", 0.05)
    monkeypatch.setattr(runner, "FENCE_PATIENCE_S", 0.05)


@pytest.fixture
def settings() -> Settings:
    return settings_of("127.0.0.1:1", "p", "exactly_once")


@pytest.fixture
def partition(settings: Settings) -> Partition:
    return Partition(parts.names(settings).state)


@pytest.fixture
async def start(settings: Settings, partition: Partition, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Start]:
    """Starts instances on the partition, and ends those that a failed test has left running."""
    started: list[Instance] = []

    def one(framing: Any = None, *, settings: Settings = settings) -> tuple[Instance, PartitionLog]:
        log = PartitionLog(partition)
        monkeypatch.setattr(shards, "ShardLog", lambda *_, **__: log)
        started.append(Instance(settings, framing or framed(SingleObject())))
        return started[-1], log

    yield one
    for instance in started:
        instance.task.cancel()
    await asyncio.gather(*(instance.task for instance in started), return_exceptions=True)


def decoded(partition: Partition, topic: str, schema: dict[str, Any]) -> list[Any]:
    """The values of a topic, tombstones left out."""
    parsed = fastavro.parse_schema(schema)
    records = partition.topics.get(f"p.{topic}", ())
    return [fastavro.schemaless_reader(io.BytesIO(v[10:]), parsed, None) for _, v in records if v is not None]
