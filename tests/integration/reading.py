"""Reading topics to their end, as an independent consumer sees them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition


async def read_topics(
    bootstrap_servers: str, *topics: str, isolation: str = "read_committed", **client: Any
) -> list[Any]:
    """All records (aiokafka's ConsumerRecord) of `topics` up to their present end, in order within each partition.

    In `read_committed` the end is the last stable offset: what is in an open transaction is not waited for.

    Raises:
        LookupError: one of the topics does not exist, or this user may not see it.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        isolation_level=isolation,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        **client,
    )
    await consumer.start()
    try:
        return await _read(consumer, topics)
    finally:
        await consumer.stop()


async def _read(consumer: Any, topics: tuple[str, ...]) -> list[Any]:
    missing = set(topics) - await consumer.topics()
    if missing:
        raise LookupError(f"no such topic, or not visible: {', '.join(sorted(missing))}")
    partitions = [TopicPartition(topic, number) for topic in topics for number in await _partitions(consumer, topic)]
    consumer.assign(partitions)
    await consumer.seek_to_beginning(*partitions)
    ends = await consumer.end_offsets(partitions)
    records: list[Any] = []
    while [each for each in partitions if await consumer.position(each) < ends[each]]:
        for batch in (await consumer.getmany(timeout_ms=200, max_records=20_000)).values():
            records += batch
    return records


async def _partitions(consumer: Any, topic: str) -> list[int]:
    # A topic that was not asked about before is not in the client's own metadata yet.
    await consumer._client._wait_on_metadata(topic)
    return sorted(consumer.partitions_for_topic(topic) or ())


def by_partition(records: list[Any], of: Callable[[Any], Any] = lambda record: record.value) -> dict[int, list[Any]]:
    """Records (or what `of` takes from each) of one topic, grouped by partition."""
    grouped: dict[int, list[Any]] = {}
    for record in records:
        grouped.setdefault(record.partition, []).append(of(record))
    return grouped
