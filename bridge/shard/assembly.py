"""From items of the channel to one transaction: reconcile, encode, head. No I/O; it only lets others run in between.

Everything is decided here before the transaction begins: which records, in which order, and where the shard stands
afterwards. If Kafka then refuses, the very same records are written again; so the next transaction may be put together
while this one is on its way.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from bridge.changes.absence import Absence, Verdict
from bridge.changes.audit import Auditor
from bridge.changes.certificate import Certificate, Originals, sums
from bridge.changes.reconciler import Found, Reconciler, Row
from bridge.changes.resend import Past
from bridge.changes.state import PublishedState
from bridge.entities.change import Change, Refused, Unmapped
from bridge.entities.drift import UNKNOWN_TYPE, Drift
from bridge.entities.exact import Inexact, refuse_rounded
from bridge.kafka.control import Control, Position
from bridge.kafka.envelope import Batches, Envelopes, Record, Records
from bridge.kafka.statelog import Head, StateCodec
from bridge.shard.chronicle import Chronicle, drifted, garbage, judgement
from bridge.shard.notes import (
    AbsenceDue,
    AuditDue,
    Decided,
    Errand,
    Frame,
    Item,
    Note,
    SessionOpened,
    SnapshotCompleted,
    Watching,
)
from bridge.shard.reader import Reader
from bridge.shard.transaction import Transaction

LARGE_FRAME_BYTES = 128 * 1024
SLICE_ROWS = 500
TURN_BYTES = 64 * 1024
"""After so many bytes of frames other tasks get their turn: about 2 ms of work."""


class Assembler:
    """Makes transactions for one shard under one claim."""

    def __init__(
        self,
        *,
        state: PublishedState,
        reconciler: Reconciler,
        reader: Reader,
        envelopes: Envelopes,
        control: Control,
        codec: StateCodec,
        originals: Originals,
        past: Past,
        absence: Absence,
        met: Drift,
        auditor: Auditor,
        records: Callable[[], Records],
        archive: bool,
        state_topic: str,
        shard: int,
        divisor: int,
    ) -> None:
        self._state, self._reconciler, self._reader = state, reconciler, reader
        self._envelopes, self._control, self._codec = envelopes, control, codec
        self._state_topic, self._shard, self._divisor = state_topic, shard, divisor
        self._originals, self._past, self._absence, self._archive = originals, past, absence, archive
        self._auditor, self._plain_reader = auditor, reader
        self._met, self._chronicle, self._records = met, Chronicle(), records

    def begin(self, head: Head) -> Transaction:
        """An empty transaction that follows the one which left `head`."""
        following = replace(head, transaction=head.transaction + 1, clean=False)
        return Transaction(following, defaultdict(self._records, {self._state_topic: self._records()}))

    async def add(self, items: Sequence[Item], transaction: Transaction, now_ms: int) -> None:
        """Put the items into a transaction; frames are whole, and the state moves along."""
        worked = 0
        for item in items:
            if type(item) is Frame:
                size = len(item.raw)
                if size < LARGE_FRAME_BYTES:
                    self._small_frame(item, transaction, now_ms)
                else:
                    await self._large_frame(item, transaction, now_ms)
                worked += size
                if worked > TURN_BYTES:
                    worked = 0
                    await asyncio.sleep(0)
            elif type(item) is Note:
                await self._take_note(item, transaction, now_ms)
        await self.follow_up(transaction, now_ms)

    async def follow_up(self, transaction: Transaction, now_ms: int) -> None:
        """Add what follows from the frames so far: keys that were held and have appeared, drift."""
        await self._rule(self._absence.appeared(), now_ms, transaction, now_ms)
        if self._met.news:
            at, events = self._position(transaction), drifted(self._met.take(), now_ms)
            _put(transaction.batches, [self._control.event(event, at) for event in events])

    def take(self, frame: Frame, transaction: Transaction, now_ms: int) -> bool:
        """Put a frame into a transaction at once, if it is not too large; `follow_up` must come sometime. Hot."""
        if len(frame.raw) >= LARGE_FRAME_BYTES:
            return False
        self._small_frame(frame, transaction, now_ms)
        return True

    def close(self, transaction: Transaction) -> None:
        """Add the head; the state topic comes last, because without transactions it must not run ahead."""
        state = transaction.batches.pop(self._state_topic)
        state.append(self._codec.head(transaction.head))
        transaction.batches[self._state_topic] = state

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
            self._add(found.changes, last, frame, transaction, now_ms)
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
            self._add(found.changes[start : start + SLICE_ROWS], last, frame, transaction, now_ms)
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

    def _add(self, changes: list[Change], last: int, frame: Frame, transaction: Transaction, now_ms: int) -> None:
        head = transaction.head
        for again, run in self._past.runs(changes, now_ms):
            head.seq = self._envelopes.add(
                run, head.seq, last, frame.number, frame.arrived_us, now_ms, transaction.batches, resend=again
            )
            if again:
                self._reconciler.counts.resent += len(run)
        transaction.changes += len(changes)
        if self._chronicle.gap is not None:
            self._chronicle.count(changes)

    def _finish(self, frame: Frame, transaction: Transaction, found: Found, unmapped: list[Unmapped]) -> None:
        transaction.frames += 1
        transaction.oldest_us = transaction.oldest_us or frame.arrived_us
        if self._chronicle.gap is None:
            transaction.head.alive_ms = frame.arrived_us // 1000
        if unmapped:
            found.unmapped += unmapped
        if found.refused or found.unmapped:
            self._set_aside(found, frame, transaction)

    def _set_aside(self, found: Found, frame: Frame, transaction: Transaction) -> None:
        at = self._position(transaction, frame)
        for refused in found.refused:
            _put(transaction.batches, self._control.dead_letter(refused, at))
        for thing in found.unmapped:
            _put(transaction.batches, self._control.unmapped(thing, at))
            self._met.note(thing.entity_type, "", UNKNOWN_TYPE)

    async def _take_note(self, note: Note, transaction: Transaction, now_ms: int) -> None:
        """What a note asks for comes before what it tells."""
        await self._rule(self._absence.appeared(), note.at_ms, transaction, now_ms)
        if type(note.what) is AbsenceDue:
            verdicts = self._absence.judge(transaction.head.judged_ms, note.at_ms)
            await self._rule(verdicts, note.at_ms, transaction, now_ms)
        elif type(note.what) is AuditDue:
            await self._audit(note.what, note.at_ms, transaction, now_ms)
        elif type(note.what) is Watching:
            self._reader = self._plain_reader.watched(note.what.audit)
        elif type(note.what) is SnapshotCompleted:
            await self._certify(transaction)
        elif type(note.what) is Decided:
            await self._decide(note.what, note.at_ms, transaction, now_ms)
        elif type(note.what) is Errand:
            self._run(note.what, transaction, now_ms)
        self._note(note, transaction)

    def _note(self, note: Note, transaction: Transaction) -> None:
        head = transaction.head
        transaction.noted = True
        transaction.completed += type(note.what) is SnapshotCompleted
        if type(note.what) is SessionOpened:
            self._reconciler.open_session(initial=head.snapshot_ms is None)
        events = self._chronicle.tell(note, head)
        at = self._position(transaction)
        _put(transaction.batches, [self._control.event(event, at) for event in events])
        refused = garbage(note)
        if refused is not None:
            _put(transaction.batches, self._control.dead_letter(refused, at))

    async def _certify(self, transaction: Transaction) -> None:
        """Sum the published state up: once for a snapshot, 0.1 s for 100,000 keys, with turns for others."""
        found = {}
        for part in sums(self._state, self._originals):
            if part is None:
                await asyncio.sleep(0)
            else:
                found[part[0]] = part[1]
        self._chronicle.certificate = Certificate(found, transaction.ends)

    async def _decide(self, decided: Decided, at_ms: int, transaction: Transaction, now_ms: int) -> None:
        """Carry out what somebody wants to become of held keys, and say how many it were when it is committed."""
        verdicts = list(
            self._absence.decide(confirm=decided.confirm, entity_type=decided.entity_type, numbers=decided.numbers)
        )
        await self._rule(verdicts, at_ms, transaction, now_ms)
        counts = Counter(name for verdict in verdicts for name, _ in verdict.released)
        transaction.answers.append(partial(decided.done, counts))

    def _run(self, errand: Errand, transaction: Transaction, now_ms: int) -> None:
        """Do what somebody wants done, and answer when it is committed; its changes come from no frame, so it is 0."""
        changes, answer = errand.work()
        if changes:
            nowhere = Frame(0, b"", None, errand.received_us)
            self._add(changes, transaction.head.seq + len(changes), nowhere, transaction, now_ms)
        transaction.answers.append(partial(errand.done, answer))

    async def _audit(self, due: AuditDue, at_ms: int, transaction: Transaction, now_ms: int) -> None:
        """Repair what an audit has found to be otherwise, and tell when it is committed."""
        await self._rule(self._auditor.differences(due.audit, due.differing), at_ms, transaction, now_ms)
        if due.ended:
            verdicts = self._auditor.absences(due.audit, transaction.head.judged_ms, at_ms)
            await self._rule(verdicts, at_ms, transaction, now_ms)
        transaction.answers.append(due.done)

    async def _rule(self, verdicts: Iterable[Verdict], at_ms: int, transaction: Transaction, now_ms: int) -> None:
        """Delete, archive, hold or release; these records come from no frame, so it is 0."""
        nowhere = Frame(0, b"", None, at_ms * 1000)
        for verdict in verdicts:
            transaction.noted = True
            last = transaction.head.seq + len(verdict.changes)
            for start in range(0, len(verdict.changes), SLICE_ROWS):
                self._add(verdict.changes[start : start + SLICE_ROWS], last, nowhere, transaction, now_ms)
                await asyncio.sleep(0)
            if self._archive:
                self._envelopes.archive(verdict.archived, transaction.archived, transaction.batches)
            self._past.archived(verdict.archived)
            state = transaction.batches[self._state_topic]
            state.extend(self._codec.held(*key, None) for key in verdict.released)
            state.extend(self._codec.held(*key, verdict.since_ms) for key in verdict.held)
            at, events = self._position(transaction), judgement(verdict, at_ms)
            transaction.judged += events
            _put(transaction.batches, [self._control.event(event, at) for event in events])
            await asyncio.sleep(0)

    def _position(self, transaction: Transaction, frame: Frame | None = None) -> Position:
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


def _put(batches: Batches, records: Sequence[tuple[str, Record]]) -> None:
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
