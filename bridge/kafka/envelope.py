"""From changes to records of the entity topics, by splicing bytes. Pure, and hot: every event passes here.

A `Value` is encoded once, by the encoder; those bytes are the `after`, later the `before`, and the state record. The
envelope around them is put together from pieces most of which do not change within a claim or a frame.
Field order is that of the contract: before, after, source {version, connector, name, environment, ts_ms, snapshot,
shard, divisor, epoch, seq, frame, frame_last, account_id, user_id, received_us, resend}, op, ts_ms.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias

from bridge.entities.change import Change
from bridge.entities.primitives import IDS, SIZES, ascending, block_of, text, varint

Record: TypeAlias = tuple[bytes, bytes | None]


class Records(Protocol):
    """Records of one topic, in order (`kafka/packing.py`)."""

    def append(self, record: Record, /) -> None:
        """One more."""

    def extend(self, records: Iterable[Record], /) -> None:
        """Some more."""

    def __len__(self) -> int:
        """How many."""


Batches: TypeAlias = defaultdict[str, Records]
Part: TypeAlias = tuple[int, int, Sequence[Change]]
"""A frame's number, the seq that its last change will have, and its changes or a slice of them."""


class Archived(list[Record]):
    """Tombstones of entities that were archived, not deleted; consumers tell them apart by the header."""

    HEADERS: Final[Sequence[tuple[str, bytes]]] = [("syncbridge.archived", b"")]


MOST_OWNERS: Final = 100_000
_NO_HEADERS: Sequence[tuple[str, bytes]] = []
_ABSENT, _PRESENT = b"\x00", b"\x02"
"""Branches of `union null | T`."""
_FALSE, _TRUE, _NOTHING = b"\x00", b"\x01", b""
_OPS = {op: text(op) for op in ("r", "c", "u", "d")}


@dataclass(frozen=True, slots=True)
class TypeBytes:
    """What stands before the variable bytes of one entity type's records, on its topic and on the state topic."""

    topic: str
    key: bytes
    value: bytes
    state_key: bytes
    state_value: bytes
    updated: bytes = field(init=False)

    def __post_init__(self) -> None:
        """What stands before an envelope that has a `before`."""
        object.__setattr__(self, "updated", self.value + _PRESENT)


@dataclass(frozen=True, slots=True)
class Origin:
    """The part of `source` that a process never changes."""

    version: str
    name: str
    environment: str
    shard: int
    divisor: int


def _nullable(value: bytes | None) -> bytes:
    return _ABSENT if value is None else _PRESENT + value


class Envelopes:
    """Builds the records of one shard under one epoch.

    Args:
        types: byte prefixes by entity type; a change of a type that is not here is an error of ours (KeyError).
        state_topic: where state records go.
    """

    def __init__(self, origin: Origin, epoch: int, types: Mapping[str, TypeBytes], state_topic: str) -> None:
        self._types, self._state_topic = types, state_topic
        self._source = text(origin.version) + text("tradovate") + text(origin.name) + text(origin.environment)
        position = varint(origin.shard) + varint(origin.divisor) + varint(epoch)
        self._snapshot = {word: text(word) + position for word in ("true", "false", "reconcile", "audit", "retry")}
        self._optional: dict[int | None, bytes] = {}
        self._now_ms, self._now = -1, _NOTHING
        self._block = (0, *block_of(0))
        self._lead: tuple[int | None, str, bytes] = (None, "", _NOTHING)

    def add(
        self,
        changes: Sequence[Change],
        seq: int,
        last: int,
        frame: int,
        received_us: int,
        now_ms: int,
        batches: Batches,
        *,
        resend: bool = False,
    ) -> int:
        """Append the records of a frame's changes, or of a slice of them; see `add_frames`."""
        return self.add_frames(((frame, last, changes),), seq, received_us, now_ms, batches, resend=resend)

    def add_frames(  # noqa: C901 - hot, so it is one loop
        self,
        frames: Iterable[Part],
        seq: int,
        received_us: int,
        now_ms: int,
        batches: Batches,
        *,
        resend: bool = False,
    ) -> int:
        """Append the records of some frames' changes to the batches, topic by topic.

        Args:
            seq: the last seq used so far.
            received_us: when the frames arrived; stands in for the time of entities that have none.
            batches: of what `bridge.app.implementation.RECORDS` makes.
            resend: the broker has sent these once more.

        Returns:
            The last seq used now.
        """
        types, optional, ids, join, sizes, tabled = self._types, self._optional, IDS, b"".join, SIZES, len(SIZES)
        arrived = ascending(received_us) + (_TRUE if resend else _FALSE)
        if now_ms != self._now_ms:
            self._now_ms, self._now = now_ms, ascending(now_ms)
        topics: Any = batches  # whose records are `EncodedRecords`; their `append` would cost a call more for each
        state = topics[self._state_topic]
        # What neighbours have in common is put together once: the time and what stands around it, the op likewise.
        (lead_ms, lead_snapshot, lead), tail_op, tail = self._lead, None, _NOTHING
        block, table, higher = self._block
        for frame, last, changes in frames:
            position = ascending(frame) + ascending(last)
            rest = higher + position
            for entity_type, number, op, before, after, ts_ms, account_id, user_id, snapshot in changes:
                seq += 1
                if seq >> 13 != block:
                    block, (table, higher) = seq >> 13, block_of(seq)
                    rest = higher + position
                kind = types[entity_type]
                identity = ids[number]
                try:
                    account = optional[account_id]
                    user = optional[user_id]
                except KeyError:
                    account, user = self._remembered(account_id), self._remembered(user_id)
                if ts_ms != lead_ms or snapshot is not lead_snapshot or ts_ms is None:
                    lead = (
                        self._source
                        + ascending(received_us // 1000 if ts_ms is None else ts_ms)
                        + self._snapshot[snapshot]
                    )
                    lead_ms, lead_snapshot = ts_ms, snapshot
                if op is not tail_op:
                    tail, tail_op = arrived + _OPS[op] + self._now, op
                if before is not None and after is not None:
                    value = join(
                        (kind.updated, before, _PRESENT, after, lead, table[seq & 0x1FFF], rest, account, user, tail)
                    )
                else:
                    contents = _nullable(before) + _nullable(after)
                    value = join((kind.value, contents, lead, table[seq & 0x1FFF], rest, account, user, tail))
                key = kind.key + identity
                records = topics[kind.topic]
                if records.write(records.count, 0, key, value, _NO_HEADERS) is None:
                    records.begin(key, value)
                records.count += 1
                if after is None:
                    records.append((key, None))
                    state.append((kind.state_key + identity, None))
                else:
                    length = len(after)
                    stored = join(
                        (kind.state_value, account, user, sizes[length] if length < tabled else varint(length), after)
                    )
                    key = kind.state_key + identity
                    if state.write(state.count, 0, key, stored, _NO_HEADERS) is None:
                        state.begin(key, stored)
                    state.count += 1
        self._lead, self._block = (lead_ms, lead_snapshot, lead), (block, table, higher)
        return seq

    def _remembered(self, owner: int | None) -> bytes:
        """Its encoding as `union null | long`; owners are few and come again and again."""
        encoded = _ABSENT if owner is None else _PRESENT + varint(owner)
        if len(self._optional) >= MOST_OWNERS:
            self._optional.clear()
        self._optional[owner] = encoded
        return encoded

    def archive(self, archived: Sequence[tuple[str, int]], tombstones: dict[str, Archived], batches: Batches) -> None:
        """Append the lone tombstones of archived entities, and take them out of the state topic.

        They are no envelopes, so they take no seq.
        """
        state = batches[self._state_topic]
        for entity_type, number in archived:
            kind, identity = self._types[entity_type], varint(number)
            tombstones.setdefault(kind.topic, Archived()).append((kind.key + identity, None))
            state.append((kind.state_key + identity, None))
