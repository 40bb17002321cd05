"""Read a shard's state back from its partition: the whole of it at start, only the head after a failure.

Reads up to the last stable offset with `read_committed`, and therefore only after the fence stands (the other order
would leave a gap in which the former owner still commits). Only the framing, which never changes, may be read before.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from bridge.errors import KafkaUnavailable, KafkaUnusable
from bridge.kafka.client import Cluster, translated
from bridge.kafka.statelog import (
    FRAMING_ID,
    HEAD_ID,
    Head,
    KeyFraming,
    OnEntity,
    Restored,
    StoredEntity,
    StoredHeld,
    is_of_entity,
    read_key,
    read_value,
)

FETCH_BYTES, FIRST_BYTES = 16 * 1024 * 1024, 256 * 1024
CHUNK_RECORDS = 1_000
TAIL_RECORDS = 64


@asynccontextmanager
async def _reader(
    cluster: Cluster, partition: TopicPartition, fetch_bytes: int = FETCH_BYTES
) -> AsyncIterator[AIOKafkaConsumer]:
    with translated(f"reading the state of shard {partition.partition}", cluster):
        consumer = AIOKafkaConsumer(
            **cluster.arguments(),
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=fetch_bytes,
            fetch_max_bytes=2 * fetch_bytes,
            fetch_max_wait_ms=100,
        )
        try:
            await consumer.start()
            if partition.topic not in await consumer.topics():
                # Asking for its offsets would wait for 40 s and then speak of a time-out.
                raise KafkaUnavailable(
                    f"there is no topic {partition.topic}, or this user may not see it: `syncbridge topics apply` "
                    "creates what is missing, docs/operations.md has the ACLs"
                )
            consumer.assign([partition])
            yield consumer
        finally:
            await consumer.stop()


async def read_state(cluster: Cluster, topic: str, shard: int, on_entity: OnEntity) -> Restored:
    """Read everything, calling `on_entity(type, id, content)` in log order; None is a tombstone.

    The type of a held deletion follows `HELD`.

    Raises:
        KafkaUnavailable: the cluster does not answer, or has not (or does not show) the topic.
        KafkaUnusable: not authorised to read it, or it holds records that are not ours.
    """
    partition = TopicPartition(topic, shard)
    async with _reader(cluster, partition) as consumer:
        first = (await consumer.beginning_offsets([partition]))[partition]
        end = (await consumer.end_offsets([partition]))[partition]
        return await _read(consumer, partition, first, end, on_entity)


async def read_head(cluster: Cluster, topic: str, shard: int, since: int | None = None) -> Restored:
    """Read the newest head only: it is the last state record of every transaction, so it stands near the end.

    Transaction markers and aborted records take offsets too, so the window grows until a head is in it.

    Args:
        since: read at least from this offset on. Where nobody is fenced, two owners may write for a while, and what the
            busier one writes must not hide the other's claim.
    """
    partition = TopicPartition(topic, shard)
    async with _reader(cluster, partition) as consumer:
        first = (await consumer.beginning_offsets([partition]))[partition]
        end = (await consumer.end_offsets([partition]))[partition]
        window = TAIL_RECORDS
        while True:
            start = max(first, min(end - window, end if since is None else since))
            found = await _read(consumer, partition, start, end)
            if found.head is not None or start == first:
                return found
            window *= 16


async def read_framing(cluster: Cluster, topic: str, shard: int) -> KeyFraming | None:
    """How the shard's keys have been framed since its first record; None if it has none.

    Read from the front, where the record stands unless a later release has added to it: so it is nearly always found
    at once. For a shard that has an owner it may be called at any time.
    """
    partition = TopicPartition(topic, shard)
    async with _reader(cluster, partition, FIRST_BYTES) as consumer:
        start = (await consumer.beginning_offsets([partition]))[partition]
        end = (await consumer.end_offsets([partition]))[partition]
        while start < end:
            stop = min(end, start + CHUNK_RECORDS)
            found = await _read(consumer, partition, start, stop)
            if found.framing is not None:
                return found.framing
            start = stop
    return None


async def read_ends(cluster: Cluster, topics: Collection[str], shard: int) -> dict[str, int]:
    """Offsets at which the partitions of a shard end, by topic; topics that do not exist are left out.

    Not the last stable ones: those may lie before the newest commit for some milliseconds. So this is for the owner of
    the shard, while it has no transaction open.

    Raises:
        KafkaUnavailable: the cluster does not answer.
    """
    with translated(f"reading where shard {shard} ends", cluster):
        consumer = AIOKafkaConsumer(**cluster.arguments(), enable_auto_commit=False)
        try:
            await consumer.start()
            there = await consumer.topics()
            partitions = [TopicPartition(topic, shard) for topic in topics if topic in there]
            consumer.assign(partitions)
            consumer.pause(*partitions)  # it is only asked, and need not fetch
            ends = await consumer.end_offsets(partitions)
        finally:
            await consumer.stop()
    return {partition.topic: end for partition, end in ends.items()}


async def _read(
    consumer: AIOKafkaConsumer, partition: TopicPartition, start: int, end: int, on_entity: OnEntity | None = None
) -> Restored:
    """From one offset to another; entities are not looked at, whose number may be large, if nobody wants to know."""
    head: Head | None = None
    framing: KeyFraming | None = None
    committed_ms = records = 0
    consumer.seek(partition, start)
    while await consumer.position(partition) < end:
        chunk = await consumer.getmany(partition, timeout_ms=200, max_records=CHUNK_RECORDS)
        for record in chunk.get(partition, ()):
            if record.offset >= end:
                break
            records += 1
            read = _content(record, entities=on_entity is not None)
            if read is None:
                continue
            (entity_type, number), content = read
            if on_entity is not None and (content is None or isinstance(content, StoredEntity | StoredHeld)):
                on_entity(entity_type, number, content)
            elif isinstance(content, Head) and number == HEAD_ID:
                # Without transactions a former owner may still write after its successor's claim: the claim wins.
                if head is None or content.epoch >= head.epoch:
                    head, committed_ms = content, record.timestamp
            elif isinstance(content, KeyFraming) and number == FRAMING_ID:
                framing = content
    pending = (consumer.highwater(partition) or 0) > end
    return Restored(head, committed_ms, framing, records, end, pending)


def _content(
    record: Any, *, entities: bool
) -> tuple[tuple[str, int], StoredEntity | StoredHeld | Head | KeyFraming | None] | None:
    """Key and content; None for an entity where none are wanted."""
    try:
        if not entities and is_of_entity(record.key):
            return None
        return read_key(record.key), None if record.value is None else read_value(record.value)
    except (ValueError, TypeError, LookupError, EOFError) as error:
        raise KafkaUnusable(
            f"offset {record.offset} of {record.topic}-{record.partition} is not a state record of the bridge "
            f"({error}): another program writes to this topic; choose another kafka.topic_prefix"
        ) from error
