"""A run of items on its way to disk and back: only bytes of frames go there, notes stay in memory. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bridge.shard.notes import Frame, Item, Note

_RECORD = struct.Struct("<QQI")
RECORD_BYTES = _RECORD.size
"""What a frame needs on disk beside its own bytes: number, arrival in epoch microseconds, length."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the frames of a block stand, and what they must look like when they are read.

    Attributes:
        segment: number of the file.
        offset, length: in bytes.
        crc: CRC-32 of these bytes.
    """

    segment: int
    offset: int
    length: int
    crc: int


@dataclass(slots=True)
class Block:
    """Some items in order.

    Attributes:
        items: all of them while they are in memory, none once the frames are on disk.
        notes: each note with the number of frames before it.
        frames, bytes: how many frames there are, and what they need on disk.
        first_us: arrival of the first frame, epoch microseconds; 0 if there is none.
        place: where the frames are on disk; None while they are in memory.
        gone: it has been handed over or dropped, so that nobody needs its place.
    """

    items: list[Item] = field(default_factory=list)
    notes: list[tuple[int, Note]] = field(default_factory=list)
    frames: int = 0
    bytes: int = 0
    first_us: int = 0
    place: Place | None = None
    sealed: bool = False
    gone: bool = False

    def add(self, item: Item) -> None:
        """Append an item that keeps its place in the order."""
        self.items.append(item)
        if type(item) is Frame:
            self.first_us = self.first_us or item.arrived_us
            self.frames += 1
            self.bytes += RECORD_BYTES + len(item.raw)
        elif type(item) is Note:
            self.notes.append((self.frames, item))

    def settle(self, place: Place) -> None:
        """The frames are on disk: they need no memory any more."""
        self.place, self.items = place, []

    def restored(self, frames: Sequence[Frame]) -> list[Item]:
        """All items in order again, given the frames as they came back."""
        found: list[Item] = []
        begin = 0
        for before, note in self.notes:
            found += frames[begin:before]
            found.append(note)
            begin = before
        found += frames[begin:]
        return found

    def outline(self) -> Iterator[tuple[int, Note | None]]:
        """In order: a number of frames, and the note that follows them; None behind the last."""
        begin = 0
        for before, note in self.notes:
            yield before - begin, note
            begin = before
        yield self.frames - begin, None


def pack(items: Sequence[Item]) -> bytes:
    """The frames among the items as bytes; what was parsed of them is left out."""
    parts: list[bytes] = []
    for item in items:
        if type(item) is Frame:
            parts.append(_RECORD.pack(item.number, item.arrived_us, len(item.raw)))
            parts.append(item.raw)
    return b"".join(parts)


def unpack(data: bytes) -> list[Frame]:
    """The frames that `pack` was given, unparsed."""
    frames, at = [], 0
    while at < len(data):
        number, arrived_us, length = _RECORD.unpack_from(data, at)
        at += RECORD_BYTES
        frames.append(Frame(number, data[at : at + length], None, arrived_us))
        at += length
    return frames
