"""All that one shard does with Kafka: fence, claim, restore, commit. The I/O behind `shard.ports.Log`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bridge.kafka import topics
from bridge.kafka.client import Cluster
from bridge.kafka.envelope import Archived, Records
from bridge.kafka.plan import Topic
from bridge.kafka.producer import Producer
from bridge.kafka.restore import read_ends, read_framing, read_head, read_state
from bridge.kafka.statelog import KeyFraming, OnEntity, Restored


class ShardLog:
    """The partition of one shard, in all topics.

    Args:
        plan: the topics as they must be.
        fencing: whether `start` fences a former owner (exactly_once) or ownership is by the claim (at_least_once).
    """

    def __init__(
        self,
        cluster: Cluster,
        producer: Producer,
        *,
        state_topic: str,
        plan: Sequence[Topic],
        shard: int,
        fencing: bool,
    ) -> None:
        self._cluster, self._producer = cluster, producer
        self._topic, self._plan, self._shard = state_topic, plan, shard
        self.fencing = fencing
        self._read_until: int | None = None
        self._written = {state_topic}

    async def start(self) -> None:
        """Make a new producer; with transactions this fences whoever owned the shard before."""
        await self._producer.start()

    async def check(self) -> None:
        """See that the topics of the latest transaction are still as they must be.

        Raises:
            KafkaUnusable: one was deleted or changed while we ran; the message names it and the remedy.
        """
        await topics.check(self._cluster, [topic for topic in self._plan if topic.name in self._written])

    async def read_framing(self) -> KeyFraming | None:
        """How keys have been framed so far, without fencing anybody."""
        return await read_framing(self._cluster, self._topic, self._shard)

    async def read_head(self) -> Restored:
        """The newest committed head, without fencing anybody."""
        found = await read_head(self._cluster, self._topic, self._shard, self._read_until)
        if not self.fencing:
            self._read_until = found.end
        return found

    async def restore(self, on_entity: OnEntity) -> Restored:
        """All committed state of the shard."""
        return await read_state(self._cluster, self._topic, self._shard, on_entity)

    async def ends(self) -> dict[str, int]:
        """Offsets at which the shard's partitions end, by topic; the state's is private."""
        names = [topic.name for topic in self._plan if topic.name != self._topic]
        return await read_ends(self._cluster, names, self._shard)

    async def commit(
        self, batches: Mapping[str, Records], timestamp_ms: int, archived: Mapping[str, Archived] | None = None
    ) -> None:
        """Write one transaction; the state topic is the last of `batches`."""
        written = [*(archived or {}).items(), *batches.items()]
        self._written = {topic for topic, _ in written}
        await self._producer.commit(written, timestamp_ms)

    async def close(self) -> None:
        """End the producer, within a bounded time."""
        await self._producer.close()
