"""Records of the control topics: lifecycle events, dead letters, unmapped things. Pure; none is on the hot path."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import fastavro

from bridge.entities import schemas
from bridge.entities.change import Refused, Unmapped
from bridge.entities.exact import any_depth_dumps
from bridge.kafka.envelope import Record
from bridge.kafka.framing import Framing
from bridge.kafka.names import TopicNames

PART_BYTES = 512 * 1024
WHOLE_BYTES = 64 * 1024 * 1024
NAME_CHARACTERS = 200
"""Longest name that the broker may put into a field of ours; longer ones are kept with the raw content."""
DETAIL_CHARACTERS = 1000
MOST_COUNTS = 500


@dataclass(frozen=True, slots=True)
class Position:
    """Where in the life of a shard a control record belongs."""

    shard: int
    divisor: int
    epoch: int
    seq: int
    session: int = 0
    frame: int = 0
    received_us: int = 0


@dataclass(frozen=True, slots=True)
class LifecycleEvent:
    """Something that happened to a shard; fields as in schemas/control/Event.avsc."""

    event: str
    ts_ms: int
    cause: str | None = None
    code: int | None = None
    reason: str | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    certificate: Mapping[str, Any] | None = None


class Control:
    """Encodes control records under one framing."""

    def __init__(self, names: TopicNames, framing: Framing) -> None:
        self._names = names
        self._events = _Codec(framing, names.events, "ShardKey", "Event")
        self._dead = _Codec(framing, names.dead_letter, "ShardKey", "DeadLetter")
        self._unmapped = _Codec(framing, names.unmapped, "TypeKey", "Unmapped")

    def event(self, event: LifecycleEvent, at: Position) -> tuple[str, Record]:
        """Topic and record of a lifecycle event."""
        value = {
            "event": event.event,
            "ts_ms": event.ts_ms,
            "shard": at.shard,
            "divisor": at.divisor,
            "epoch": at.epoch,
            "seq": at.seq,
            "session": at.session,
            "cause": event.cause,
            "code": event.code,
            "reason": event.reason,
            "from_ms": event.from_ms,
            "to_ms": event.to_ms,
            "counts": _counts(event.counts),
            "certificate": event.certificate,
        }
        return self._names.events, self._events.record({"shard": at.shard}, value)

    def dead_letter(self, refused: Refused, at: Position) -> list[tuple[str, Record]]:
        """The raw thing in parts of at most 512 KiB, each with the hash of the whole.

        Only what lies beyond 64 MiB is cut off, and `length` says so (invariant 6's one exception); of a frame that
        nobody can read there may be the beginning alone. An event type that is no name is kept beside the entity:
        `{"entity": ..., "eventType": ...}`.
        """
        whole, event_type = refused.raw, refused.event_type
        if not _is_name(event_type):
            whole = b'{"entity":%b,"eventType":%b}' % (whole, any_depth_dumps(event_type).encode())
            event_type = None
        raw = whole[:WHOLE_BYTES]
        parts = [raw[i : i + PART_BYTES] for i in range(0, len(raw), PART_BYTES)] or [b""]
        common = {
            "reason": refused.reason,
            "detail": refused.detail[:DETAIL_CHARACTERS].encode(errors="replace").decode(),
            "entity_type": refused.entity_type,
            "entity_id": refused.entity_id,
            "event_type": event_type,
            "topic": self._names.entity(refused.entity_type) if refused.entity_type else None,
            "parts": len(parts),
            "sha256": refused.sha256 or hashlib.sha256(whole).hexdigest(),
            "length": len(whole) if refused.length is None else refused.length,
            **_where(at),
        }
        return [
            (self._names.dead_letter, self._dead.record({"shard": at.shard}, {**common, "part": i, "raw": part}))
            for i, part in enumerate(parts)
        ]

    def unmapped(self, thing: Unmapped, at: Position) -> list[tuple[str, Record]]:
        """The content as canonical JSON; a dead letter if it, or a name it came with, does not fit one record."""
        raw = any_depth_dumps(thing.content)
        if not all(map(_is_name, (thing.entity_type, thing.event_type, thing.list_name))):
            whole = any_depth_dumps(thing._asdict()).encode()
            refused = Refused(None, None, None, "bad_name", "the name of a type, event or list is none", whole)
            return self.dead_letter(refused, at)
        size = len(raw.encode())
        if size > PART_BYTES:
            detail = f"{size} bytes of an unknown type are more than a record of the unmapped topic holds"
            refused = Refused(None, None, thing.event_type, "too_large", f"{thing.entity_type}: {detail}", raw.encode())
            return self.dead_letter(refused, at)
        value = {
            "entity_type": thing.entity_type,
            "event_type": thing.event_type,
            "list_name": thing.list_name,
            "raw": raw,
            "snapshot": thing.snapshot,
            **_where(at),
        }
        return [(self._names.unmapped, self._unmapped.record({"entityType": thing.entity_type}, value))]


def _is_name(word: str | None) -> bool:
    """Whether a word from outside can stand in a field of ours: not too long, and with a UTF-8 form."""
    return word is None or (len(word) <= NAME_CHARACTERS and not any("\ud800" <= c <= "\udfff" for c in word))


def _counts(counts: Mapping[str, int]) -> dict[str, int]:
    """Names of snapshot lists come from outside: what is no name, or one too many, is counted together."""
    kept: dict[str, int] = {}
    for name, number in counts.items():
        word = name if _is_name(name) and len(kept) < MOST_COUNTS else "(others)"
        kept[word] = kept.get(word, 0) + number
    return kept


def _where(at: Position) -> dict[str, int]:
    return {
        "shard": at.shard,
        "divisor": at.divisor,
        "epoch": at.epoch,
        "seq": at.seq,
        "frame": at.frame,
        "received_us": at.received_us,
    }


class _Codec:
    def __init__(self, framing: Framing, topic: str, key: str, value: str) -> None:
        key_schema, value_schema = schemas.control_schema(key), schemas.control_schema(value)
        self._key_prefix = framing.prefix(topic, "key", key_schema)
        self._value_prefix = framing.prefix(topic, "value", value_schema)
        self._key, self._value = fastavro.parse_schema(key_schema), fastavro.parse_schema(value_schema)

    def record(self, key: dict[str, Any], value: dict[str, Any]) -> Record:
        return _written(self._key_prefix, self._key, key), _written(self._value_prefix, self._value, value)


def _written(prefix: bytes, schema: Any, content: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    out.write(prefix)
    fastavro.schemaless_writer(out, schema, content)
    return out.getvalue()
