"""Records of the state topic: entities, the head, the framing, held deletions. Pure, both ways.

The head is the last state record of every transaction, so the end of the partition tells what was committed last.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import fastavro

from bridge.entities import schemas
from bridge.entities.primitives import text, varint

HEAD_ID, FRAMING_ID = 0, 1
HELD = "held."
"""Stands before the entity type in the key of a held deletion; no entity type has a dot in its name."""
_ENTITY, _HEAD, _FRAMING, _HELD = b"\x00", b"\x02", b"\x04", b"\x06"
_FINGERPRINT_BYTES = 8


@dataclass(slots=True)
class Head:
    """Where a shard stands. Attributes as in schemas/control/State.avsc.

    Changed in place while a transaction is put together, on a copy.
    """

    epoch: int = 0
    instance: str = ""
    transaction: int = 0
    seq: int = 0
    session: int = 0
    snapshot_ms: int | None = None
    judged_ms: int | None = None
    alive_ms: int | None = None
    clean: bool = False


@dataclass(frozen=True, slots=True)
class KeyFraming:
    """How the keys of the entity topics have been framed since their first record, and by what they are sharded."""

    framing: str
    key_schemas: dict[str, int] = field(default_factory=dict)
    expression: str = ""


class StoredEntity(NamedTuple):
    """One entity as it stands in the state topic: bytes of a Value, and the schema they were written with."""

    fingerprint: bytes
    account_id: int | None
    user_id: int | None
    value: bytes


class StoredHeld(NamedTuple):
    """A deletion that the brake holds, since when in epoch milliseconds."""

    since_ms: int


OnEntity = Callable[[str, int, StoredEntity | StoredHeld | None], None]


@dataclass(frozen=True, slots=True)
class Restored:
    """What the state partition says besides the entities.

    Attributes:
        head: where the shard stands, the newest of the highest epoch; None if it has never been claimed.
        committed_ms: when the broker took that head (log-append time).
        framing: how its keys are framed; None if never claimed.
        records: how many state records were read.
        end: offset up to which the partition was read.
        pending: whether something stands behind that end whose transaction is open, or looks as if it were.
    """

    head: Head | None
    committed_ms: int
    framing: KeyFraming | None
    records: int
    end: int
    pending: bool = False


class StateCodec:
    """Writes state records under one framing.

    Args:
        key_prefix: framing bytes of the state topic's keys.
        value_prefix: framing bytes of its values.
    """

    def __init__(self, key_prefix: bytes, value_prefix: bytes) -> None:
        self._key_prefix, self._value_prefix = key_prefix, value_prefix

    def entity_key_prefix(self, entity_type: str) -> bytes:
        """Everything of an entity's key but its id."""
        return self._key_prefix + text(entity_type)

    def entity_value_prefix(self, fingerprint: bytes) -> bytes:
        """Everything of an entity's value before its owners."""
        return self._value_prefix + _ENTITY + fingerprint

    def head(self, head: Head) -> tuple[bytes, bytes]:
        """The head as a record."""
        body = b"".join(
            (
                self._value_prefix,
                _HEAD,
                varint(head.epoch),
                text(head.instance),
                varint(head.transaction),
                varint(head.seq),
                varint(head.session),
                _optional(head.snapshot_ms),
                _optional(head.judged_ms),
                _optional(head.alive_ms),
                b"\x01" if head.clean else b"\x00",
            )
        )
        return self._key_prefix + text("") + varint(HEAD_ID), body

    def framing(self, framing: KeyFraming) -> tuple[bytes, bytes]:
        """The framing as a record."""
        body = [text(framing.framing)]
        if framing.key_schemas:
            body += [varint(len(framing.key_schemas))]
            body += [text(name) + varint(number) for name, number in sorted(framing.key_schemas.items())]
        return (
            self._key_prefix + text("") + varint(FRAMING_ID),
            b"".join((self._value_prefix, _FRAMING, *body, b"\x00", text(framing.expression))),
        )

    def held(self, entity_type: str, number: int, since_ms: int | None) -> tuple[bytes, bytes | None]:
        """A held deletion as a record; its tombstone if it is held no more (None)."""
        key = self._key_prefix + text(HELD + entity_type) + varint(number)
        return key, None if since_ms is None else self._value_prefix + _HELD + varint(since_ms)


def read_key(key: bytes) -> tuple[str, int]:
    """Entity type and id of a state record; the type is empty for head and framing, and follows `HELD` where held.

    The framing bytes are stepped over by their length: they may have changed while the state stays readable.
    """
    at = _body(key)
    length, at = _read_long(key, at)
    number, _ = _read_long(key, at + length)
    return key[at : at + length].decode(), number


def is_of_entity(key: bytes) -> bool:
    """Whether a state record is of an entity, held or not, by its key: all that is needed to leave it out."""
    return key[_body(key)] != 0


def read_value(value: bytes) -> StoredEntity | StoredHeld | Head | KeyFraming:
    """The content of a state record."""
    at = _body(value)
    if value[at : at + 1] == _ENTITY:
        return _read_entity(value, at + 1)
    content: Any = fastavro.schemaless_reader(io.BytesIO(value[at:]), _schema(), None, return_record_name=True)
    name, fields = content["content"]
    kinds: dict[str, type[Head | KeyFraming | StoredHeld]] = {"Head": Head, "Framing": KeyFraming, "Held": StoredHeld}
    return kinds[name.rpartition(".")[2]](**fields)


@functools.cache
def _schema() -> Any:
    return fastavro.parse_schema(schemas.control_schema("State"))


def _optional(number: int | None) -> bytes:
    return b"\x00" if number is None else b"\x02" + varint(number)


def _body(data: bytes) -> int:
    """Where the Avro bytes begin: after 5 bytes of Confluent's format or 10 of single-object encoding."""
    if data[:1] == b"\x00":
        return 5
    if data[:2] == b"\xc3\x01":
        return 10
    raise ValueError("neither Confluent's wire format nor Avro single-object encoding")


def _read_entity(data: bytes, at: int) -> StoredEntity:
    fingerprint, at = data[at : at + _FINGERPRINT_BYTES], at + _FINGERPRINT_BYTES
    account_id, at = _read_optional(data, at)
    user_id, at = _read_optional(data, at)
    length, at = _read_long(data, at)
    return StoredEntity(fingerprint, account_id, user_id, data[at : at + length])


def _read_optional(data: bytes, at: int) -> tuple[int | None, int]:
    if data[at] == 0:
        return None, at + 1
    return _read_long(data, at + 1)


def _read_long(data: bytes, at: int) -> tuple[int, int]:
    """One zig-zag varint; returns the number and where the next field begins."""
    byte = data[at]
    at += 1
    number, shift = byte & 0x7F, 7
    while byte & 0x80:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        shift += 7
    return (number >> 1) ^ -(number & 1), at
