"""Reads the entity topics: all at once to their end, or all the time while something runs."""

from __future__ import annotations

import asyncio
import time
from array import array
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from bridge.oracle.decode import Decoder
from bridge.oracle.records import Certificate, Gap, Mark, Record, Told
from bridge.oracle.schemas import UndecodableError

Place = tuple[str, int]
"""Topic and partition."""
MARK_S = 1.0
Broken = tuple[str, int, int, str]
"""What could not be decoded: topic, partition, offset, why."""


def entity_type_of(topic: str, prefix: str) -> str | None:
    """The entity type of a topic `<prefix>.<entityType>`; None for all other topics."""
    name = topic.removeprefix(prefix + ".")
    return name if name != topic and "." not in name else None


async def _consumer(bootstrap: str, settings: dict[str, Any]) -> Any:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, isolation_level="read_committed", enable_auto_commit=False,
        auto_offset_reset="earliest", max_partition_fetch_bytes=16 << 20, **settings,
    )  # fmt: skip
    await consumer.start()
    return consumer


async def _places(bootstrap: str, settings: dict[str, Any], wanted: Callable[[str], bool]) -> list[TopicPartition]:
    """Every partition of the wanted topics. The consumer itself knows only topics that it was asked about."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, **settings)
    await admin.start()
    try:
        topics = await admin.describe_topics()
    finally:
        await admin.close()
    found = [TopicPartition(t["topic"], p["partition"]) for t in topics if wanted(t["topic"]) for p in t["partitions"]]
    return sorted(found)


async def _to_the_end(bootstrap: str, settings: dict[str, Any], wanted: Callable[[str], bool]) -> AsyncIterator[Any]:
    """Every committed message of the wanted topics, from the beginning to the present end."""
    consumer = await _consumer(bootstrap, settings)
    try:
        places = await _places(bootstrap, settings, wanted)
        if not places:
            return
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        await consumer.seek_to_beginning(*places)
        waiting = {place for place in places if ends[place] > 0}
        while waiting:
            for messages in (await consumer.getmany(timeout_ms=500, max_records=5000)).values():
                for m in messages:
                    yield m
            waiting = {place for place in waiting if await consumer.position(place) < ends[place]}
    finally:
        await consumer.stop()


async def read_all(bootstrap: str, prefix: str, decoder: Decoder, **settings: Any) -> tuple[list[Record], list[Broken]]:
    """Reads every entity topic from its beginning to its present end, committed records only.

    Args:
        bootstrap: servers of the cluster.
        prefix: topic prefix.
        decoder: reads keys and values.
        settings: further settings of the consumer (security).

    Returns:
        The records in order per topic and partition, and what could not be decoded.
    """
    records: list[Record] = []
    broken: list[Broken] = []
    async for m in _to_the_end(bootstrap, settings, lambda topic: entity_type_of(topic, prefix) is not None):
        entity_type = entity_type_of(m.topic, prefix) or ""
        try:
            headers = dict(m.headers)
            records.append(await decoder.record(entity_type, m.partition, m.offset, m.key or b"", m.value, headers))
        except UndecodableError as problem:
            broken.append((m.topic, m.partition, m.offset, str(problem)))
    return records, broken


async def read_told(bootstrap: str, prefix: str, decoder: Decoder, **settings: Any) -> tuple[Told, list[Broken]]:
    """Reads gaps and certificates from `<prefix>.bridge.events`.

    Returns:
        Both, and what could not be decoded.
    """
    gaps: list[Gap] = []
    certificates: list[Certificate] = []
    broken: list[Broken] = []
    heard = False
    async for m in _to_the_end(bootstrap, settings, lambda topic: topic == f"{prefix}.bridge.events"):
        heard = True
        try:
            value = await decoder.value(m.value or b"")
        except UndecodableError as problem:
            broken.append((m.topic, m.partition, m.offset, str(problem)))
            continue
        if value.get("event") == "gap":
            gaps.append(Gap(value["shard"], value["from_ms"] * 1000, value["to_ms"] * 1000))
        if value.get("certificate"):
            certificates.append(_certificate(value, prefix))
    return Told(tuple(gaps) if heard else None, tuple(certificates)), broken


def _certificate(value: dict[str, Any], prefix: str) -> Certificate:
    proof = value["certificate"]
    types = {name: (told["count"], told["hash"]) for name, told in proof["types"].items()}
    offsets = {entity_type_of(topic, prefix) or "": end for topic, end in proof["offsets"].items()}
    return Certificate(value["shard"], value["seq"], types, offsets)


class Follower:
    """Polls all entity topics while a bridge runs: notes when each record could be read, and folds as it goes.

    Attributes:
        count: records read.
        state: the last value of each key: (topic, partition, key) -> value; tombstones remove the key.
        marks: how far everything could be read, once a second.
        lapses: how often Kafka could not be asked for that.
    """

    def __init__(self, bootstrap: str, prefix: str, **settings: Any) -> None:
        self.count = 0
        self.state: dict[tuple[str, int, bytes], bytes] = {}
        self.marks: list[Mark] = []
        self.lapses = 0
        self._bootstrap, self._prefix, self._settings = bootstrap, prefix, settings
        self._offsets: dict[Place, array[int]] = defaultdict(lambda: array("q"))
        self._times: dict[Place, array[int]] = defaultdict(lambda: array("q"))
        self._consumer: Any = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Begins to poll; topics that do not exist yet are found as they appear."""
        self._consumer = await _consumer(self._bootstrap, {**self._settings, "fetch_max_wait_ms": 100})
        self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """Ends polling; what was noted stays."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        if self._consumer is not None:
            await self._consumer.stop()
        if self._task is not None and not self._task.cancelled():
            self._task.result()

    def read_us(self) -> dict[tuple[str, int, int], int]:
        """When each record was read: (entity type, partition, offset) -> microseconds since the epoch."""
        return {
            (entity_type_of(topic, self._prefix) or "", partition, offset): at
            for (topic, partition), offsets in self._offsets.items()
            for offset, at in zip(offsets, self._times[topic, partition], strict=True)
        }

    async def _follow(self) -> None:
        assigned: set[TopicPartition] = set()
        looked = marked = 0.0
        while True:
            try:
                if time.monotonic() - looked > (1.0 if not assigned else 10.0):
                    assigned = await self._assign(assigned)
                    looked = time.monotonic()
                if assigned and time.monotonic() - marked > MARK_S:
                    await self._mark(assigned)
                    marked = time.monotonic()
            except KafkaError:  # while Kafka is away nobody can look, and nothing can become readable
                self.lapses += 1
                await asyncio.sleep(0.2)
            if not assigned:
                await asyncio.sleep(0.2)
                continue
            found = await self._consumer.getmany(timeout_ms=200)
            now = time.time_ns() // 1000
            for place, messages in found.items():
                self._note(place, messages, now)

    async def _mark(self, assigned: set[TopicPartition]) -> None:
        """Looks how far each partition can be read, with one request."""
        at = time.time_ns() // 1000
        ends = await self._consumer.end_offsets(sorted(assigned))
        known = {(entity_type_of(p.topic, self._prefix) or "", p.partition): end for p, end in ends.items()}
        self.marks.append(Mark(at, known))

    async def _assign(self, assigned: set[TopicPartition]) -> set[TopicPartition]:
        places = set(await _places(self._bootstrap, self._settings, self._is_ours))
        if places <= assigned:
            return assigned
        at = {place: await self._consumer.position(place) for place in assigned}
        self._consumer.assign(sorted(places | assigned))
        await self._consumer.seek_to_beginning(*(places - assigned))
        for place, offset in at.items():
            self._consumer.seek(place, offset)
        return places | assigned

    def _is_ours(self, topic: str) -> bool:
        return entity_type_of(topic, self._prefix) is not None

    def _note(self, place: TopicPartition, messages: list[Any], now: int) -> None:
        offsets, times = self._offsets[place.topic, place.partition], self._times[place.topic, place.partition]
        for m in messages:
            offsets.append(m.offset)
            times.append(now)
            self.count += 1
            key = (m.topic, m.partition, m.key or b"")
            if m.value is None:
                self.state.pop(key, None)
            else:
                self.state[key] = m.value
