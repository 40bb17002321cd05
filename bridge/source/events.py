"""What a session tells its owner, apart from data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bridge.errors import SessionLost
from bridge.source.messages import Penalty


@dataclass(frozen=True, slots=True)
class Authorized:
    """The server accepted the token."""


@dataclass(frozen=True, slots=True)
class SyncSent:
    """A syncrequest went out; each one counts against the hourly limit (protocol section 3.2).

    Attributes:
        request_id: the id it was sent under.
        attempt: 1 for the first, more after penalties.
    """

    request_id: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Penalized:
    """The syncrequest drew a penalty; the session waits and sends it again by itself."""

    penalty: Penalty


@dataclass(frozen=True, slots=True)
class SnapshotPart:
    """A part of the snapshot was forwarded.

    Attributes:
        counts: entity type -> rows in this part; a type with an empty list stands here with 0.
        null_lists: names of lists that were null: they say nothing about absence.
        late: True if it came after the snapshot had been taken to be complete.
    """

    counts: Mapping[str, int]
    null_lists: tuple[str, ...]
    late: bool


@dataclass(frozen=True, slots=True)
class SnapshotComplete:
    """No part has come for `snapshot_quiet_s`; no better sign exists (protocol section 21, question 1).

    Attributes:
        counts: entity type -> rows over all parts.
        null_lists: names of lists that were null.
        parts: number of parts.
        superseded: rows that were left out because an array of the key had come before: see `batches`.
    """

    counts: Mapping[str, int]
    null_lists: frozenset[str]
    parts: int
    superseded: int = 0


@dataclass(frozen=True, slots=True)
class Ended:
    """The session is over; nothing follows."""

    lost: SessionLost


SessionEvent = Authorized | SyncSent | Penalized | SnapshotPart | SnapshotComplete | Ended
