"""Latency as a consumer sees it: from the time in the event, which the simulator writes when it sends, to the poll."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from bridge.devkit.stage import Stage
from tests.bench.rig import TYPES

_CONNECTOR = b"\x12tradovate"


class Probe:
    """A `read_committed` consumer that polls all the time while the block runs.

    Args:
        shards: only of so many, and of these only the first type of the load; None for all of all.

    It finds `source.ts_ms` in the bytes (it follows version, connector, name and environment), so that reading costs
    little and does not disturb what it measures.
    """

    def __init__(self, stage: Stage, shards: int | None = None) -> None:
        self._stage, self._shards = stage, shards or stage.plan.shards
        self._types = TYPES if shards is None else TYPES[:1]
        self._seen: list[tuple[float, bytes]] = []
        self._consumer: Any = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin at the present ends."""
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=self._stage.kafka.bootstrap_servers,
            isolation_level="read_committed",
            enable_auto_commit=False,
            fetch_max_wait_ms=100,
        )
        await self._consumer.start()
        topics, shards = [f"{self._stage.prefix}.{name}" for name in self._types], range(self._shards)
        partitions = [TopicPartition(topic, shard) for topic in topics for shard in shards]
        self._consumer.assign(partitions)
        await self._consumer.seek_to_end(*partitions)
        self._task = asyncio.create_task(self._poll())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop polling."""
        if self._task is not None:
            self._task.cancel()
        await self._consumer.stop()

    async def latencies_ms(self, events: int) -> list[float]:
        """Wait until all that it follows of so many events has been read, then say how long each took."""
        expected = events * self._shards * len(self._types) // (self._stage.plan.shards * len(TYPES))
        async with asyncio.timeout(30):
            while len(self._seen) < expected:  # noqa: ASYNC110 - the consumer tells nobody
                await asyncio.sleep(0.05)
        return [at_ms - _sent_ms(value) for at_ms, value in self._seen]

    async def _poll(self) -> None:
        while True:
            found = await self._consumer.getmany(timeout_ms=100)
            now_ms = time.time_ns() / 1e6
            self._seen += [(now_ms, m.value) for messages in found.values() for m in messages if m.value]


def with_time(value: bytes, at_ms: int) -> bytes:
    """The record with another time in it; times of our age take the same room."""
    at, _ = _time(value)
    number, written = at_ms << 1, bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return value[:at] + written + value[at + len(written) :]


def _sent_ms(value: bytes) -> int:
    return _time(value)[1]


def _time(value: bytes) -> tuple[int, int]:
    """Where `source.ts_ms` stands, and what it is (an Avro long): behind connector, name and environment."""
    begin = value.index(_CONNECTOR) + len(_CONNECTOR)
    for _ in range(2):
        begin += 1 + (value[begin] >> 1)  # a short string: its length takes one byte
    number, shift, at = 0, 0, begin
    while True:
        byte = value[at]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return begin, (number >> 1) ^ -(number & 1)
        at, shift = at + 1, shift + 7
