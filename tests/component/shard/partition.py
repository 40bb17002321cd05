"""A shard's partition in memory, fenced like Kafka's, for two instances that contend for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from bridge.errors import OutcomeUnknown
from bridge.kafka.envelope import Archived, Records
from bridge.kafka.statelog import HEAD_ID, Head, KeyFraming, OnEntity, Restored, read_key, read_value
from tests.packed import records_of

Record = tuple[bytes, bytes | None]


class Partition:
    """What has been committed, by topic and in order; and how many producers have been started.

    Attributes:
        hidden: what was committed and cannot be read before the next commit.
        open: somebody else's transaction is, and stays so.
    """

    def __init__(self, state_topic: str) -> None:
        self.topics: dict[str, list[Record]] = {}
        self.hidden: list[tuple[str, list[Record]]] = []
        self.open = False
        self.producers = 0
        self._state_topic = state_topic

    @property
    def state(self) -> list[tuple[tuple[str, int], Any]]:
        """The state topic, decoded."""
        records = self.topics.get(self._state_topic, ())
        return [(read_key(key), None if value is None else read_value(value)) for key, value in records]

    @property
    def heads(self) -> list[Head]:
        """Every head that was ever committed."""
        return [content for _, content in self.state if isinstance(content, Head)]


class PartitionLog:
    """One instance's access to it (`shard.ports.Log`): whoever has started a producer last may write."""

    fencing = True

    def __init__(self, partition: Partition) -> None:
        self.commits = 0
        self.held: dict[int, asyncio.Event] = {}
        self.hides: dict[int, bool] = {}
        """Commits that are hidden, by number; and whether their answer arrives."""
        self._partition = partition
        self._producer = 0
        self._committed_ms = 0

    def forget(self) -> None:
        """Empty the partition."""
        self._partition.topics.clear()

    async def start(self) -> None:
        self._partition.producers += 1
        self._producer = self._partition.producers

    async def check(self) -> None:
        """The topics of this partition are always there."""

    async def read_framing(self) -> KeyFraming | None:
        return self._read(lambda *_: None).framing

    async def read_head(self) -> Restored:
        return self._read(lambda *_: None)

    async def restore(self, on_entity: OnEntity) -> Restored:
        return self._read(on_entity)

    async def ends(self) -> dict[str, int]:
        return {topic: len(records) for topic, records in self._partition.topics.items()}

    async def commit(
        self,
        batches: Mapping[str, Records],
        timestamp_ms: int,  # noqa: ARG002 - the broker's clock counts
        archived: Mapping[str, Archived] | None = None,
    ) -> None:
        """All or nothing; the request of a commit that is held is lost when it is let go."""
        self.commits += 1
        if self.commits in self.held:
            await self.held[self.commits].wait()
            raise OutcomeUnknown("request lost")
        if self._producer != self._partition.producers:
            raise OutcomeUnknown("fenced")
        written = [(topic, records_of(records)) for topic, records in [*(archived or {}).items(), *batches.items()]]
        before, self._partition.hidden = self._partition.hidden, []
        if self.commits in self.hides:
            assert not before, "one at a time"
            self._partition.hidden = written
            if not self.hides[self.commits]:
                raise OutcomeUnknown("answer lost")
            return
        for topic, records in [*before, *written]:
            self._partition.topics.setdefault(topic, []).extend(records)

    async def close(self) -> None:
        """Nothing is open."""

    def _read(self, on_entity: OnEntity) -> Restored:
        head: Head | None = None
        framing: KeyFraming | None = None
        for (entity_type, number), content in self._partition.state:
            if isinstance(content, Head) and number == HEAD_ID:
                head = content if head is None or content.epoch >= head.epoch else head
            elif isinstance(content, KeyFraming):
                framing = content
            else:
                on_entity(entity_type, number, content)
        pending = bool(self._partition.hidden) or self._partition.open
        return Restored(head, time.time_ns() // 1_000_000, framing, len(self._partition.state), 0, pending)
