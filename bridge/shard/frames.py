"""Frames into a transaction: read, reconciled, put into records. No I/O; large frames give others a turn in between.

A frame is whole or not at all: what breaks in the middle of one ends the shard before anything of it is written. A
number that the fast JSON reader may have rounded is read once more, exactly, with the whole frame.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from bridge.changes.audit import Audit
from bridge.changes.reconciler import Found, Reconciler, Row
from bridge.changes.resend import Past
from bridge.changes.state import PublishedState
from bridge.entities.change import Change, Refused, Unmapped
from bridge.entities.drift import UNKNOWN_TYPE, Drift
from bridge.entities.exact import Inexact, refuse_rounded
from bridge.kafka.control import Control, Position
from bridge.kafka.envelope import Batches, Envelopes, Record
from bridge.shard.chronicle import Chronicle
from bridge.shard.notes import Frame
from bridge.shard.reader import Reader
from bridge.shard.transaction import Transaction

LARGE_FRAME_BYTES = 128 * 1024
SLICE_ROWS = 500


class Express(Protocol):
    """Takes frames of nothing but usual events from their bytes to records in one go, as `Frames` would."""

    def take(
        self, frames: list[bytes], start: int, number: int, received_us: int, now_ms: int, seq: int, batches: Batches
    ) -> tuple[int, int]:
        """Take frames from `start` on, one after the other, up to one that holds anything unusual.

        Args:
            number: of the first of them.
            seq: the last that was used so far.

        Returns:
            How many it took, and the last seq used now.
        """

    def take_read(self, frame: Frame, now_ms: int, seq: int, batches: Batches) -> tuple[bool, int]:
        """Take a frame that has been read, if that is sooner than the way of `Frames`.

        Returns:
            Whether it took it, and the last seq used now.
        """


class Frames:
    """Puts the frames of one shard into transactions, under one claim.

    Attributes:
        chronicle: the shard's gap, in which what a snapshot finds is counted.
    """

    def __init__(
        self,
        *,
        state: PublishedState,
        reconciler: Reconciler,
        reader: Reader,
        envelopes: Envelopes,
        control: Control,
        past: Past,
        met: Drift,
        express: Express,
        shard: int,
        divisor: int,
    ) -> None:
        self.chronicle = Chronicle()
        self._state, self._reconciler, self._reader, self._plain_reader = state, reconciler, reader, reader
        self._envelopes, self._control, self._past, self._met = envelopes, control, past, met
        self._express = express
        self._shard, self._divisor = shard, divisor

    def watched(self, audit: Audit | None) -> None:
        """From here on the audit sees all that is read; None for no audit."""
        self._reader = self._plain_reader.watched(audit)

    async def add(self, frames: Sequence[Frame], transaction: Transaction, now_ms: int) -> None:
        """Put frames of any size into a transaction, with turns for others while a large one lasts.

        Args:
            frames: such that follow one another and came together; either all of them have been read, or none.
        """
        unread = [] if frames[0].messages is not None else [frame.raw for frame in frames]
        at = 0
        while at < len(frames):
            frame, taken = frames[at], 0
            if unread:
                taken = self.take_unread(unread, at, frame.number, frame.arrived_us, transaction, now_ms)
            if not taken and not self.take(frame, transaction, now_ms):
                await self._large_frame(frame, transaction, now_ms)
            at += taken or 1

    def take(self, frame: Frame, transaction: Transaction, now_ms: int) -> bool:
        """Put a frame into a transaction at once, if it is not too large; `follow_up` must come sometime. Hot."""
        if len(frame.raw) >= LARGE_FRAME_BYTES:
            return False
        if not self._take_read(frame, transaction, now_ms):
            self._small_frame(frame, transaction, now_ms)
        return True

    def take_unread(
        self, frames: list[bytes], start: int, number: int, arrived_us: int, transaction: Transaction, now_ms: int
    ) -> int:
        """Put the frame at `start`, and at times some that follow it, into a transaction at once, as `take` does; hot.

        Args:
            number: of that frame.

        Returns:
            How many; none if that frame holds anything but events.
        """
        if self._is_usual(now_ms):
            last, batches = transaction.head.seq, transaction.batches
            taken, seq = self._express.take(frames, start, number, arrived_us, now_ms, last, batches)
            if taken:
                self._took(taken, seq, arrived_us, transaction)
                return taken
        raw = frames[start]
        plain, messages = self._reader.events(raw) if len(raw) < LARGE_FRAME_BYTES else (False, None)
        if plain:
            self._small_frame(Frame(number, raw, messages, arrived_us), transaction, now_ms)
        return int(plain)

    def _take_read(self, frame: Frame, transaction: Transaction, now_ms: int) -> bool:
        if frame.messages is None or not self._is_usual(now_ms):
            return False
        taken, seq = self._express.take_read(frame, now_ms, transaction.head.seq, transaction.batches)
        if taken:
            self._took(1, seq, frame.arrived_us, transaction)
        return taken

    def _took(self, frames: int, seq: int, arrived_us: int, transaction: Transaction) -> None:
        """So many frames were taken straight, up to this seq."""
        head = transaction.head
        transaction.frames += frames
        transaction.changes += seq - head.seq
        transaction.oldest_us = transaction.oldest_us or arrived_us
        head.seq, head.alive_ms = seq, arrived_us // 1000

    def _is_usual(self, now_ms: int) -> bool:
        """Whether nobody looks at single events now: no gap is open, no audit watches, nothing is sent again."""
        return self._past.is_quiet(now_ms) and self.chronicle.gap is None and self._reader is self._plain_reader

    def _small_frame(self, frame: Frame, transaction: Transaction, now_ms: int) -> None:
        """A frame that takes no time worth sharing; hot, so it is done without a coroutine."""
        self._state.begin()
        rows, unmapped = self._reader.rows(self._messages(frame))
        try:
            found = self._reconciler.apply(rows)
            _refuse_rounded(unmapped)
        except Inexact:
            self._state.rollback()
            self._uncount(rows)
            self._state.rollback()
            rows, unmapped, refused = self._exactly(frame)
            found = self._reconciler.apply(rows, exact=True)
            found.refused += refused
        head = transaction.head
        if found.changes:
            last = head.seq + len(found.changes)
            self.add_changes(found.changes, last, frame, transaction, now_ms)
        self._finish(frame, transaction, found, unmapped)

    async def _large_frame(self, frame: Frame, transaction: Transaction, now_ms: int) -> None:
        """The same in slices, with a turn for others after each: a snapshot may hold 50,000 rows in one frame."""
        self._state.begin()
        rows, unmapped = self._reader.rows(self._messages(frame))
        try:
            found = await self._reconcile_slices(rows, exact=False)
            _refuse_rounded(unmapped)
        except Inexact:
            self._state.rollback()
            for part in _row_slices(rows):
                if not self._uncount(part):
                    break
                await asyncio.sleep(0)
            self._state.rollback()
            rows, unmapped, refused = self._exactly(frame)
            found = await self._reconcile_slices(rows, exact=True)
            found.refused += refused
        last = transaction.head.seq + len(found.changes)
        for start in range(0, len(found.changes), SLICE_ROWS):
            self.add_changes(found.changes[start : start + SLICE_ROWS], last, frame, transaction, now_ms)
            await asyncio.sleep(0)
        self._finish(frame, transaction, found, unmapped)

    async def _reconcile_slices(self, rows: list[Row], *, exact: bool) -> Found:
        found = Found()
        for part in _row_slices(rows):
            piece = self._reconciler.apply(part, exact=exact)
            found.changes += piece.changes
            found.refused += piece.refused
            found.unmapped += piece.unmapped
            await asyncio.sleep(0)
        return found

    def _uncount(self, rows: list[Row]) -> bool:
        """Count down what an attempt at these rows has counted, by making it once more; whether it came to its end.

        Seldom, so that counting need not be undone like the state, which would cost something for every frame.
        """
        with self._reconciler.counting_down({row[0] for row in rows}):
            try:
                self._reconciler.apply(rows)
            except Inexact:
                return False
        return True

    def _exactly(self, frame: Frame) -> tuple[list[Row], list[Unmapped], list[Refused]]:
        """The frame read number by number; if it is nested too deeply for that, all of it is a dead letter."""
        try:
            rows, unmapped = self._reader.rows(self._reader.messages(frame.raw, True))
        except ValueError as error:
            return [], [], [self._reconciler.refuse_frame(frame.raw, str(error))]
        return rows, unmapped, []

    def _messages(self, frame: Frame) -> list[Any]:
        return self._reader.messages(frame.raw, False) if frame.messages is None else frame.messages

    def add_changes(
        self, changes: list[Change], last: int, frame: Frame, transaction: Transaction, now_ms: int
    ) -> None:
        """Put changes that a frame has brought, or that belong to none, into a transaction as records.

        Args:
            last: the seq of the frame's last change.
        """
        head = transaction.head
        for again, run in self._past.runs(changes, now_ms):
            head.seq = self._envelopes.add(
                run, head.seq, last, frame.number, frame.arrived_us, now_ms, transaction.batches, resend=again
            )
            if again:
                self._reconciler.counts.resent += len(run)
        transaction.changes += len(changes)
        if self.chronicle.gap is not None:
            self.chronicle.count(changes)

    def _finish(self, frame: Frame, transaction: Transaction, found: Found, unmapped: list[Unmapped]) -> None:
        transaction.frames += 1
        transaction.oldest_us = transaction.oldest_us or frame.arrived_us
        if self.chronicle.gap is None:
            transaction.head.alive_ms = frame.arrived_us // 1000
        if unmapped:
            found.unmapped += unmapped
        if found.refused or found.unmapped:
            self._set_aside(found, frame, transaction)

    def _set_aside(self, found: Found, frame: Frame, transaction: Transaction) -> None:
        at = self.position(transaction, frame)
        for refused in found.refused:
            put(transaction.batches, self._control.dead_letter(refused, at))
        for thing in found.unmapped:
            put(transaction.batches, self._control.unmapped(thing, at))
            self._met.note(thing.entity_type, "", UNKNOWN_TYPE)

    def position(self, transaction: Transaction, frame: Frame | None = None) -> Position:
        """Where a control record stands: after the changes so far, or in this frame."""
        head = transaction.head
        return Position(
            shard=self._shard,
            divisor=self._divisor,
            epoch=head.epoch,
            seq=head.seq,
            session=head.session,
            frame=frame.number if frame else 0,
            received_us=frame.arrived_us if frame else 0,
        )


def put(batches: Batches, records: Sequence[tuple[str, Record]]) -> None:
    """Append records to their topics' batches."""
    for topic, record in records:
        batches[topic].append(record)


def _refuse_rounded(unmapped: list[Unmapped]) -> None:
    """What is not understood is kept as exactly as what is."""
    if unmapped:
        refuse_rounded([thing.content for thing in unmapped])


def _row_slices(rows: list[Row]) -> Iterator[list[Row]]:
    """The same rows in the same order, cut so that none has more than a slice of entities."""
    for entity_type, event_type, entities, list_name, snapshot in rows:
        for start in range(0, len(entities) or 1, SLICE_ROWS):  # an empty list was there, which is something to know
            yield [(entity_type, event_type, entities[start : start + SLICE_ROWS], list_name, snapshot)]
