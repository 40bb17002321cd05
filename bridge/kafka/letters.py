"""Dead letters read back: put together from their parts, and compared with what has become of their keys. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bridge.entities.catalogue import CATALOGUE
from bridge.entities.change import RETRIED

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Key = tuple[int, str, int]
"""Shard, entity type, id."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One dead letter, as far as it has been read.

    Attributes:
        offset: of its first part in the shard's partition; with the shard it names the letter.
        written_ms: when Kafka took it.
        position: (epoch, seq, frame): the latest seq of the shard before it, and the frame it came in.
        raw: the parts so far.
        whole: nothing of it is missing.
    """

    shard: int
    offset: int
    written_ms: int
    reason: str
    detail: str
    entity_type: str | None
    entity_id: int | None
    event_type: str | None
    position: tuple[int, int, int]
    received_us: int
    length: int
    sha256: str
    raw: bytes
    whole: bool = False

    @property
    def key(self) -> Key | None:
        """Its key, if it has a usable one."""
        if self.entity_type is None or self.entity_id is None:
            return None
        return self.shard, self.entity_type, self.entity_id

    @property
    def retryable(self) -> bool:
        """Whether it is an entity that might be published: of a known type, whole, and not the end of something."""
        return self.whole and self.entity_type in CATALOGUE and self.event_type != "Deleted"


class Joiner:
    """Puts letters together; the parts of one follow each other in their partition."""

    def __init__(self) -> None:
        self._open: dict[int, DeadLetter] = {}

    def add(self, partition: int, offset: int, written_ms: int, value: Mapping[str, Any]) -> Iterator[DeadLetter]:
        """Take a decoded record; yields the letter that it completes."""
        if value["part"] == 0:
            self._open[partition] = _begun(offset, written_ms, value)
        elif partition in self._open:
            begun = self._open[partition]
            self._open[partition] = replace(begun, raw=begun.raw + value["raw"])
        if value["part"] == value["parts"] - 1 and partition in self._open:
            letter = self._open.pop(partition)
            yield replace(letter, whole=hashlib.sha256(letter.raw).hexdigest() == letter.sha256)


def _begun(offset: int, written_ms: int, value: Mapping[str, Any]) -> DeadLetter:
    return DeadLetter(
        shard=value["shard"],
        offset=offset,
        written_ms=written_ms,
        reason=value["reason"],
        detail=value["detail"],
        entity_type=value["entity_type"],
        entity_id=value["entity_id"],
        event_type=value["event_type"],
        position=(value["epoch"], value["seq"], value["frame"]),
        received_us=(value["received_us"] - EPOCH) // timedelta(microseconds=1),
        length=value["length"],
        sha256=value["sha256"],
        raw=value["raw"],
    )


class Later:
    """What has happened to some keys, from the records of their topics.

    A record is later than a letter by (epoch, seq), or if it came in the same frame, where it cannot be told. A lone
    tombstone has no seq, so Kafka's time decides; so does the time of arrival for a letter that was published late.
    """

    def __init__(self, keys: set[Key]) -> None:
        self._keys = keys
        self._latest: dict[Key, tuple[int, int]] = {}
        self._frames: set[tuple[Key, int, int]] = set()
        self._retried_us: dict[Key, int] = {}
        self._gone_ms: dict[Key, int] = {}

    def wants(self, key: Key) -> bool:
        """Whether the value of this key's record is of interest."""
        return key in self._keys

    def note(self, key: Key, written_ms: int, value: Mapping[str, Any] | None) -> None:
        """Take a record of an entity topic, decoded."""
        if value is None:
            self._gone_ms[key] = written_ms
            return
        source = value["source"]
        if source["snapshot"] == RETRIED:
            self._retried_us[key] = max(source["received_us"], self._retried_us.get(key, 0))
            return
        at = (source["epoch"], source["seq"])
        self._latest[key] = max(at, self._latest.get(key, at))
        if source["frame"]:
            self._frames.add((key, source["epoch"], source["frame"]))

    def supersedes(self, letter: DeadLetter) -> bool:
        """Whether the letter's key has been published, deleted or archived after it."""
        key = letter.key
        if key is None:
            return False
        epoch, seq, frame = letter.position
        return (
            self._latest.get(key, (0, 0)) > (epoch, seq)
            or (key, epoch, frame) in self._frames
            or self._retried_us.get(key, 0) >= letter.received_us
            or self._gone_ms.get(key, 0) > letter.written_ms
        )
