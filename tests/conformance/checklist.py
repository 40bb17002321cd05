"""The vendor's checklist (protocol section 15) cut into points, and how fast the tests go through them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bridge.source.refusals import SessionLimits

CHECKLIST: Final[dict[str, tuple[str, str]]] = {
    "0.1": ("Tokens (stage 1)", "a token is answered within 2 s"),
    "0.2": ("Tokens (stage 1)", "a renewal is answered within 1 s"),
    "0.3": ("Tokens (stage 1)", "the renewed token differs and expires later"),
    "0.4": ("Tokens (stage 1)", "an expired token gives 401, and the client gets a new one"),
    "0.5": ("Tokens (stage 1)", "sessions are handled: not more than two"),
    "1.1": ("Login", "connects, and authorises with a good token"),
    "1.2": ("Login", "an invalid token is refused with 401 and handled cleanly"),
    "1.3": ("Login", "an expired token is refused with 401 and handled cleanly"),
    "1.4": ("Login", "the connection stays stable afterwards"),
    "2.1": ("Heartbeats", "sent at regular intervals"),
    "2.2": ("Heartbeats", "continue under heavy traffic"),
    "2.3": ("Heartbeats", "a missed beat or a timeout is detected and recovered from"),
    "3.1": ("Event handling and idempotency", "events are processed as they happen"),
    "3.2": ("Event handling and idempotency", "the same event twice changes nothing"),
    "3.3": ("Event handling and idempotency", "data out of order do not crash the client"),
    "3.4": ("Event handling and idempotency", "malformed data do not crash the client"),
    "3.5": ("Event handling and idempotency", "nothing is lost under high volume"),
    "4.1": ("Rate limits (p-ticket)", "the ticket is recognised"),
    "4.2": ("Rate limits (p-ticket)", "the client waits p-time"),
    "4.3": ("Rate limits (p-ticket)", "the client sends the request again with p-ticket"),
    "4.4": ("Rate limits (p-ticket)", "on p-captcha the client stops for an hour"),
    "5.1": ("syncrequest", "sent once in the life of a socket, with entityTypes"),
    "5.2": ("syncrequest", "the initial data are processed"),
    "5.3": ("syncrequest", "updates follow"),
    "6.1": ("Log-off", "heartbeats stop"),
    "6.2": ("Log-off", "the socket is closed properly and resources are freed"),
    "6.3": ("Log-off", "after an unwanted loss: reconnects, authorises and syncs again by itself, restores its state"),
}
"""Number of each point, its group, and what the vendor asks for."""

REPORT_FOLDER: Final = "SYNCBRIDGE_CONFORMANCE_REPORT"
"""Environment variable: where to write the report. With it the tests go at the product's real pace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long things take.

    Attributes:
        real: whether these are the product's own figures; only then times are judged, not only shown.
        limits: of a session.
        stable_s: how long a connection is watched.
        beats: how many heartbeats are watched.
        penalty_s: `p-time` of the simulator's tickets.
        away_s: how long nothing must be heard of a client that has stopped.
        burst: events sent at once when there is much to do.
        server_heartbeat_s: the simulator's.
        token_s: life of the token that is to be renewed.
    """

    real: bool
    limits: SessionLimits = field(default_factory=SessionLimits)
    stable_s: float
    beats: int
    penalty_s: float
    away_s: float
    burst: int
    server_heartbeat_s: float
    token_s: float


REAL: Final = Pace(
    real=True,
    stable_s=60.0,
    beats=12,
    penalty_s=3,
    away_s=10.0,
    burst=100_000,
    server_heartbeat_s=2.5,
    token_s=20.0,
)
QUICK: Final = Pace(
    real=False,
    limits=SessionLimits(heartbeat_s=0.05, idle_s=2.0, snapshot_quiet_s=0.1),
    stable_s=0.5,
    beats=5,
    penalty_s=0.3,
    away_s=0.3,
    burst=3_000,
    server_heartbeat_s=0.1,
    token_s=1.6,
)


def report_folder() -> Path | None:
    """Where the report is to go, None if nobody wants one."""
    name = os.environ.get(REPORT_FOLDER)
    return Path(name) if name else None


PACE: Final = REAL if report_folder() else QUICK
