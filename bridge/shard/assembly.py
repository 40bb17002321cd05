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

from bridge.changes.absence import Absence, Verdict
from bridge.changes.audit import Auditor
from bridge.changes.certificate import Certificate, Originals, sums
from bridge.changes.reconciler import Reconciler
from bridge.changes.resend import Past
from bridge.changes.state import PublishedState
from bridge.entities.drift import Drift
from bridge.kafka.control import Control
from bridge.kafka.envelope import Envelopes, Records
from bridge.kafka.statelog import Head, StateCodec
from bridge.shard.chronicle import drifted, garbage, judgement
from bridge.shard.frames import SLICE_ROWS, Frames, put
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
from bridge.shard.transaction import Transaction

TURN_BYTES = 64 * 1024
"""After so many bytes of frames other tasks get their turn: about 2 ms of work."""


class Assembler:
    """Makes transactions for one shard under one claim.

    Attributes:
        frames: what puts frames into them.
    """

    def __init__(
        self,
        *,
        frames: Frames,
        state: PublishedState,
        reconciler: Reconciler,
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
    ) -> None:
        self.frames = frames
        self._state, self._reconciler, self._envelopes = state, reconciler, envelopes
        self._control, self._codec, self._state_topic = control, codec, state_topic
        self._originals, self._past, self._absence, self._archive = originals, past, absence, archive
        self._auditor, self._met, self._records = auditor, met, records

    def begin(self, head: Head) -> Transaction:
        """An empty transaction that follows the one which left `head`."""
        following = replace(head, transaction=head.transaction + 1, clean=False)
        return Transaction(following, defaultdict(self._records, {self._state_topic: self._records()}))

    async def add(self, items: Sequence[Item], transaction: Transaction, now_ms: int) -> None:
        """Put the items into a transaction; frames are whole, and the state moves along."""
        worked = 0
        for part in _parts(items):
            if type(part) is Note:
                await self._take_note(part, transaction, now_ms)
            elif type(part) is list:
                await self.frames.add(part, transaction, now_ms)
                worked += sum(len(frame.raw) for frame in part)
                if worked > TURN_BYTES:
                    worked = 0
                    await asyncio.sleep(0)
        await self.follow_up(transaction, now_ms)

    async def follow_up(self, transaction: Transaction, now_ms: int) -> None:
        """Add what follows from the frames so far: keys that were held and have appeared, drift."""
        await self._rule(self._absence.appeared(), now_ms, transaction, now_ms)
        if self._met.news:
            at, events = self.frames.position(transaction), drifted(self._met.take(), now_ms)
            put(transaction.batches, [self._control.event(event, at) for event in events])

    def close(self, transaction: Transaction) -> None:
        """Add the head; the state topic comes last, because without transactions it must not run ahead."""
        state = transaction.batches.pop(self._state_topic)
        state.append(self._codec.head(transaction.head))
        transaction.batches[self._state_topic] = state

    async def _take_note(self, note: Note, transaction: Transaction, now_ms: int) -> None:
        """What a note asks for comes before what it tells."""
        await self._rule(self._absence.appeared(), note.at_ms, transaction, now_ms)
        if type(note.what) is AbsenceDue:
            verdicts = self._absence.judge(transaction.head.judged_ms, note.at_ms)
            await self._rule(verdicts, note.at_ms, transaction, now_ms)
        elif type(note.what) is AuditDue:
            await self._audit(note.what, note.at_ms, transaction, now_ms)
        elif type(note.what) is Watching:
            self.frames.watched(note.what.audit)
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
        events = self.frames.chronicle.tell(note, head)
        at = self.frames.position(transaction)
        put(transaction.batches, [self._control.event(event, at) for event in events])
        refused = garbage(note)
        if refused is not None:
            put(transaction.batches, self._control.dead_letter(refused, at))

    async def _certify(self, transaction: Transaction) -> None:
        """Sum the published state up: once for a snapshot, 0.1 s for 100,000 keys, with turns for others."""
        found = {}
        for part in sums(self._state, self._originals):
            if part is None:
                await asyncio.sleep(0)
            else:
                found[part[0]] = part[1]
        self.frames.chronicle.certificate = Certificate(found, transaction.ends)

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
            self.frames.add_changes(changes, transaction.head.seq + len(changes), nowhere, transaction, now_ms)
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
                self.frames.add_changes(verdict.changes[start : start + SLICE_ROWS], last, nowhere, transaction, now_ms)
                await asyncio.sleep(0)
            if self._archive:
                self._envelopes.archive(verdict.archived, transaction.archived, transaction.batches)
            self._past.archived(verdict.archived)
            state = transaction.batches[self._state_topic]
            state.extend(self._codec.held(*key, None) for key in verdict.released)
            state.extend(self._codec.held(*key, verdict.since_ms) for key in verdict.held)
            at, events = self.frames.position(transaction), judgement(verdict, at_ms)
            transaction.judged += events
            put(transaction.batches, [self._control.event(event, at) for event in events])
            await asyncio.sleep(0)


def _parts(items: Sequence[Item]) -> Iterator[Note | list[Frame]]:
    """Notes, and between them frames that came together, some in a list: all of them read, or none; hot."""
    run: list[Frame] = []
    size = 0
    for item in items:
        frame = item if type(item) is Frame else None
        if run and (frame is None or size > TURN_BYTES or not _together(run[-1], frame)):
            yield run
            run, size = [], 0
        if frame is not None:
            run.append(frame)
            size += len(frame.raw)
        elif type(item) is Note:
            yield item
    if run:
        yield run


def _together(one: Frame, other: Frame) -> bool:
    return one.arrived_us == other.arrived_us and (one.messages is None) == (other.messages is None)
