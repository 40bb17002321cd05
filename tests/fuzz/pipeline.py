"""Everything between socket and producer without either: session, rows, reconciler, envelopes, head; told the time."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from bridge.app.implementation import READER, RECONCILER
from bridge.app.restoring import Memory
from bridge.app.shards import Shared, assembler_of, kinds, state_codec
from bridge.config import load
from bridge.entities.catalogue import SNAPSHOT_TYPES
from bridge.entities.drift import Drift
from bridge.entities.encoder import DRIFTS, SHAPES
from bridge.errors import SessionLost
from bridge.kafka.client import Cluster
from bridge.kafka.decode import RecordDecoder
from bridge.kafka.framing import SingleObject
from bridge.kafka.statelog import Head
from bridge.shard.notes import (
    AbsenceDue,
    Frame,
    FrameUnread,
    Item,
    Note,
    SessionEnded,
    SessionOpened,
    SnapshotCompleted,
)
from bridge.shard.transaction import Transaction
from bridge.source.events import Ended, SnapshotComplete, SyncSent
from bridge.source.plan import SyncPlan
from bridge.source.session import Session
from tests.packed import records_of

TOKEN = "eyJ.a-secret-of-ours"
MORNING_US = 1_772_366_400_000_000
MOST_FRAMES = 10
MAX_VALUE_BYTES = 64 * 1024
Step = bytes | float | str
"""A frame, seconds that pass, or something that happens: `absence`, `closed`, `pause`, `resume`."""
Script = list[Step]
_TABLE = re.search(
    r"^### Causes\n(.*?)^Back-off",
    (Path(__file__).parents[2] / "docs/operations.md").read_text("utf-8"),
    re.MULTILINE | re.DOTALL,
)
CAUSES = frozenset(
    re.findall(r"`([a-z_]+)`", "".join(x.split(" | ")[0] for x in _TABLE[1].splitlines()) if _TABLE else "")
)
"""Why a session may end, as the documents say."""


class Shaken(AssertionError):
    """Something that must always be so is not."""


@dataclass(slots=True)
class Tally:
    """What a pipeline has done."""

    frames: int = 0
    sessions: int = 0
    records: int = 0
    causes: dict[str, int] = field(default_factory=dict)


async def _framing() -> SingleObject:
    return SingleObject()


class Pipeline:
    """One shard's worth, through one session after the other."""

    def __init__(self, tally: Tally) -> None:
        settings = load(overrides={"sharding": {"divisor": 2}, "kafka": {"max_record_bytes": MAX_VALUE_BYTES}})
        self.shared = Shared(settings, Cluster(""), READER, _framing)
        self.memory, self.tally, self.digest = Memory(), tally, sha256()
        framing = SingleObject()
        codec = state_codec(settings, framing)
        known = kinds(self.memory.state, self.shared.encoders, "modAccountId")
        self.reconciler = RECONCILER(self.memory.state, known, divisor=2, remainder=0, max_value_bytes=MAX_VALUE_BYTES)
        self.assembler = assembler_of(self.shared, 0, framing, codec, self.memory, known, self.reconciler, 1)
        self.transaction = self.assembler.begin(Head())
        self.waiting: list[Item] = []
        self.now_us, self.number = MORNING_US, 0

    async def play(self, script: Script) -> SessionLost:
        """One session, from the upgrade to its end; why it ended."""
        self.tally.sessions += 1
        session = Session(
            SyncPlan(entity_types=SNAPSHOT_TYPES, expression="modAccountId", divisor=2, remainder=0), TOKEN, now=0.0
        )
        session.allow_sync(0.0)
        now = 0.0
        for step in script:
            now = await self._step(session, step, now)
            if session.lost is not None:
                break
        if session.lost is None:
            session.closed(1006, "", now)
            await self._hear(session)
        await self.commit()
        if session.lost is None:
            raise Shaken("a session that was closed has not ended")
        self._check(session)
        return session.lost

    async def _step(self, session: Session, step: Step, now: float) -> float:
        match step:
            case bytes():
                await self._frame(session, step, now)
            case float():
                self.now_us += int(step * 1e6)
                while (at := session.deadline()) <= now + step:
                    session.handle_timer(at)
                    if session.deadline() <= at and session.lost is None:
                        raise Shaken("a timer that is due again at once")
                now += step
            case "absence":
                self._note(AbsenceDue(self.now_us // 1000))
            case "closed":
                session.closed(1006, "gone", now)
            case "pause":
                session.pause(now)
            case _:
                session.resume(now)
        await self._hear(session)
        return now

    async def _frame(self, session: Session, raw: bytes, now: float) -> None:
        self.tally.frames += 1
        plain, messages = READER.events(raw) if session.is_live else (False, None)
        if plain:
            session.heard(now)
        else:
            messages = session.receive(raw, now)
            await self._hear(session, ended=False)
        if plain or messages is not None:
            self.number += 1
            kept: list[Any] | None = messages if self.number % 3 else None  # under pressure only the bytes are kept
            self.waiting.append(Frame(self.number, raw if plain else session.rewritten or raw, kept, self.now_us))
        if len(self.waiting) >= MOST_FRAMES:
            await self.commit()

    async def _hear(self, session: Session, *, ended: bool = True) -> None:
        """What the runner makes of what the session tells."""
        session.data_to_send()
        if not ended and session.lost is not None:
            return
        for event in session.events():
            if isinstance(event, SyncSent):
                self._note(SessionOpened())
            elif isinstance(event, SnapshotComplete):
                await self.commit()
                self._note(SnapshotCompleted(dict(event.counts)))
                await self.commit()
            elif isinstance(event, Ended):
                lost = event.lost
                self.tally.causes[lost.cause] = self.tally.causes.get(lost.cause, 0) + 1
                if lost.unread is not None:
                    self._note(FrameUnread("garbage", lost.reason, lost.unread))
                self._note(SessionEnded(lost.cause, lost.code, lost.reason, self.now_us // 1000))

    def _note(self, what: Any) -> None:
        self.waiting.append(Note(what, self.now_us // 1000))

    async def commit(self) -> None:
        """What the writer does with what waits."""
        items, self.waiting = self.waiting, []
        await self.assembler.add(items, self.transaction, self.now_us // 1000)
        self.assembler.close(self.transaction)
        for topic, records in self.transaction.batches.items():
            self.tally.records += len(records)
            for key, value in records_of(records):
                self.digest.update(b"%b %d %b %b" % (topic.encode(), len(key), key, b"" if value is None else value))
        self.last: Transaction = self.transaction
        self.transaction = self.assembler.begin(self.transaction.head)

    def _check(self, session: Session) -> None:
        """Nothing grows without a bound, nothing of ours gets out, every end has a cause that is counted."""
        lost = session.lost
        if lost is None or lost.cause not in CAUSES:
            raise Shaken(f"the cause {lost} is not documented")
        if TOKEN in lost.reason or (lost.unread is not None and TOKEN.encode() in lost.unread.raw):
            raise Shaken("the token gets out")
        counts = self.reconciler.counts
        sizes = {
            "unmapped names": (len(counts.unmapped), 1001),
            "reasons": (len(counts.refused), 20),
            "drift told": (len(self.shared.met._known), Drift.LIMIT),
            "drift counted": (max(len(e.drift) for e in self.shared.encoders.values()), DRIFTS + 10),
            "shapes": (
                max(len(s.known) for e in self.shared.encoders.values() for s in (e._shapes, *e._picking.values())),
                SHAPES,
            ),
            "lists": (len(session.snapshot.counts), session.limits.remembered_types),
        }
        for what, (size, limit) in sizes.items():
            if size > limit:
                raise Shaken(f"{what}: {size}, more than {limit}")

    async def readable(self, decoder: RecordDecoder) -> None:
        """Everything in the latest transaction can be decoded."""
        for topic, records in self.last.batches.items():
            if topic.endswith(".bridge.state"):
                continue
            for key, value in records_of(records):
                await decoder.decode(key)
                await decoder.decode(value)
