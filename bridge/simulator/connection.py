"""One socket of a client: handshake, heartbeats, the one syncrequest, and then the stream (protocol sections 4-11)."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from typing import TYPE_CHECKING, Any

import orjson
import structlog
from aiohttp import WSMsgType, web

from bridge.simulator.faults import Fault
from bridge.simulator.ledger import Kind, SessionLog
from bridge.simulator.load import websocket_frame
from bridge.simulator.options import Options
from bridge.simulator.queries import query
from bridge.simulator.sharding import RequestError, Subscription, subscription, wants
from bridge.simulator.store import Change
from bridge.simulator.wire import (
    Part,
    Request,
    event_frames,
    frame,
    json_body,
    parse_request,
    response,
    snapshot_frames,
    snapshot_rows,
    token_of,
)

if TYPE_CHECKING:
    from bridge.simulator.server import Simulator

_log = structlog.get_logger("simulator")
_BINARY = 0x82
_PONG = 0x8A


def now_us() -> int:
    """The present, microseconds since the epoch."""
    return time.time_ns() // 1000


class Connection:
    """The server's end of one socket.

    Attributes:
        number: running number of the socket.
        token: the token it authorised with, None before.
        log: its entry in the ledger, None before it has synced.
        silent: half-open: nothing is sent, nothing that comes is understood.
        heartbeats: client heartbeats received.
    """

    def __init__(self, simulator: Simulator, number: int, request: web.Request, ws: web.WebSocketResponse) -> None:
        if request.transport is None:
            raise ConnectionResetError("the client went away during the handshake")
        self.number = number
        self.token: str | None = None
        self.log: SessionLog | None = None
        self.silent = False
        self.ended = False
        self.heartbeats = 0
        self._sim = simulator
        self._ws = ws
        self._transport = request.transport
        self._writer = request.writer
        self._loop = asyncio.get_running_loop()
        self._opened = self._heard = self._spoke = self._loop.time()
        self._timers: list[asyncio.TimerHandle] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._held: list[tuple[list[Change], Kind]] | None = None
        self._synced = False

    @property
    def _options(self) -> Options:
        return self._sim.options

    @property
    def remainder(self) -> int | None:
        """The shard it serves, None before it has synced or without sharding."""
        if self.log is None or self.log.subscription.expression is None:
            return None
        return self.log.subscription.remainder

    @property
    def backlog(self) -> int:
        """Bytes that the client has not taken yet."""
        return self._transport.get_write_buffer_size()

    async def run(self) -> None:
        """Serves the socket until it ends."""
        if self._sim.faults.take("open"):
            self.silent = True
        else:
            self.send(b"o")
        self._timers.append(self._loop.call_later(self._options.heartbeat_s or 1.0, self._beat))
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
        if self.backlog > self._options.max_backlog:
            self.drop("slow")

    async def drain(self) -> None:
        """Waits until the client has taken most of what was written."""
        await self._writer.drain()

    async def flushed(self) -> None:
        """Waits until nothing is held back and the kernel has taken everything that was written."""
        while not (self.ended or self.silent) and (self.backlog or self._held is not None):  # noqa: ASYNC110 - a transport tells nobody when it is empty
            await asyncio.sleep(0.005)

    def deliver(self, changes: list[Change], kind: Kind = Kind.EVENT) -> None:
        """Sends those of some simultaneous changes that this socket has asked for."""
        if self.log is None or self.ended:
            return
        mine = [c for c in changes if wants(self.log.subscription, c, self._options)]
        if not mine:
            return
        self._queue(mine, kind)

    def strike(self, fault: Fault) -> None:
        """Lets a fault of the point `live` happen now."""
        args = fault.args
        if fault.kind == "drop":
            self.drop("drop")
        elif fault.kind == "half_open":
            self.silent = True
            self._close_log("half_open")
        elif fault.kind == "close":
            self.close(args["code"], args["reason"])
        elif fault.kind == "close_frame":
            self.send(str(args["text"]).encode())
            self.close(1000)
        else:
            self.shutdown(args["code"], args["reason"])

    def shutdown(self, code: str, reason: str = "") -> None:
        """Tells why (protocol section 10), then closes."""
        data = {"reasonCode": code, "reason": reason} if reason else {"reasonCode": code}
        self.send(frame([orjson.dumps({"e": "shutdown", "d": data})], self._options))
        self.close(1000, end=f"shutdown {code}")

    def close(self, code: int = 1000, reason: str = "", end: str = "close") -> None:
        """Closes properly."""
        if self.ended:
            return
        self.end(end)
        self._spawn(self._closing(code, reason))

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
        self._close_log(how)
        self._sim.gone(self)
        _log.info("socket ended", socket=self.number, how=how, remainder=self.remainder)

    def _close_log(self, how: str) -> None:
        if self.log is not None and not self.log.ended_us:
            self.log.ended_us, self.log.end = now_us(), how

    async def _closing(self, code: int, reason: str) -> None:
        await self._ws.close(code=code, message=reason.encode())

    def _spawn(self, coroutine: Any) -> None:
        task: asyncio.Task[None] = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _receive(self) -> None:
        while not self.ended:
            message = await self._ws.receive()
            if message.type is WSMsgType.TEXT:
                if not self.silent:
                    self._heard = self._loop.time()
                    self._understand(message.data)
            elif message.type is WSMsgType.PING:
                payload = bytes(message.data)
                self.write(bytes((_PONG, len(payload))) + payload)
            elif message.type is WSMsgType.CLOSE and not self.silent:
                if self.log is not None:
                    self.log.code = message.data
                self.end("client")
                await self._ws.close()
            elif message.type is not WSMsgType.PONG:
                return

    def _understand(self, text: str) -> None:
        if text.strip() == "[]":
            self.heartbeats += 1
            return
        request = parse_request(text)
        if request.endpoint == "authorize":
            self._authorize(request)
        elif self.token is None:
            self._answer(request, 401, "Access is denied")
        elif request.endpoint == "user/syncrequest":
            self._syncrequest(request)
        else:
            status, data = query(self._sim.world.store, request.endpoint, request.query)
            self._answer(request, status, data)

    def _answer(self, request: Request, status: int, data: Any = None) -> None:
        self.send(response(request.id, status, self._options, data))

    def _authorize(self, request: Request) -> None:
        for fault in self._sim.faults.take("authorize"):
            if fault.kind == "authorize_status":
                self._answer(request, fault.args["status"], fault.args["text"])
            return
        token = token_of(request.body)
        refusal = self._sim.tokens.refusal(token, time.time())
        if refusal is not None:
            self._answer(request, 401, "Invalid access token" if refusal[0] == 401 else refusal[1])
        elif self.token is not None:
            self._answer(request, 400, "Already authorized")
        else:
            self.token = token
            self._answer(request, 200)
            self._sim.authorized(self)

    def _syncrequest(self, request: Request) -> None:
        if self._synced:
            self._second_sync(request)
            return
        try:
            body = json_body(request)
            sub = subscription(body, self._options)
        except RequestError as problem:
            self._answer(request, 400, str(problem))
            if problem.mix and self._options.forbidden_mix == "close":
                self.close()
            return
        if self._options.organisation and body.get("splitResponses") is not True:
            self.close(end="no splitResponses")
        elif not self._penalised(request, body, sub):
            self._synced = True
            self._start(request, sub)

    def _second_sync(self, request: Request) -> None:
        if self._options.second_sync == "error":
            self._answer(request, 400, "Only one syncrequest per socket")
        elif self._options.second_sync == "close":
            self.close(end="second syncrequest")

    def _penalised(self, request: Request, body: dict[str, Any], sub: Subscription) -> bool:
        """Whether the request is refused, or answered by a ticket, or not at all."""
        now, tokens = time.time(), self._sim.tokens
        if "p-ticket" in body:
            if tokens.redeem(body["p-ticket"], now):
                return False
            self._answer(request, 200, tokens.ticket(self._options.penalty_s, now, captcha=False))
            return True
        within = tokens.count_sync(now)
        for fault in self._sim.faults.take("sync", sub.remainder if sub.expression else None):
            if fault.kind == "sync_status":
                self._answer(request, fault.args["status"])
            elif fault.kind == "sync_penalty":
                ticket = tokens.ticket(fault.args["seconds"], now, captcha=fault.args["captcha"])
                self._answer(request, 200, ticket)
            return True
        if not within:
            self._answer(request, 200, tokens.ticket(self._options.penalty_s, now, captcha=False))
        return not within

    def _start(self, request: Request, sub: Subscription) -> None:
        """Sends the snapshot. Without pauses it is written in one go, so no event can slip between."""
        rows = snapshot_rows(self._sim.world.store, sub, self._options)
        parts = snapshot_frames(rows, request.id, self._options)
        self.log = self._sim.ledger.open(self.number, sub, now_us())
        _log.info("synced", socket=self.number, remainder=self.remainder, rows=sum(map(len, rows.values())))
        for index, part in enumerate(parts):
            pause = sum(f.args["seconds"] for f in self._sim.faults.take("part", self.remainder))
            if index:
                pause += self._options.part_delay_s
            if pause:
                if not self._options.events_between_parts:
                    self._held = []
                self._spawn(self._later(parts[index:], pause))
                return
            self._part(part)

    async def _later(self, parts: list[Part], pause: float) -> None:
        for part in parts:
            await asyncio.sleep(pause)
            self._part(part)
            pause = self._options.part_delay_s
        self._release()

    def _release(self) -> None:
        held, self._held = self._held or [], None
        for changes, kind in held:
            self._queue(changes, kind)

    def _queue(self, changes: list[Change], kind: Kind) -> None:
        """Sends frames now, or after those that are held back."""
        for part in event_frames(changes, self._options):
            if self._held is None:
                self._emit(part, kind)
            else:
                self._held.append((part.changes, kind))

    def _part(self, part: Part) -> None:
        if self.log is not None and not self.ended:
            self.log.delivered(part.changes, Kind.WITHHELD if self.silent else Kind.SNAPSHOT, now_us())
            self.send(part.text)

    def _emit(self, part: Part, kind: Kind) -> None:
        """Writes one frame of events, if no fault prevents it."""
        if self.log is None or self.ended:
            return
        faults = self._sim.faults
        if faults.armed("live"):
            for fault in faults.take("live", self.remainder):
                self.strike(fault)
        if self.ended:
            return
        text, again = part.text, self._sim.chance(self._options.duplicates)
        if faults.armed("frame"):
            for fault in faults.take("frame", self.remainder):
                if fault.kind == "frame_twice":
                    again = True
                elif not self._spoil(fault, part, kind):
                    return
        self.log.delivered(part.changes, Kind.WITHHELD if self.silent else kind, now_us())
        self.send(text)
        if again:
            self.log.delivered(part.changes, Kind.AGAIN, now_us())
            self.send(text)

    def _spoil(self, fault: Fault, part: Part, kind: Kind) -> bool:
        """Does what a fault of the point `frame` asks for; whether the frame still goes out."""
        if fault.kind == "frame_garbage":
            self.send(str(fault.args["text"]).encode())
            return True
        if fault.kind == "frame_binary":
            payload = str(fault.args["text"]).encode()
            self.write(bytes((_BINARY, len(payload))) + payload)
            return True
        if fault.kind == "frame_delay":
            self._held = [(part.changes, kind)]
            self._spawn(self._thaw(fault.args["seconds"]))
            return False
        if fault.kind == "frame_truncated":
            self.send(part.text[: len(part.text) // 2])
        if self.log is not None:
            self.log.delivered(part.changes, Kind.WITHHELD, now_us())
        return False

    async def _thaw(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._release()

    def _beat(self) -> None:
        """The server's heartbeat; it is also the moment at which waiting `live` faults strike a quiet socket."""
        pause = self._options.heartbeat_s or 1.0
        faults = self._sim.faults.take("live", self.remainder) if self.log is not None else []
        for fault in faults:
            self.strike(fault)
        if self._options.heartbeat_s and not self.ended:
            busy = self._loop.time() - self._spoke < pause * 0.9
            if self._options.heartbeat_when_busy or not busy:
                self.send(b"h")
        if not self.ended:
            self._timers = [t for t in self._timers if not t.cancelled() and t.when() > self._loop.time()]
            self._timers.append(self._loop.call_later(pause, self._beat))

    def _watch(self) -> None:
        """Ends sockets that do not authorise or send no heartbeats."""
        now, options = self._loop.time(), self._options
        if options.authorize_timeout_s and self.token is None and now - self._opened > options.authorize_timeout_s:
            self.close(end="not authorized")
        elif options.client_timeout_s and now - self._heard > options.client_timeout_s:
            self.close(end="client silent")
        if not self.ended:
            limits = [limit for limit in (options.authorize_timeout_s, options.client_timeout_s, 4.0) if limit]
            self._timers.append(self._loop.call_later(min(limits) / 8, self._watch))
