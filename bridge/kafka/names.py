"""Topic names of the Kafka contract, in one place. `P` is the topic prefix."""

from __future__ import annotations

from dataclasses import dataclass

STATE, EVENTS, DEAD_LETTER, UNMAPPED, SHARDS = (
    "bridge.state",
    "bridge.events",
    "bridge.dead-letter",
    "bridge.unmapped",
    "bridge.shards",
)


@dataclass(frozen=True, slots=True)
class TopicNames:
    """All topic names under one prefix."""

    prefix: str

    def entity(self, entity_type: str) -> str:
        """Topic of one entity type, `P.order`."""
        return f"{self.prefix}.{entity_type}"

    @property
    def state(self) -> str:
        """Committed state of all shards, one partition each."""
        return f"{self.prefix}.{STATE}"

    @property
    def events(self) -> str:
        """Lifecycle of the shards."""
        return f"{self.prefix}.{EVENTS}"

    @property
    def dead_letter(self) -> str:
        """What could not become a record."""
        return f"{self.prefix}.{DEAD_LETTER}"

    @property
    def unmapped(self) -> str:
        """Entities of unknown types."""
        return f"{self.prefix}.{UNMAPPED}"

    @property
    def shards(self) -> str:
        """No data; its partitions are handed out by a consumer group."""
        return f"{self.prefix}.{SHARDS}"

    def transactional_id(self, divisor: int, shard: int) -> str:
        """One per shard, so that a newer owner fences an older one (invariant 9)."""
        return f"{self.prefix}.{divisor}.{shard}"
