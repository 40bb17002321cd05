"""What goes through the channel of a shard: frames, and notes of what happened between them, in order. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from bridge.changes.audit import Audit, Differing
from bridge.entities.change import Change
from bridge.errors import Unread


@dataclass(frozen=True, slots=True)
class SessionOpened:
    """The syncrequest has gone out: what follows belongs to a new session."""


@dataclass(frozen=True, slots=True)
class SnapshotCompleted:
    """The first answer has come and no part followed for `snapshot.quiet_s`.

    Attributes:
        rows: rows by entity type, for lists that were present.
    """

    rows: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AbsenceDue:
    """No snapshot part has come for `snapshot.delete_quiet_s`: what the snapshot did not hold may be judged.

    Attributes:
        snapshot_ms: when the snapshot was taken to be complete.
    """

    snapshot_ms: int


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """The socket is gone, or was given up; from `alive_ms` until the next snapshot is complete events are missing.

    Attributes:
        alive_ms: when the server was heard last; if frames were thrown away, when the first of them arrived.
        dropped_frames: frames that were thrown away unwritten (only when a session was given up).
    """

    cause: str
    code: int | None
    reason: str
    alive_ms: int
    dropped_frames: int = 0

    def cut(self, from_ms: int, frames: int) -> SessionEnded:
        """The same if its last frames were thrown away: so many, the first of which came at `from_ms` or before."""
        return replace(self, alive_ms=min(self.alive_ms, from_ms), dropped_frames=self.dropped_frames + frames)


@dataclass(frozen=True, slots=True)
class FrameUnread:
    """A frame came that nobody can read; it ended the session, or the attempt to begin one.

    Attributes:
        cause: `garbage` or `oversized`.
        frame: what there is of it.
    """

    cause: str
    reason: str
    frame: Unread


@dataclass(frozen=True, slots=True)
class Alive:
    """The server was heard until `at_ms`, though nothing that needs writing came."""


@dataclass(frozen=True, slots=True)
class Decided:
    """Somebody has decided about deletions that the brake holds.

    Attributes:
        confirm: delete the keys; else they are forgotten and stay published.
        entity_type: only this type, None for all.
        numbers: only these ids, none for all.
        done: called when it is committed, with the number of keys by type.
    """

    confirm: bool
    entity_type: str | None
    numbers: Collection[int]
    done: Callable[[Mapping[str, int]], None]


@dataclass(frozen=True, slots=True)
class Errand:
    """Somebody wants something done in the order of things.

    Attributes:
        work: what; gives changes to publish, and an answer.
        received_us: when its occasion arrived, epoch microseconds.
        done: called with the answer when all of it is committed.
    """

    work: Callable[[], tuple[list[Change], Any]]
    received_us: int
    done: Callable[[Any], None]


@dataclass(frozen=True, slots=True)
class Watching:
    """An audit is near: from here on it sees what comes; None means that none is near any more."""

    audit: Audit | None


@dataclass(frozen=True, slots=True)
class AuditDue:
    """An audit may be judged.

    Attributes:
        differing: what differed when it came, and has not been judged yet.
        ended: its snapshot has been whole for long enough, so that what is missing may be judged too; nothing follows.
        done: called when what came of it is committed.
    """

    audit: Audit
    differing: Sequence[Differing]
    ended: bool
    done: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Stopped:
    """We stop in an orderly way; the last thing a writer writes."""


What: TypeAlias = (
    SessionOpened
    | SnapshotCompleted
    | AbsenceDue
    | SessionEnded
    | FrameUnread
    | Alive
    | Decided
    | Errand
    | Watching
    | AuditDue
    | Stopped
)


@dataclass(slots=True)
class Frame:
    """One WebSocket frame that carries data.

    Attributes:
        number: counts the frames of this process' claim, from 1.
        raw: the frame as it came, with its leading `a`.
        messages: its parsed messages, or None to save memory.
        arrived_us: epoch microseconds.
    """

    number: int
    raw: bytes
    messages: list[Any] | None
    arrived_us: int


@dataclass(frozen=True, slots=True)
class Note:
    """Something that happened between frames; it keeps its place in the order.

    Attributes:
        what: see above.
        at_ms: when, epoch milliseconds.
    """

    what: What
    at_ms: int


Item: TypeAlias = Frame | Note
