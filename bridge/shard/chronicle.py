"""The life of a shard as records: what each note means for the head, and what it says to consumers. Pure.

Invariant 10: the gap is data. A gap begins a second before the last sign of life before a session and ends when the
next snapshot is complete; what the snapshot found to be different is counted meanwhile. While it is open the head keeps
that sign of life (`alive_ms`), so that a process which takes over then knows since when events are missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field

from bridge.changes.absence import Verdict
from bridge.changes.certificate import Certificate
from bridge.entities.change import RECONCILE, Change, Refused
from bridge.entities.drift import Met
from bridge.kafka.control import NAME_CHARACTERS, LifecycleEvent
from bridge.kafka.statelog import Head
from bridge.shard.notes import (
    AbsenceDue,
    Alive,
    AuditDue,
    Decided,
    Errand,
    FrameUnread,
    Note,
    SessionEnded,
    SessionOpened,
    SnapshotCompleted,
    Stopped,
    Watching,
)

LATE_MS = 1_000
"""So much older than its reading may be what is read: reading is paused for 0.5 s at most (`LONGEST_PAUSE_S` in
channel.py), and a process that does not run for 0.5 s does not notice (`STALL_S` in source/socket.py)."""


@dataclass(slots=True)
class Gap:
    """An interruption whose end has not been seen yet: since when, why, and what the snapshot has told so far."""

    from_ms: int
    cause: str
    found: Counter[str] = field(default_factory=Counter)


class Chronicle:
    """Keeps the gap between notes; everything else is in the head.

    Attributes:
        gap: the open interruption, None while there is none (the hot path looks only at that).
        certificate: what is published when the next snapshot is complete.
    """

    def __init__(self) -> None:
        self.gap: Gap | None = None
        self.certificate: Certificate | None = None
        self._lost_cause = "restart"

    def tell(self, note: Note, head: Head) -> list[LifecycleEvent]:
        """Move the head along and say what is to be written, in order."""
        at_ms = note.at_ms
        match note.what:
            case SessionOpened():
                return [self._opened(head, at_ms)]
            case SnapshotCompleted(rows):
                head.snapshot_ms = head.alive_ms = at_ms
                return [self._completed(rows, at_ms), *self._closed(at_ms)]
            case SessionEnded():
                self.alive(head, note.what.alive_ms)
                return [self._lost(note.what, at_ms)]
            case AbsenceDue(snapshot_ms):
                head.judged_ms = snapshot_ms
                return []
            case Alive():
                self.alive(head, at_ms)
                return []
            case AuditDue():
                return _audited(note.what, at_ms)
            case Decided() | Errand() | FrameUnread() | Watching():
                return []
            case Stopped():
                head.clean = True
                return [LifecycleEvent("stopped", at_ms)]

    def alive(self, head: Head, at_ms: int) -> None:
        """The server was heard: up to here nothing is missing, unless a gap is open."""
        if self.gap is None:
            head.alive_ms = at_ms

    def count(self, changes: Iterable[Change]) -> None:
        """Note what a snapshot after an interruption found to be different."""
        if self.gap is not None:
            self.gap.found.update(change[0] for change in changes if change[-1] == RECONCILE)

    def _opened(self, head: Head, at_ms: int) -> LifecycleEvent:
        if head.alive_ms is not None and self.gap is None:
            self.gap = Gap(head.alive_ms - LATE_MS, self._lost_cause)
        head.session += 1
        return LifecycleEvent("session_opened", at_ms)

    def _completed(self, rows: Mapping[str, int], at_ms: int) -> LifecycleEvent:
        certificate, self.certificate = self.certificate, None
        proof = None if certificate is None else asdict(certificate)
        return LifecycleEvent("snapshot_completed", at_ms, counts=rows, certificate=proof)

    def _closed(self, at_ms: int) -> list[LifecycleEvent]:
        gap, self.gap = self.gap, None
        if gap is None:
            return []
        counts = dict(gap.found)
        return [LifecycleEvent("gap", at_ms, cause=gap.cause, from_ms=gap.from_ms, to_ms=at_ms, counts=counts)]

    def _lost(self, ended: SessionEnded, at_ms: int) -> LifecycleEvent:
        self._lost_cause = ended.cause
        return LifecycleEvent(
            "session_lost",
            at_ms,
            cause=ended.cause,
            code=ended.code,
            reason=ended.reason,
            from_ms=ended.alive_ms,
            counts={"dropped_frames": ended.dropped_frames} if ended.dropped_frames else {},
        )


def judgement(verdict: Verdict, at_ms: int) -> list[LifecycleEvent]:
    """What is said about one type whose keys were missing from a snapshot, or about those that were held for it."""
    cause, events = verdict.cause, []
    if verdict.repaired:
        counts = Counter(change[0] for change in verdict.repaired)
        events.append(LifecycleEvent("audit_repaired", at_ms, cause=cause, counts=counts))
    if verdict.deleted:
        counts = Counter(change[0] for change in verdict.deleted)
        events.append(LifecycleEvent("deletes_inferred", at_ms, cause=cause, counts=counts))
    elif verdict.released:
        counts = Counter(name for name, _ in verdict.released)
        events.append(LifecycleEvent("deletes_released", at_ms, cause=cause, counts=counts))
    if verdict.held:
        counts = Counter(name for name, _ in verdict.held)
        events.append(LifecycleEvent("deletes_held", at_ms, cause=cause, counts=counts))
    if verdict.archived:
        counts = Counter(name for name, _ in verdict.archived)
        events.append(LifecycleEvent("archived", at_ms, counts=counts))
    return events


def _audited(due: AuditDue, at_ms: int) -> list[LifecycleEvent]:
    """The end of an audit, unless its session was over before."""
    audit = due.audit
    if audit.void or not due.ended:
        return []
    counts = {"rows": audit.rows, "left_out": audit.left_out, "repaired": audit.repaired}
    return [LifecycleEvent("audit_completed", at_ms, from_ms=audit.began_ms, to_ms=at_ms, counts=counts)]


def drifted(news: Iterable[Met], at_ms: int) -> list[LifecycleEvent]:
    """What is said when something is met for the first time that is not as the schemas say."""
    events = []
    for entity_type, name, kind in news:
        what = f"{entity_type}.{name}" if name else entity_type
        readable = what[:NAME_CHARACTERS].encode(errors="replace").decode()
        events.append(LifecycleEvent("drift", at_ms, cause=kind, reason=readable))
    return events


def garbage(note: Note) -> Refused | None:
    """The unreadable frame that ended a session, to be kept as a dead letter."""
    if not isinstance(note.what, FrameUnread):
        return None
    cause, reason, frame = note.what.cause, note.what.reason, note.what.frame
    return Refused(None, None, None, cause, reason, frame.raw, frame.length, frame.sha256)
