"""Usual frames straight to records, in Python; `speed/express.c` is the same where the accelerator was built.

A frame is read and encoded whole before anything is touched, so nothing ever has to be taken back; one that holds
anything unusual (a deletion, a field that is unknown, a number that does not fit ...) is left, untouched, to
`bridge.shard.frames`.
"""

from __future__ import annotations

from itertools import chain, islice
from typing import Any, Final

import orjson

from bridge.changes.kind import Event
from bridge.changes.reconciler import Reconciler
from bridge.changes.resend import Past
from bridge.entities.change import LIVE
from bridge.entities.encoder import UNUSUAL
from bridge.kafka.envelope import Batches, Envelopes
from bridge.shard.frames import LARGE_FRAME_BYTES
from bridge.shard.notes import Frame

ABSENT_BYTES: Final = 256
"""More than the absent fields of any entity take in its Value; what is present takes less than twice its JSON."""
TAKEN_BYTES: Final = 16 * 1024
"""Of frames that are compared and written together; more would be cold."""
_UPSERTS: Final = ("Updated", "Created")
"""No set: comparing with the first is sooner than a hash."""


class PlainExpress:
    """`bridge.shard.frames.Express` by what the shard's reconciler and envelopes are made of."""

    def __init__(self, reconciler: Reconciler, envelopes: Envelopes, past: Past) -> None:
        self._reconciler, self._envelopes, self._past = reconciler, envelopes, past
        # so that no Value of such a frame is too large
        self._largest = min(LARGE_FRAME_BYTES, (reconciler.max_value_bytes - ABSENT_BYTES) // 2)
        self._unusual: bytes | None = None

    def take(
        self, frames: list[bytes], start: int, number: int, received_us: int, now_ms: int, seq: int, batches: Batches
    ) -> tuple[int, int]:
        """As the Protocol's."""
        if frames[start] is self._unusual:
            self._unusual = None
            return 0, seq
        taken: list[list[Event]] = []
        size = 0
        for raw in islice(frames, start, None):
            events = self._events(raw, None)
            if not events:
                self._unusual = raw if taken else None  # it is offered again at once: no need to read it twice
                break
            taken.append(events)
            size += len(raw)
            if size > TAKEN_BYTES:
                break
        return len(taken), self._publish(taken, number, received_us, now_ms, seq, batches)

    def take_read(self, frame: Frame, now_ms: int, seq: int, batches: Batches) -> tuple[bool, int]:
        """As the Protocol's."""
        events = self._events(frame.raw, frame.messages)
        if not events:
            return False, seq
        return True, self._publish([events], frame.number, frame.arrived_us, now_ms, seq, batches)

    def _events(self, raw: bytes, messages: list[Any] | None) -> list[Event]:
        """What a frame tells, encoded; nothing if anything in it is unusual. Touches nothing; hot."""
        if len(raw) >= self._largest or raw[:2] != b"a[":
            return []
        kinds, events = self._reconciler.kinds, []
        try:
            for message in orjson.loads(raw[1:]) if messages is None else messages:
                data = message["d"]
                event_type, entity = data["eventType"], data["entity"]
                if message["e"] != "props" or event_type not in _UPSERTS:
                    return []
                kind = kinds[data["entityType"]]
                try:
                    read = kind.read[len(entity)](entity)
                except UNUSUAL:
                    read = kind.read.without_nulls(entity)
                events.append((kind, read, entity, event_type))
        except UNUSUAL:
            return []
        return events

    def _publish(
        self, frames: list[list[Event]], number: int, received_us: int, now_ms: int, seq: int, batches: Batches
    ) -> int:
        published = self._reconciler.publish(frames, LIVE, [], None)
        self._past.note(chain.from_iterable(published), now_ms)
        parts, last = [], seq
        for frame, changes in enumerate(published, number):
            last += len(changes)
            parts.append((frame, last, changes))
        return self._envelopes.add_frames(parts, seq, received_us, now_ms, batches) if last > seq else seq
