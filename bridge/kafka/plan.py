"""Which topics there must be, and how what is there differs from it. Pure.

The contract: every topic has exactly `divisor` partitions (the socket is the partition), LogAppendTime, and room for
a record with a `before` and an `after` of the largest entity.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from bridge.entities.catalogue import CATALOGUE, Lifecycle
from bridge.kafka.control import PART_BYTES
from bridge.kafka.names import TopicNames

DAY_MS = 86_400_000
OVERHEAD_BYTES = 64 * 1024
CHECKED_CONFIGS = ("cleanup.policy", "message.timestamp.type", "max.message.bytes")


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it should be."""

    name: str
    partitions: int
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Actual:
    """A topic as the cluster has it."""

    name: str
    partitions: int
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it should be.

    Attributes:
        kind: `missing`; `partitions` (fatal: never repaired by us); `config` (fatal if it is the cleanup policy).
    """

    topic: str
    kind: Literal["missing", "partitions", "config"]
    key: str
    wanted: str
    found: str

    @property
    def repairable(self) -> bool:
        """Whether `topics apply` may mend it: a partition count may not change under existing records."""
        return self.kind != "partitions"

    def __str__(self) -> str:
        """One line for people."""
        if self.kind == "missing":
            return f"{self.topic} is missing"
        if self.kind == "partitions":
            return f"{self.topic} has {self.found} partitions but sharding.divisor is {self.wanted}"
        return f"{self.topic}: {self.key} is {self.found or 'unset'}, should be {self.wanted}"


def wanted(names: TopicNames, divisor: int, max_record_bytes: int) -> list[Topic]:
    """All topics of the contract (section "topics" of docs/topics.md)."""
    common = {
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(2 * max(max_record_bytes, PART_BYTES) + OVERHEAD_BYTES),
    }

    def topic(name: str, config: Mapping[str, str]) -> Topic:
        return Topic(name, divisor, {**common, **config})

    return [
        *(topic(names.entity(e.name), _entity_config(e.lifecycle)) for e in CATALOGUE.values()),
        topic(names.state, _STATE_CONFIG),
        topic(names.events, _kept(90)),
        topic(names.dead_letter, _kept(30)),
        topic(names.unmapped, _kept(30)),
        topic(names.shards, _kept(1)),
    ]


# Measured: with Kafka's defaults a compacted topic is cleaned so late that a restart reads every update again.
_STATE_CONFIG = {
    "cleanup.policy": "compact",
    "segment.bytes": str(16 * 1024 * 1024),
    "segment.ms": "600000",
    "min.cleanable.dirty.ratio": "0.1",
}


def replayable_ms(entity_type: str) -> int:
    """How far back every single change of a type can be read, deletions too."""
    return _replay_ms(CATALOGUE[entity_type].lifecycle)


def _replay_ms(lifecycle: Lifecycle) -> int:
    return (30 if lifecycle is Lifecycle.SESSION else 7) * DAY_MS


def _entity_config(lifecycle: Lifecycle) -> dict[str, str]:
    return {
        "cleanup.policy": "compact",
        "min.compaction.lag.ms": str(_replay_ms(lifecycle)),
        "delete.retention.ms": str(_replay_ms(lifecycle)),
        "segment.ms": str(DAY_MS),
    }


def _kept(days: int) -> dict[str, str]:
    return {"cleanup.policy": "delete", "retention.ms": str(days * DAY_MS)}


def differences(plan: Iterable[Topic], actual: Mapping[str, Actual]) -> list[Difference]:
    """What is missing or otherwise, in the plan's order."""
    found: list[Difference] = []
    for topic in plan:
        there = actual.get(topic.name)
        if there is None:
            found.append(Difference(topic.name, "missing", "", "", ""))
            continue
        if there.partitions != topic.partitions:
            found.append(
                Difference(topic.name, "partitions", "partitions", str(topic.partitions), str(there.partitions))
            )
        found += [
            Difference(topic.name, "config", key, value, there.config.get(key, ""))
            for key, value in topic.config.items()
            if not _suits(key, value, there.config.get(key))
        ]
    return found


def _suits(key: str, wanted: str, found: str | None) -> bool:
    """More room than is needed does no harm; everything else must be as it should be."""
    return found == wanted or (key == "max.message.bytes" and found is not None and int(found) >= int(wanted))


def fatal(found: Iterable[Difference]) -> list[Difference]:
    """Those with which the bridge must not run: they would lose, mix up or refuse records."""
    return [d for d in found if d.kind != "config" or d.key in CHECKED_CONFIGS]
