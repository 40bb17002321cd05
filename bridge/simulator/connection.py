"""One client of the socket: its requests, its one syncrequest, and then its feed (protocol sections 4, 6 and 7)."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import structlog
from aiohttp import web

from bridge.simulator.feed import Feed
from bridge.simulator.ledger import Kind, SessionLog
from bridge.simulator.link import Link, now_us
from bridge.simulator.options import Options
from bridge.simulator.orders import ENDPOINTS
from bridge.simulator.sharding import RequestError, Subscription, subscription
from bridge.simulator.store import Change
from bridge.simulator.wire import (
    Part,
    Request,
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


class Connection(Link):
    """The server's end of one socket.

    Attributes:
        token: the token it authorised with, empty before.
        device: the device that its token was given to.
        feed: its stream, None before it has synced.
        heartbeats: client heartbeats received.
    """

    def __init__(self, simulator: Simulator, number: int, request: web.Request, ws: web.WebSocketResponse) -> None:
        super().__init__(number, request, ws)
        self.token = self.device = ""
        self.feed: Feed | None = None
        self.heartbeats = 0
        self.silent = simulator.faults.first("open") is not None
        self._sim = simulator

    @property
    def options(self) -> Options:
        """The switches in force."""
        return self._sim.options

    @property
    def log(self) -> SessionLog | None:
        """Its entry in the ledger, None before it has synced."""
        return self.feed.log if self.feed else None

    @property
    def remainder(self) -> int | None:
        """The shard it serves, None before it has synced or without sharding."""
        return self.feed.remainder if self.feed else None

    async def flushed(self) -> None:
        """Waits until nothing is held back and the kernel has taken everything that was written."""
        # A transport tells nobody when its buffer is empty, so there is no event to wait for.
        while not (self.ended or self.silent) and (self.backlog or (self.feed and self.feed.holding)):  # noqa: ASYNC110
            await asyncio.sleep(0.005)

    def deliver(self, changes: list[Change], kind: Kind = Kind.EVENT) -> None:
        """Sends those of some simultaneous changes that this socket has asked for, if it has synced."""
        if self.feed is not None:
            self.feed.deliver(changes, kind)

    def pulse(self) -> None:
        """Lets `live` faults that wait strike a quiet socket."""
        if self.feed is not None:
            self.feed.strike()

    def over(self, how: str) -> None:
        """Notes the end."""
        if self.feed is not None:
            self.feed.close(how)
        self._sim.gone(self)
        _log.info("socket ended", socket=self.number, how=how, remainder=self.remainder)

    def understand(self, text: str) -> None:
        """Answers a request, or counts a heartbeat."""
        if text.strip() == "[]":
            self.heartbeats += 1
            if self.log is not None:
                self.log.beaten(time.monotonic_ns() // 1000)
            return
        request = parse_request(text)
        if request.endpoint == "authorize":
            self._authorize(request)
        elif not self.authorized:
            self._answer(request, 401, "Access is denied")
        elif (refusal := self._sim.limits.refusal(time.time(), anonymous=False)) is not None:
            self._answer(request, refusal)
        elif request.endpoint == "user/syncrequest":
            self._syncrequest(request)
        else:
            self._request(request)

    def inspect(self) -> None:
        """Closes the socket with its token, if so switched."""
        if self.options.expired_sockets == "close" and self._sim.tokens.expired(self.token, time.time()):
            self.close(end="token expired")

    def _request(self, request: Request) -> None:
        if self.options.expired_sockets == "refuse" and self._sim.tokens.expired(self.token, time.time()):
            self._answer(request, 401, "Expired Access Token")
            return
        try:
            body = json_body(request) if request.endpoint in ENDPOINTS else {}
        except RequestError as problem:
            self._answer(request, 400, str(problem))
            return
        result = self._sim.ask(request.endpoint, request.query, body)
        self._answer(request, result.status, result.data)
        self._sim.publish(result.burst)

    def _answer(self, request: Request, status: int, data: Any = None) -> None:
        self.send(response(request.id, status, self.options, data))

    def _authorize(self, request: Request) -> None:
        if (fault := self._sim.faults.first("authorize")) is not None:
            if fault.kind == "authorize_status":
                self._answer(request, fault.args["status"], fault.args["text"])
            return
        token = token_of(request.body)
        refusal = self._sim.tokens.refusal(token, time.time())
        if refusal is not None:
            status, text = refusal
            self._answer(request, status, "Invalid access token" if status == 401 else text)
        elif self.authorized:
            self._answer(request, 400, "Already authorized")
        else:
            self.token, self.authorized = token, True
            self.device = self._sim.tokens.device(token)
            self._answer(request, 200)
            self._sim.admit(self)

    def _syncrequest(self, request: Request) -> None:
        if self.feed is not None:
            self._second_sync(request)
            return
        try:
            body = json_body(request)
            sub = subscription(body, self.options)
        except RequestError as problem:
            self._answer(request, 400, str(problem))
            if problem.mix and self.options.forbidden_mix == "close":
                self.close()
            return
        if self.options.organisation and body.get("splitResponses") is not True:
            self.close(end="no splitResponses")
        elif not self._penalised(request, body, sub):
            self._start(request, sub)

    def _second_sync(self, request: Request) -> None:
        if self.options.second_sync == "error":
            self._answer(request, 400, "Only one syncrequest per socket")
        elif self.options.second_sync == "close":
            self.close(end="second syncrequest")

    def _penalised(self, request: Request, body: dict[str, Any], sub: Subscription) -> bool:
        """Whether the request is refused, or answered by a ticket, or not at all."""
        now, tokens = time.time(), self._sim.tokens
        if "p-ticket" in body:
            if tokens.redeem(body["p-ticket"], now):
                return False
            self._answer(request, 200, self._sim.penalty("user/syncrequest", now))
            return True
        within = self._sim.limits.admit("user/syncrequest", now)
        if (fault := self._sim.faults.first("sync", sub.remainder if sub.expression else None)) is not None:
            if fault.kind == "sync_status":
                self._answer(request, fault.args["status"])
            elif fault.kind == "sync_penalty":
                ticket = tokens.ticket(fault.args["seconds"], now, captcha=fault.args["captcha"])
                self._answer(request, 200, ticket)
            return True
        if not within:
            self._answer(request, 200, self._sim.penalty("user/syncrequest", now))
        return not within

    def _start(self, request: Request, sub: Subscription) -> None:
        rows = snapshot_rows(self._sim.world.store, sub, self.options, now_us() // 1000)
        log = self._sim.ledger.open(self.number, sub, now_us())
        self.feed = Feed(self, self._sim, log)
        _log.info("synced", socket=self.number, remainder=self.remainder, rows=sum(map(len, rows.values())))
        self.feed.snapshot(self._parts(rows, request.id))

    def _parts(self, rows: dict[str, list[Change]], number: int | None) -> list[Part]:
        """The snapshot's parts, after faults have had their say."""
        options, most = self.options, None
        for fault in self._sim.faults.take("snapshot", self.remainder):
            if fault.kind == "snapshot_cut":
                most = fault.args["parts"]
            elif fault.kind == "list_short":
                rows[fault.args["type"]] = rows.get(fault.args["type"], [])[: fault.args["keep"]]
            else:
                rows[fault.args["type"]] = []
                options = options.changed({"empty_lists": fault.args["form"]})
        return snapshot_frames(rows, number, options)[:most]
