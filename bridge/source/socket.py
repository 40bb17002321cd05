"""Drives one `Session` over one WebSocket connection.

Owns the connection, the only timer and the order in which things are told: data first, then events. Refuses to decide
anything: what bytes mean and when something is due is the session's business.

Rule: heartbeats wait for nobody. They are written by a timer callback straight to the transport.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import ssl as tls
import time
from collections.abc import Callable
from typing import Any

from bridge.errors import SessionLost
from bridge.source import scanner
from bridge.source.connection import FeedConnection, open_connection
from bridge.source.events import SessionEvent
from bridge.source.scanner import Cut
from bridge.source.session import Session
from bridge.source.states import State
from bridge.source.upgrade import connection_failed

OnData = Callable[[bytes, list[Any], int], None]
"""Told a frame with data: the frame, its messages for `rows()`, its arrival in epoch microseconds."""
Straight = Callable[[list[bytes], int, int], int]
"""Offered frames of a live session that nobody has read, where to begin, and their arrival; says how many it took, one
after the other. It takes none that holds anything but `props` events, for that may be the session's business."""


STALL_S, CATCH_UP_S = 0.5, 1.0
"""A timer that is late by so much means that we did not run. Reading what had come meanwhile takes far less than a
second: the system keeps no more than some megabytes."""


def epoch_us() -> int:
    """Microseconds since 1970 by the machine's clock."""
    return time.time_ns() // 1000


class SocketConversation:
    """One session over one socket: made, run once, and thrown away.

    Args:
        url: `wss://...` (or `ws://...`, which the configuration allows for loopback).
        make_session: makes the session, told the loop's time when connecting begins.
        on_data: see `OnData`; must return at once.
        straight: see `Straight`; likewise.
        on_event: told what happened, in order; must return at once.
        ssl: TLS settings; None takes the system's for `wss://`.
        proxy: True takes the environment's proxy, False or None none, a text that one.
        open_timeout_s: for connecting and upgrading.
        close_timeout_s: for the closing handshake when we end the session on purpose.
        wall_us: the clock for arrival times.
        cut: what cuts the server's bytes into messages.
    """

    def __init__(
        self,
        url: str,
        make_session: Callable[[float], Session],
        *,
        on_data: OnData,
        straight: Straight,
        on_event: Callable[[SessionEvent], None],
        ssl: tls.SSLContext | None = None,
        proxy: str | bool | None = True,
        open_timeout_s: float = 10.0,
        close_timeout_s: float = 1.0,
        wall_us: Callable[[], int] = epoch_us,
        cut: Cut = scanner.cut,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._url, self._ssl, self._proxy, self._cut = url, ssl, proxy, cut
        self._open_timeout_s, self._close_timeout_s = open_timeout_s, close_timeout_s
        self._on_data, self._straight, self._on_event, self._wall_us = on_data, straight, on_event, wall_us
        self.session = make_session(self._loop.time())
        self._connection: FeedConnection | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for = math.inf
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._left = asyncio.Event()
        self._now = self._loop.time()
        self._heard_us = self._behind_us = 0
        self._behind_until = -math.inf

    # For the owner

    @property
    def heard_us(self) -> int:
        """Up to when we know what the server sent, epoch microseconds; 0 if it was never heard.

        Usually when it was heard last. But after we did not run for a while (a machine that was suspended, a stopped
        process) what is read is old; and what came after it is lost if the connection ends before we have caught up.
        """
        return self._behind_us if self._now < self._behind_until else self._heard_us

    async def run(self) -> SessionLost:
        """Connect and stay until the session ends; say why it ended.

        Raises:
            ConfigurationError: the address or the proxy cannot work.
            Exception: whatever a callback raised, for that is our own fault; the connection is closed.
        """
        try:
            await self._connect()
            await self._ended
            await self._take_leave()
        finally:
            self._cancel_timer()
            if self._connection is not None:
                self._connection.transport.abort()
            self._left.set()
        if self.session.lost is None:
            raise AssertionError("a conversation ended without a reason")
        return self.session.lost

    def allow_sync(self) -> None:
        """Permit the syncrequest."""
        self.session.allow_sync(self._loop.time())
        self._settle()

    def pause(self) -> None:
        """Stop reading. Heartbeats go on, silence is not judged. For 2 s at most: the server would drop us."""
        if self._connection is not None and self.session.state is not State.ENDED:
            self._connection.set_reading(wanted=False)
            self.session.pause(self._loop.time())
            self._arm()

    def resume(self) -> None:
        """Read again."""
        if self._connection is not None and self.session.state is not State.ENDED:
            self.session.resume(self._loop.time())
            self._connection.set_reading(wanted=True)
            self._arm()

    def give_up(self, lost: SessionLost) -> None:
        """End the session for a reason of ours: no more heartbeats, a proper close, and `run` returns."""
        self.session.fail(lost)
        self._settle()

    async def close(self) -> None:
        """Give up because we stop, and wait until `run` has closed the connection."""
        self.give_up(SessionLost("stopped"))
        await self._left.wait()

    # For the connection

    def opened(self, connection: FeedConnection) -> None:
        """The upgrade is accepted; frames may follow in the same turn of the loop."""
        self._connection = connection
        self.heard()
        self.session.opened(self._now)
        self._settle()

    def heard(self) -> None:
        """Bytes have arrived; the frames among them share this moment."""
        self._now = self._loop.time()
        if self._now > self._armed_for + STALL_S and self._timer is not None:
            self._fall_behind()
        self._heard_us = self._wall_us()
        self.session.heard(self._now)

    def messages(self, raws: list[bytes]) -> None:
        """Whole messages, one right after the other; hot."""
        session, at = self.session, 0
        try:
            while at < len(raws):
                if session.is_live:
                    at += self._straight(raws, at, self._heard_us)
                if at < len(raws):
                    self._message(raws[at])
                    at += 1
        except Exception as error:  # noqa: BLE001  told to whoever runs us, instead of to the loop's log
            self._crash(error)
            self._settle()

    def closed(self, connection: FeedConnection) -> None:
        """The connection has ended, or its closing handshake has begun."""
        if self.session.lost is None:
            self.session.fail(connection.end())
        self._settle()

    # Inside

    def _message(self, raw: bytes) -> None:
        session = self.session
        messages = session.receive(raw, self._now)
        if messages:
            self._on_data(session.rewritten or raw, messages, self._heard_us)
        if session.pending:
            self._settle()

    async def _connect(self) -> None:
        opening = asyncio.ensure_future(
            open_connection(
                self,
                self._url,
                ssl=self._ssl,
                proxy=self._proxy,
                open_timeout_s=self._open_timeout_s,
                close_timeout_s=self._close_timeout_s,
                frame_bytes=self.session.limits.frame_bytes,
                cut=self._cut,
            )
        )
        try:
            await asyncio.wait([opening, self._ended], return_when=asyncio.FIRST_COMPLETED)
        finally:
            opening.cancel()
        await asyncio.wait([opening])
        error = None if opening.cancelled() else opening.exception()
        if isinstance(error, Exception):
            self.session.fail(connection_failed(error, self.session.limits))
            self._settle()

    async def _take_leave(self) -> None:
        """Close properly; only when we stop on purpose is it worth waiting for the server's answer."""
        connection, lost = self._connection, self.session.lost
        if connection is None or lost is None:
            return
        if connection.is_open:
            code = 4000 if lost.cause == "idle" else 1000
            connection.set_reading(wanted=True)
            if lost.cause == "stopped":
                # websockets bounds its wait for the server, but not the one for room to write.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(2 * self._close_timeout_s):
                        await connection.close(code)
            else:
                connection.protocol.send_close(code)
                connection.send_data()
        connection.transport.abort()
        await connection.wait_closed()

    def _settle(self) -> None:
        """Send, tell and arm what the session wants after anything that may have changed it."""
        session, connection = self.session, self._connection
        for text in session.data_to_send():
            if connection is not None and connection.is_open:
                connection.write(text)
        try:
            for event in session.events():
                self._on_event(event)
        except Exception as error:  # noqa: BLE001  as above
            self._crash(error)
        if session.lost is not None and not self._ended.done():
            self._ended.set_result(None)
        self._arm()

    def _crash(self, error: Exception) -> None:
        self.session.fail(SessionLost("crashed", type(error).__name__))
        if not self._ended.done():
            self._ended.set_exception(error)

    def _arm(self) -> None:
        """See that the timer fires at the session's deadline; a timer that fires too early just arms itself again."""
        deadline = self.session.deadline()
        if self.session.lost is not None or self._connection is None:
            self._cancel_timer()
        elif self._timer is None or self._armed_for > deadline:
            self._cancel_timer()
            # Kept here, because uvloop's handle of a timer that is due at once does not know when (docs/gotchas.md).
            self._armed_for = deadline
            self._timer = self._loop.call_at(deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        now = self._loop.time()
        if now > self._armed_for + STALL_S:
            self._now = now
            self._fall_behind()
        self.session.handle_timer(now)
        self._settle()

    def _fall_behind(self) -> None:
        """We have not run for a while, until now."""
        self._behind_us = self.heard_us
        self._behind_until = self._now + CATCH_UP_S

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
