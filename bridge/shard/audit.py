"""Audits of one shard while it is connected: a second snapshot on a spare socket, now and then.

Nothing of this touches the path of the events but for a note in the channel that says from when on an audit sees what
is read, and one that says until when. Refuses to judge: that is `bridge/changes/audit.py`, in the writer's order.
Whatever hinders an audit, or breaks it off, is counted; the next one comes at its time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from bridge.changes.audit import Audit
from bridge.changes.reconciler import Row
from bridge.entities.exact import Inexact
from bridge.errors import BridgeError, SessionLost, Unencodable
from bridge.shard.notes import AuditDue, Watching, What
from bridge.shard.ports import Clock, Conversation, Spares
from bridge.shard.reader import Reader
from bridge.shard.stats import ShardStats

CONNECT_S = 5.0
"""The socket is opened so long before its syncrequest may go out, not earlier: it takes a place."""
LONGEST_S = 120.0
"""Connecting, the snapshot, and the commit of what came of it may take so long, all waits that are meant apart."""
FAREWELL_S = 3.0
SLICE_ROWS = 200
"""So many rows are encoded between two turns of others: some milliseconds of work."""
WEIGHT = 8
"""Memory of what was parsed, in multiples of its bytes."""
BEHIND_BYTES = 2**20
"""With so much waiting for Kafka there are other worries."""

Put = Callable[[What], None]


@dataclass(frozen=True, slots=True)
class Pace:
    """When audits happen; durations in seconds.

    Attributes:
        interval_s: between two, 0 for none.
        first_s: before the first.
        before_s: keys that are seen are remembered for so long before the syncrequest.
        after_s: and for so long after the last part of the snapshot; then what differs is judged.
        absence_s: without a part for so long, what is missing is judged too; not less than `after_s`.
        memory_bytes: what may wait to be compared.
    """

    interval_s: float
    first_s: float
    before_s: float
    after_s: float
    absence_s: float
    memory_bytes: int


class Ear:
    """What the spare socket brings (`shard.ports.Listener`): keys that are seen, and rows that wait to be compared."""

    def __init__(self, audit: Audit, reader: Reader, clock: Clock) -> None:
        self.news = asyncio.Event()
        self.waiting: deque[tuple[bytes, list[Row]]] = deque()
        self.waiting_bytes = 0
        self.complete = False
        self.part_at = 0.0
        self._audit, self._reader, self._clock = audit, reader, clock

    def data(self, raw: bytes, messages: list[Any], arrived_us: int) -> None:  # noqa: ARG002 - signature of Listener
        """Live events are not published, for the shard's own socket has them too."""
        rows, _ = self._reader.rows(messages)
        self._audit.see(row for row in rows if not row[4])
        listed = [row for row in rows if row[4]]
        if listed:
            self.waiting.append((raw, listed))
            self.waiting_bytes += len(raw)

    def straight(self, frames: list[bytes], start: int, arrived_us: int) -> int:  # noqa: ARG002 - as above
        """None: every row is looked at."""
        return 0

    def synced(self) -> None:
        """The syncrequest has gone out."""

    def snapshot_part(self) -> None:
        """A part has come."""
        self.part_at = self._clock.monotonic()
        self.news.set()

    def snapshot_completed(self, rows: Mapping[str, int]) -> None:  # noqa: ARG002 - signature of Listener
        """As far as can be known."""
        self.complete = True
        self.news.set()


class Audits:
    """Audits one shard at an interval.

    Args:
        spares: gives sockets for audits; None for no audits.
        begin: makes an audit, told the number of the shard's session and the time (epoch milliseconds).
    """

    def __init__(
        self,
        *,
        spares: Spares | None,
        pace: Pace,
        begin: Callable[[int, int], Audit],
        reader: Reader,
        clock: Clock,
        stats: ShardStats,
        logger: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self._spares, self._pace, self._begin, self._reader = spares, pace, begin, reader
        self._clock, self._stats, self._logger = clock, stats, logger
        self._audit: Audit | None = None
        self._ear: Ear | None = None

    async def run(self, put: Put) -> None:
        """Audit for as long as the shard runs.

        Args:
            put: puts a note into the shard's channel.
        """
        if self._spares is None or not self._pace.interval_s:
            return
        due = self._clock.monotonic() + self._pace.first_s
        while True:
            await asyncio.sleep(due - self._clock.monotonic())
            due = max(due + self._pace.interval_s, self._clock.monotonic())
            reason = self._hindrance(self._spares) or await self._attempt(self._spares, put)
            if reason is not None:
                self._stats.audits_skipped[reason] += 1
                self._logger.info("audit_skipped", reason=reason)

    def interrupt(self) -> None:
        """The shard's own session is over: an audit within it says nothing any more."""
        if self._audit is not None and self._ear is not None:
            self._audit.void = True
            self._ear.news.set()

    def _hindrance(self, spares: Spares) -> str | None:
        if self._stats.phase != "live" or not self._stats.ready:
            return "not_live"
        return "behind" if self._stats.waiting_bytes > BEHIND_BYTES else spares.hindrance()

    async def _attempt(self, spares: Spares, put: Put) -> str | None:
        """One audit; why it came to no end, None if it did."""
        began, pace = self._clock.monotonic(), self._pace
        audit = self._audit = self._begin(self._stats.sessions, self._clock.epoch_us() // 1000)
        ear = self._ear = Ear(audit, self._reader, self._clock)
        put(Watching(audit))
        try:
            async with asyncio.timeout(pace.before_s + pace.absence_s + LONGEST_S):
                await self._news(ear, pace.before_s - CONNECT_S)
                reason = self._hindrance(spares) or await self._converse(spares, audit, ear, put, began)
                if reason is None:
                    reason = await self._conclude(audit, put)
        except TimeoutError:
            reason = "timeout"
        finally:
            audit.void = True
            self._audit = self._ear = None
            put(Watching(None))
        if reason is None:
            self._stats.audits += 1
            self._logger.info(
                "audit_completed",
                rows=audit.rows,
                left_out=audit.left_out,
                repaired=audit.repaired,
                seconds=round(self._clock.monotonic() - began, 3),
            )
        return reason

    async def _converse(self, spares: Spares, audit: Audit, ear: Ear, put: Put, began: float) -> str | None:
        """Take the snapshot; returns when it has been whole for long enough."""
        loop = asyncio.get_running_loop()
        conversation = spares.converse(ear)
        talking = asyncio.create_task(conversation.run())
        talking.add_done_callback(lambda _: ear.news.set())
        wait_s = max(0.0, began + self._pace.before_s - self._clock.monotonic())
        timer = loop.call_later(wait_s, conversation.allow_sync)
        try:
            return await self._follow(audit, ear, put, talking)
        finally:
            timer.cancel()
            await _part(conversation, talking)

    async def _follow(self, audit: Audit, ear: Ear, put: Put, talking: asyncio.Task[SessionLost]) -> str | None:
        judged_at, pace = 0.0, self._pace
        while True:
            ear.news.clear()
            if audit.void or talking.done():
                return "session_lost" if audit.void else "socket_lost"
            if not await self._digest(audit, ear):
                return "unreadable"
            if WEIGHT * (audit.differing_bytes + ear.waiting_bytes) > pace.memory_bytes and audit.differing_bytes:
                return "too_large"
            quiet_s = self._clock.monotonic() - ear.part_at if ear.complete else 0.0
            if ear.complete and quiet_s >= pace.absence_s:
                return None
            if ear.complete and quiet_s >= pace.after_s and judged_at != ear.part_at:
                put(AuditDue(audit, audit.cut(), False, _nobody))
                judged_at = ear.part_at
            following_s = pace.absence_s if judged_at == ear.part_at else pace.after_s
            await self._news(ear, following_s - quiet_s if ear.complete else LONGEST_S)

    async def _conclude(self, audit: Audit, put: Put) -> str | None:
        """Have all that is left judged, and wait until it is committed."""
        committed = asyncio.Event()
        put(AuditDue(audit, audit.cut(), True, committed.set))
        await committed.wait()
        return "session_lost" if audit.void else None

    async def _digest(self, audit: Audit, ear: Ear) -> bool:
        """Compare what has come; False if a frame cannot be read as exactly as is needed."""
        while ear.waiting:
            raw, rows = ear.waiting.popleft()
            ear.waiting_bytes -= len(raw)
            try:
                await _take(audit, rows, exact=False)
            except Inexact:
                try:
                    read, _ = self._reader.rows(self._reader.messages(raw, True))
                except (ValueError, Unencodable):
                    return False
                await _take(audit, [row for row in read if row[4]], exact=True)
        return True

    async def _news(self, ear: Ear, seconds: float) -> None:
        """Wait until something has happened, or for so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await ear.news.wait()


async def _take(audit: Audit, rows: list[Row], *, exact: bool) -> None:
    """In slices, with a turn for others after each; an empty list was there, which is something to know."""
    for entity_type, event_type, entities, list_name, snapshot in rows:
        for start in range(0, len(entities) or 1, SLICE_ROWS):
            part = entities[start : start + SLICE_ROWS]
            audit.take([(entity_type, event_type, part, list_name, snapshot)], exact=exact)
            await asyncio.sleep(0)


async def _part(conversation: Conversation, talking: asyncio.Task[SessionLost]) -> None:
    """Close the socket properly, but do not wait for long; why it ended by itself is told by whoever counts it."""
    conversation.give_up(SessionLost("stopped"))
    await asyncio.wait([talking], timeout=FAREWELL_S)
    talking.cancel()
    with contextlib.suppress(BridgeError, asyncio.CancelledError):
        await talking


def _nobody() -> None:
    """Nobody waits for this."""
