"""The truth: what happened in the world, and what was written to which socket when.

What happened does not depend on what was sent: a version stands here although a fault kept its frame back. The caller
tells the time in microseconds since the epoch.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any

import orjson

from bridge.simulator.catalogue import INVENTED
from bridge.simulator.load import LoadStream
from bridge.simulator.sharding import Subscription
from bridge.simulator.store import Change

LOAD_FRAMES = 1_000_000_000
"""Frames of the n-th stream of load on a socket are counted from n times this."""


class Kind(IntEnum):
    """How a version came to be written to a socket."""

    SNAPSHOT = 0
    EVENT = 1
    AGAIN = 2
    """a duplicate or a re-send"""
    WITHHELD = 3
    """a fault kept it back or spoiled it: the client cannot know of it"""


@dataclass(slots=True)
class SessionLog:
    """One synced socket, from its syncrequest to its end.

    Attributes:
        id: running number of the socket.
        subscription: what it asked for.
        synced_us: when the first snapshot part was written.
        ended_us: when it ended, 0 while it lives.
        end: how it ended: `client`, `close`, `drop`, `half_open` ...
        code: the WebSocket close code that the client sent, None if it sent none.
        starts: for each frame, how many versions were written in the frames before it.
        heartbeats: of the client, since it synced.
        longest_pause_us: the longest time between two of them that followed each other.
    """

    id: int
    subscription: Subscription
    synced_us: int
    ended_us: int = 0
    end: str = ""
    code: int | None = None
    numbers: array[int] = field(default_factory=lambda: array("q"))
    sent: array[int] = field(default_factory=lambda: array("q"))
    kinds: bytearray = field(default_factory=bytearray)
    starts: array[int] = field(default_factory=lambda: array("q"))
    load: list[LoadStream] = field(default_factory=list)
    heartbeats: int = 0
    longest_pause_us: int = 0
    beaten_us: int = 0

    def beaten(self, now_us: int) -> None:
        """Notes a heartbeat of the client; the time may come from any clock that is always the same."""
        if self.heartbeats:
            self.longest_pause_us = max(self.longest_pause_us, now_us - self.beaten_us)
        self.heartbeats += 1
        self.beaten_us = now_us

    def delivered(self, changes: list[Change], kind: Kind, now_us: int) -> None:
        """Notes that a frame with these versions was written."""
        self.starts.append(len(self.numbers))
        for change in changes:
            self.numbers.append(change.number)
            self.sent.append(now_us)
            self.kinds.append(kind)

    @property
    def events(self) -> int:
        """Live events written, repetitions and load included."""
        own = len(self.kinds) - self.kinds.count(Kind.SNAPSHOT) - self.kinds.count(Kind.WITHHELD)
        return own + sum(stream.count for stream in self.load)


class Ledger:
    """All versions of all entities, and the sessions that saw them."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.sessions: list[SessionLog] = []
        self.last: dict[tuple[str, int], Change] = {}

    def record(self, changes: list[Change]) -> None:
        """Notes what has happened, in order."""
        self.changes.extend(changes)
        for change in changes:
            self.last[change.entity_type, change.id] = change

    def open(self, number: int, subscription: Subscription, now_us: int) -> SessionLog:
        """Begins the log of a socket that has synced."""
        log = SessionLog(number, subscription, now_us)
        self.sessions.append(log)
        return log

    def counts(self) -> dict[str, int]:
        """Totals for a glance."""
        return {
            "versions": len(self.changes) + sum(s.count for log in self.sessions for s in log.load),
            "entities": sum(c.event in ("Created", "Updated") for c in self.last.values()),
            "sessions": len(self.sessions),
            "events_sent": sum(log.events for log in self.sessions),
            "rows_sent": sum(log.kinds.count(Kind.SNAPSHOT) for log in self.sessions),
        }

    def events(self) -> Iterator[Change]:
        """Every version, per entity in the order in which they came to be."""
        yield from self.changes
        for log in self.sessions:
            for stream in log.load:
                yield from stream.changes()

    def state(self) -> Iterator[Change]:
        """The latest version of every entity that is alive."""
        return (c for c in self.last.values() if c.event in ("Created", "Updated"))


def change_line(change: Change, shards: list[int] | None = None) -> bytes:
    """A version as one line of JSON, if so wished with the shards that should see it."""
    return orjson.dumps({
        "n": change.number, "at_ms": change.at_ms, "type": change.entity_type, "event": change.event, "id": change.id,
        "account": change.account_id, "user": change.user_id, "known": change.entity_type not in INVENTED,
        **({} if shards is None else {"shards": shards}),
        "entity": orjson.Fragment(change.json),
    }) + b"\n"  # fmt: skip


def session_line(log: SessionLog) -> bytes:
    """A session as one line of JSON."""
    sub = log.subscription
    value: dict[str, Any] = {
        "session": log.id, "types": None if sub.types is None else sorted(sub.types), "expression": sub.expression,
        "divisor": sub.divisor, "remainder": sub.remainder, "synced_us": log.synced_us, "ended_us": log.ended_us,
        "end": log.end, "code": log.code, "events": log.events,
        "heartbeats": log.heartbeats, "longest_pause_us": log.longest_pause_us,
        "users": None if sub.users is None else sorted(sub.users),
        "accounts": None if sub.accounts is None else sorted(sub.accounts),
    }  # fmt: skip
    return orjson.dumps(value) + b"\n"


def delivery_lines(log: SessionLog) -> Iterator[bytes]:
    """What was written to a socket: `[session, version, sent_us, kind, frame]` a line, in order."""
    frame = 0
    for index, (number, sent, kind) in enumerate(zip(log.numbers, log.sent, log.kinds, strict=True)):
        while frame < len(log.starts) and log.starts[frame] <= index:
            frame += 1
        yield b"[%d,%d,%d,%d,%d]\n" % (log.id, number, sent, kind, frame)
    for which, stream in enumerate(log.load, 1):
        for index, (number, sent) in enumerate(stream.deliveries()):
            load_frame = which * LOAD_FRAMES + index // stream.per_frame
            yield b"[%d,%d,%d,%d,%d]\n" % (log.id, number, sent, Kind.EVENT, load_frame)


def write_ledger(ledger: Ledger, folder: Path) -> int:
    """Writes `events.ndjson`, `sessions.ndjson` and `deliveries.ndjson`; the number of lines."""
    folder.mkdir(parents=True, exist_ok=True)
    sessions = list(ledger.sessions)
    streams = {
        "events": (change_line(c) for c in ledger.events()),
        "sessions": (session_line(log) for log in sessions),
        "deliveries": (line for log in sessions for line in delivery_lines(log)),
    }
    lines = 0
    for name, stream in streams.items():
        with (folder / f"{name}.ndjson").open("wb") as file:
            for line in stream:
                file.write(line)
                lines += 1
    return lines
