"""What can happen to a shard between frames; each keeps its place among the frames in the channel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias


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
        alive_ms: when the server was heard last.
        dropped_frames: frames that were thrown away unwritten (only when the session was given up).
    """

    cause: str
    code: int | None
    reason: str
    alive_ms: int
    dropped_frames: int = 0
    garbage: bytes | None = None


@dataclass(frozen=True, slots=True)
class Alive:
    """The server was heard until `at_ms`, though nothing that needs writing came."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """We stop in an orderly way; the last thing a writer writes."""


What: TypeAlias = SessionOpened | SnapshotCompleted | AbsenceDue | SessionEnded | Alive | Stopped
