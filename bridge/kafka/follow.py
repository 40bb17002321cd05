"""Read topics of the bridge as a consumer would: committed records only, in order of each partition."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from bridge.errors import KafkaUnusable
from bridge.kafka.client import Cluster, translated
from bridge.kafka.topics import partition_counts


async def follow(
    cluster: Cluster, topics: Sequence[str], *, from_beginning: bool, until_end: bool, since_ms: int | None = None
) -> AsyncGenerator[Any, None]:
    """Yield aiokafka's records of all partitions of the topics.

    Args:
        from_beginning: read what is there; else only what comes.
        since_ms: read what Kafka has taken at this time (epoch milliseconds) or later.
        until_end: stop at the ends as they are now (last stable offsets) instead of waiting for more.

    Raises:
        KafkaUnavailable, KafkaUnusable: no answer, refused, or a topic does not exist.
    """
    partitions = await _partitions(cluster, topics)
    with translated("reading topics", cluster):
        consumer = AIOKafkaConsumer(
            **cluster.arguments(),
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=4 * 1024 * 1024,
        )
        await consumer.start()
        try:
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            begins = (
                await consumer.offsets_for_times(dict.fromkeys(partitions, since_ms)) if since_ms is not None else {}
            )
            for partition in partitions:
                if from_beginning:
                    await consumer.seek_to_beginning(partition)
                else:
                    begin = begins.get(partition)
                    consumer.seek(partition, ends[partition] if begin is None else begin.offset)
            open_ = set(partitions)
            while open_:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    for record in records:
                        yield record
                if until_end:
                    open_ = {p for p in open_ if await consumer.position(p) < ends[p]}
        finally:
            await consumer.stop()


async def _partitions(cluster: Cluster, topics: Sequence[str]) -> list[TopicPartition]:
    found = await partition_counts(cluster, topics)
    missing = [t for t in topics if t not in found]
    if missing:
        raise KafkaUnusable(f"there is no topic {missing[0]}; `syncbridge topics apply` creates what is missing")
    return [TopicPartition(t, p) for t in topics for p in range(found[t])]
