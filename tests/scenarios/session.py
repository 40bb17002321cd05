"""What the entity topics tell of a trading session: what is there, what was archived, what was sent again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from bridge.entities.catalogue import CATALOGUE, Lifecycle
from bridge.oracle.decode import Decoder
from bridge.oracle.reader import entity_type_of
from bridge.oracle.records import Key, Kind, Record, Truth
from tests.integration.bridge.scene import Scene

OF_SESSION = frozenset(name for name, row in CATALOGUE.items() if row.lifecycle is Lifecycle.SESSION)
Contents = dict[Key, bytes | None]
Sent = tuple[int, Key, bytes | None]
"""Shard, entity and content."""


class Reading:
    """Async context manager that reads some topics on and on, committed records only, each of them once."""

    def __init__(self, made: Scene, topics: Iterable[str]) -> None:
        shards = range(made.stage.plan.shards)
        self._partitions = [TopicPartition(topic, shard) for topic in topics for shard in shards]
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=made.bootstrap, isolation_level="read_committed", enable_auto_commit=False
        )

    async def __aenter__(self) -> Self:
        await self._consumer.start()
        self._consumer.assign(self._partitions)
        await self._consumer.seek_to_beginning(*self._partitions)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._consumer.stop()

    async def more(self) -> list[Any]:
        """What has come since the last time, in order within each partition."""
        ends = await self._consumer.end_offsets(self._partitions)
        found: list[Any] = []
        while [each for each in self._partitions if await self._consumer.position(each) < ends[each]]:
            for batch in (await self._consumer.getmany(timeout_ms=200, max_records=20_000)).values():
                found += batch
        return found


class Topics:
    """What the entity topics have come to.

    Attributes:
        contents: of session types.
        others: keys of all other types.
        envelopes: all of them, counted.
    """

    def __init__(self, prefix: str, reading: Reading) -> None:
        self._prefix, self._reading = prefix, reading
        self._decoder = Decoder()
        self.contents: Contents = {}
        self.others: set[Key] = set()
        self.envelopes = 0

    async def news(self) -> list[Record]:
        """What is new in them, in order; only archiving may take anything away."""
        found = [await self._record(each) for each in await self._reading.more()]
        for record in found:
            self._take(record)
        return sorted(found, key=place)

    async def _record(self, read: Any) -> Record:
        name = entity_type_of(read.topic, self._prefix) or ""
        return await self._decoder.record(name, read.partition, read.offset, read.key, read.value, dict(read.headers))

    def _take(self, record: Record) -> None:
        assert record.op != "d", f"deleted with an envelope: {record.key}"
        assert record.archived == (record.source is None), f"a tombstone that does not archive: {record.key}"
        assert record.entity_type in OF_SESSION or not record.archived, f"archived: {record.key}"
        self.envelopes += not record.archived
        if record.entity_type not in OF_SESSION:
            assert not flagged(record), f"no type of the session: {record.key}"
            self.others.add(record.key)
        elif record.archived:
            assert self.contents.pop(record.key, None) is not None, f"archived twice: {record.key}"
        else:
            self.contents[record.key] = record.after


def place(record: Record) -> tuple[int, int]:
    """Its shard, and when it was written there; tombstones come first."""
    return record.partition, record.source.seq if record.source else 0


def flagged(record: Record) -> bool:
    """Whether it says that it was sent again."""
    return record.source is not None and record.source.resend


def archived(news: list[Record]) -> Counter[Key]:
    """What was archived; nothing else may have come of session types."""
    found = [record for record in news if record.entity_type in OF_SESSION]
    assert all(record.archived for record in found)
    return Counter(record.key for record in found)


def sent_again(truth: Truth, since_us: int, before: Contents) -> list[Sent]:
    """What must be flagged of what the sockets got once more since then, beginning with these contents."""
    shard_of = {session.id: session.remainder for session in truth.sessions}
    contents = dict(before)
    found: list[Sent] = []
    for delivery in truth.deliveries:
        version = truth.versions[delivery.number]
        if delivery.kind != Kind.AGAIN or delivery.sent_us < since_us or version.entity_type not in OF_SESSION:
            continue
        if contents.get(version.key) != version.content:
            contents[version.key] = version.content
            found.append((shard_of[delivery.session], version.key, version.content))
    return sorted(found, key=lambda sent: sent[0])
