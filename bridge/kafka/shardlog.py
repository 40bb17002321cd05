"""All that one shard does with Kafka: fence, claim, restore, commit. The I/O behind `shard.ports.Log`."""

from __future__ import annotations

from collections.abc import Mapping

from bridge.kafka.client import Cluster
from bridge.kafka.envelope import Archived, Batches
from bridge.kafka.producer import Producer
from bridge.kafka.restore import OnEntity, Restored, read_head, read_state


class ShardLog:
    """The partition of one shard, in all topics.

    Args:
        fencing: whether `start` fences a former owner (exactly_once) or ownership is by the claim (at_least_once).
    """

    def __init__(
        self,
        cluster: Cluster,
        producer: Producer,
        *,
        state_topic: str,
        shard: int,
        fencing: bool,
    ) -> None:
        self._cluster, self._producer = cluster, producer
        self._topic, self._shard = state_topic, shard
        self.fencing = fencing
        self._read_until: int | None = None

    async def start(self) -> None:
        """Make a new producer; with transactions this fences whoever owned the shard before."""
        await self._producer.start()

    async def read_head(self) -> Restored:
        """The newest committed head, without fencing anybody."""
        found = await read_head(self._cluster, self._topic, self._shard, self._read_until)
        if not self.fencing:
            self._read_until = found.end
        return found

    async def restore(self, on_entity: OnEntity) -> Restored:
        """All committed state of the shard."""
        return await read_state(self._cluster, self._topic, self._shard, on_entity)

    async def commit(self, batches: Batches, timestamp_ms: int, archived: Mapping[str, Archived] | None = None) -> None:
        """Write one transaction; the state topic is the last of `batches`."""
        await self._producer.commit([*(archived or {}).items(), *batches.items()], timestamp_ms)

    async def close(self) -> None:
        """End the producer, within a bounded time."""
        await self._producer.close()
