"""The life of a socket session as a table: which signal leads from which state to which.

What is not in the table is a breach of the protocol and ends the session. `ENDED` is reached from everywhere and left
for nowhere, so it has no rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final


class State(Enum):
    """Where a session is."""

    OPENING = "opening"
    """Connected; the server's `o` has not come yet."""
    AUTHORIZING = "authorizing"
    """`authorize` is sent."""
    AUTHORIZED = "authorized"
    """The token is accepted; waits for the permission to sync."""
    SYNCING = "syncing"
    """`user/syncrequest` is sent, nothing has been answered yet."""
    PENALIZED = "penalized"
    """The syncrequest drew a penalty ticket; it is sent again when the time is over."""
    SNAPSHOT = "snapshot"
    """The first part of the snapshot has come, others may follow."""
    SYNCED = "synced"
    """No part of the snapshot has come for a while; it is taken to be complete."""
    ENDED = "ended"


class Signal(Enum):
    """What moves a session on."""

    GREETED = "greeting"
    ACCEPTED = "acceptance of the token"
    SYNC_SENT = "syncrequest"
    PENALTY = "penalty"
    PART = "snapshot part"
    QUIET = "quiet"


NEXT: Final[Mapping[tuple[State, Signal], State]] = {
    (State.OPENING, Signal.GREETED): State.AUTHORIZING,
    (State.AUTHORIZING, Signal.ACCEPTED): State.AUTHORIZED,
    (State.AUTHORIZED, Signal.SYNC_SENT): State.SYNCING,
    (State.SYNCING, Signal.PENALTY): State.PENALIZED,
    (State.PENALIZED, Signal.PENALTY): State.PENALIZED,
    (State.PENALIZED, Signal.SYNC_SENT): State.SYNCING,
    (State.SYNCING, Signal.PART): State.SNAPSHOT,
    (State.PENALIZED, Signal.PART): State.SNAPSHOT,
    (State.SNAPSHOT, Signal.PART): State.SNAPSHOT,
    (State.SNAPSHOT, Signal.QUIET): State.SYNCED,
    # A late part: a completed snapshot was not complete after all. Whoever draws conclusions from absence waits longer.
    (State.SYNCED, Signal.PART): State.SYNCED,
}
