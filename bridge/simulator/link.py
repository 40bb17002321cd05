"""The server's end of a socket: writing, heartbeats, silence, and its many ends (protocol sections 4, 5, 10, 11)."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from abc import ABC, abstractmethod
from collections.abc import Coroutine

import orjson
from aiohttp import WSMsgType, web

from bridge.simulator.load import websocket_frame
from bridge.simulator.options import Options
from bridge.simulator.wire import frame

_BINARY = 0x82
_PONG = 0x8A


def now_us() -> int:
    """The present, microseconds since the epoch."""
    return time.time_ns() // 1000


class Link(ABC):
    """One socket.

    Attributes:
        number: running number of the socket.
        address: where the client connects from.
        authorized: it has shown a good token.
        silent: half-open: nothing is sent, nothing that comes is understood.
        ended: it is over, whoever ended it.
        client_code: the WebSocket close code that the client sent, None if it sent none.
    """

    def __init__(self, number: int, request: web.Request, ws: web.WebSocketResponse) -> None:
        if request.transport is None:
            raise ConnectionResetError("the client went away during the handshake")
        self.number = number
        self.address = request.remote or ""
        self.authorized = self.silent = self.ended = False
        self.client_code: int | None = None
        self._ws = ws
        self._transport = request.transport
        self._writer = request.writer
        self._loop = asyncio.get_running_loop()
        self._opened = self._heard = self._spoke = self._beaten = self._loop.time()
        self._timers: list[asyncio.TimerHandle] = []
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    @abstractmethod
    def options(self) -> Options:
        """The switches in force."""

    @property
    def backlog(self) -> int:
        """Bytes that the client has not taken yet."""
        return self._transport.get_write_buffer_size()

    @abstractmethod
    def understand(self, text: str) -> None:
        """A text message has come."""

    @abstractmethod
    def over(self, how: str) -> None:
        """The socket has ended."""

    @abstractmethod
    def pulse(self) -> None:
        """A heartbeat is due: the moment for faults that wait for a quiet socket."""

    @abstractmethod
    def inspect(self) -> None:
        """The moment to look whether the socket may stay."""

    async def run(self) -> None:
        """Serves the socket until it ends."""
        self.send(b"o")
        self._beat()
        self._watch()
        try:
            await self._receive()
        finally:
            self.end("gone")

    def send(self, payload: bytes) -> None:
        """Writes one text message at once."""
        self.write(websocket_frame(payload))

    def write(self, data: bytes) -> None:
        """Writes finished WebSocket frames; a client that does not read is dropped at the limit."""
        if self.silent or self.ended:
            return
        self._spoke = self._loop.time()
        self._transport.write(data)
        if self.backlog > self.options.max_backlog:
            self.drop("slow")

    def send_binary(self, payload: bytes) -> None:
        """Writes a short binary message, which no client expects."""
        self.write(bytes((_BINARY, len(payload))) + payload)

    async def drain(self) -> None:
        """Waits until the client has taken most of what was written."""
        await self._writer.drain()

    def shutdown(self, code: str, reason: str = "") -> None:
        """Tells why (protocol section 10), then closes."""
        data = {"reasonCode": code, "reason": reason} if reason else {"reasonCode": code}
        self.send(frame([orjson.dumps({"e": "shutdown", "d": data})], self.options))
        self.close(1000, end=f"shutdown {code}")

    def close(self, code: int = 1000, reason: str = "", end: str = "close") -> None:
        """Closes properly."""
        if self.ended:
            return
        self.end(end)
        if not self.silent:
            self.spawn(self._closing(code, reason))

    def drop(self, end: str) -> None:
        """Resets the TCP connection."""
        self.end(end)
        raw: socket.socket | None = self._transport.get_extra_info("socket")
        if raw is not None and raw.fileno() >= 0:  # no lingering: the client sees a reset, not an orderly end
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def end(self, how: str) -> None:
        """Notes the end; only the first one counts."""
        if self.ended:
            return
        self.ended = True
        for timer in self._timers:
            timer.cancel()
        self.over(how)

    def spawn(self, coroutine: Coroutine[None, None, None]) -> None:
        """Runs something beside; it is remembered until it is done."""
        task: asyncio.Task[None] = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _closing(self, code: int, reason: str) -> None:
        await self._ws.close(code=code, message=reason.encode())

    async def _receive(self) -> None:
        while not self.ended:
            message = await self._ws.receive()
            if message.type is WSMsgType.TEXT:
                if not self.silent:
                    self._heard = self._loop.time()
                    self.understand(message.data)
            elif message.type is WSMsgType.PING:
                payload = bytes(message.data)
                self.write(bytes((_PONG, len(payload))) + payload)
            elif message.type is WSMsgType.CLOSE and not self.silent:
                self.client_code = message.data
                self.end("client")
                await self._ws.close()
            elif message.type is not WSMsgType.PONG:
                return

    def _beat(self) -> None:
        """The server's heartbeat, when it is due. Looks often, because its pace may change at any time."""
        now, pause = self._loop.time(), self.options.heartbeat_s or 1.0
        if now - self._beaten > pause - 0.001:
            self._beaten = now
            self.pulse()
            if self.options.heartbeat_s and (self.options.heartbeat_when_busy or now - self._spoke >= pause * 0.9):
                self.send(b"h")
        if not self.ended:
            self._timers = [t for t in self._timers if not t.cancelled() and t.when() > now]
            self._timers.append(self._loop.call_at(min(self._beaten + pause, now + 1.0), self._beat))

    def _watch(self) -> None:
        """Ends sockets that do not authorise or send no heartbeats."""
        now, options = self._loop.time(), self.options
        if self.silent:  # who is gone ends nothing
            pass
        elif options.authorize_timeout_s and not self.authorized and now - self._opened > options.authorize_timeout_s:
            self.close(end="not authorized")
        elif options.client_timeout_s and now - self._heard > options.client_timeout_s:
            self.close(end="client silent")
        else:
            self.inspect()
        if not self.ended:
            limits = [limit for limit in (options.authorize_timeout_s, options.client_timeout_s, 4.0) if limit]
            self._timers.append(self._loop.call_later(min(limits) / 8, self._watch))
