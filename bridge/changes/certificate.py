"""What a shard's published state comes to, in a form that a consumer can work out from the topics. Pure.

For each entity type the number of keys, and the sum, modulo 2^128, of the first 16 bytes (big-endian) of
SHA-256(id as 8 bytes big-endian ++ the bytes of the `Value` as they stand in `after`) over all keys. A sum, because
then the order does not matter; it finds errors, not forgeries.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from struct import Struct

from bridge.changes.state import PublishedState

SLICE_KEYS = 500
"""So many keys are summed up between two turns of others: about a millisecond of work."""
_MODULUS_MASK = (1 << 128) - 1
_HASHED_BYTES = 16
_ID = Struct(">q")


@dataclass(frozen=True, slots=True)
class TypeSum:
    """Of one entity type: how many keys, and their sum in hexadecimal (32 digits)."""

    count: int
    hash: str


@dataclass(frozen=True, slots=True)
class Certificate:
    """The published state at one point of the topics.

    Attributes:
        types: sums by entity type; types without keys are left out.
        offsets: by topic, the offset in the shard's partition before which everything is included.
    """

    types: Mapping[str, TypeSum]
    offsets: Mapping[str, int] = field(default_factory=dict)


class Originals:
    """Values that stand in the topics as an older schema wrote them, while the state holds them encoded anew."""

    __slots__ = ("_types",)

    def __init__(self) -> None:
        self._types: dict[str, dict[int, tuple[bytes, bytes]]] = {}

    def remember(self, entity_type: str, number: int, anew: bytes, original: bytes) -> None:
        """Keep what was written for as long as the state holds what was encoded anew from it."""
        self._types.setdefault(entity_type, {})[number] = (anew, original)

    def written(self, entity_type: str, number: int, value: bytes) -> bytes:
        """The bytes that stand in the topic for a value of the state."""
        known = self._types.get(entity_type)
        pair = known.get(number) if known else None
        return pair[1] if pair is not None and pair[0] is value else value


def sums(state: PublishedState, originals: Originals) -> Iterator[tuple[str, TypeSum] | None]:
    """The sum of each type in turn, and None now and then so that others may run; the state must not move meanwhile."""
    waiting = SLICE_KEYS
    for name, table in state.tables.items():
        total = 0
        for number, entry in table.items():
            total += term(number, originals.written(name, number, entry[0]))
            waiting -= 1
            if not waiting:
                waiting = SLICE_KEYS
                yield None
        if table:
            yield name, TypeSum(len(table), f"{total & _MODULUS_MASK:032x}")


def term(number: int, value: bytes) -> int:
    """What one key contributes."""
    return int.from_bytes(hashlib.sha256(_ID.pack(number) + value).digest()[:_HASHED_BYTES], "big")
