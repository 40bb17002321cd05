"""The simulator as a whole: one port for REST, sockets and control, one world, one ledger.

async with Simulator(Options(accounts=50)) as simulator:
    ...  # clients connect to simulator.rest_url and simulator.socket_url
    await simulator.step(100)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain
from random import Random
from types import TracebackType
from typing import Any, Self

import structlog

from bridge.simulator.blast import blast
from bridge.simulator.connection import Connection
from bridge.simulator.faults import KINDS, Fault, Faults
from bridge.simulator.ledger import Kind, Ledger
from bridge.simulator.limits import Limits
from bridge.simulator.link import now_us
from bridge.simulator.listener import Listener
from bridge.simulator.market import Market
from bridge.simulator.oauth import Grants
from bridge.simulator.options import Options
from bridge.simulator.orders import ENDPOINTS
from bridge.simulator.queries import query
from bridge.simulator.store import Change
from bridge.simulator.tokens import Tokens
from bridge.simulator.world import Burst, World

_log = structlog.get_logger("simulator")


@dataclass(frozen=True, slots=True)
class Result:
    """The answer to a request, and what it made happen; the caller publishes that."""

    status: int
    data: Any = None
    burst: Burst = field(default_factory=list)


class Simulator:
    """A fake Tradovate.

    Attributes:
        options: the switches in force.
        world: what happens.
        ledger: what has happened, and what was sent.
        faults: what is to go wrong.
        connections: the open sockets by number.
        scenario: tells how the scenario stands that is played, if there is one.
    """

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()
        self.world = World(self.options, _now_ms())
        self.ledger = Ledger()
        self.faults = Faults(self.options.seed)
        self.tokens = Tokens(self.options)
        self.grants = Grants(self.tokens, self.options.seed)
        self.limits = Limits(self.options)
        self.connections: dict[int, Connection] = {}
        self.scenario: Callable[[], dict[str, Any]] | None = None
        self.produced = 0
        self._rng = Random(self.options.seed)
        self._market = Market(self._advance, self._scheduled_roll)
        self._trading: asyncio.Task[None] | None = None
        self._listener = Listener(self)
        for frame in self.world.beginning:
            self.ledger.record(frame)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def rest_url(self) -> str:
        """Base address of the REST API."""
        return self._listener.url("http", "/v1")

    @property
    def socket_url(self) -> str:
        """Address of the socket."""
        return self._listener.url("ws", "/v1/websocket")

    @property
    def control_url(self) -> str:
        """Base address of the simulator's own endpoints."""
        return self._listener.url("http", "/sim")

    async def start(self) -> None:
        """Listens and, if the options give a rate, begins to trade."""
        await self._listener.start()
        self._market.set_rate(self.options.rate)
        self._market.set_roll(self.options.roll_every_s)
        self._trading = asyncio.create_task(self._market.run())

    async def stop(self) -> None:
        """Resets all sockets and stops listening."""
        if self._trading is not None:
            self._trading.cancel()
            await asyncio.wait({self._trading})
        for connection in list(self.connections.values()):
            connection.drop("stopped")
        await self._listener.stop()
        if self._trading is not None and not self._trading.cancelled():
            self._trading.result()  # an error of ours is not to be lost

    async def step(self, steps: int = 1) -> int:
        """Lets some things happen at once; the number of events they made."""
        before = self.produced
        for number in range(steps):
            self._advance()
            if number % 20 == 19:
                await asyncio.sleep(0)
        return self.produced - before

    async def set_rate(self, events_per_s: float) -> None:
        """From now on the world makes so many events a second by itself; 0 for none.

        Raises:
            OptionError: a negative rate.
        """
        self.set_options({"rate": events_per_s})

    async def quiesce(self, timeout_s: float = 30.0) -> None:
        """Stops trading and waits until clients have taken everything that was written.

        Raises:
            TimeoutError: a client does not read.
        """
        await self.set_rate(0)
        async with asyncio.timeout(timeout_s):
            for connection in list(self.connections.values()):
                await connection.flushed()

    async def load(
        self, events: int = 100_000, per_frame: int = 10, rate: float = 0.0, keys: int = 1000
    ) -> dict[str, Any]:
        """Sends prepared events to every synced socket, as fast as it reads or at a pace; trading pauses meanwhile.

        Args:
            events: how many for each socket, rounded up to whole frames.
            per_frame: events in a frame.
            rate: events a second for each socket, 0 for as fast as possible.
            keys: different entities for each socket, rounded up to whole frames.

        Returns:
            `events` sent, `seconds` taken and `sockets` served.
        """
        resume = self.options.rate
        await self.set_rate(0)
        try:
            return await blast(self, events, per_frame, rate, keys)
        finally:
            await self.set_rate(resume)

    async def roll(self, *, resend: int = 0) -> int:
        """The 16:00 session roll; the number of archived entities.

        Args:
            resend: how many of the latest events are sent again first, as the real service does (protocol section 14).
        """
        return self._roll(resend)

    def _roll(self, resend: int) -> int:
        again = [c for c in self.ledger.changes[-resend:] if c.event != "Archived"] if resend else []
        for change in again:
            for connection in list(self.connections.values()):
                connection.deliver([change], Kind.AGAIN)
        archived, burst = self.world.roll(_now_ms())
        self.ledger.record(archived)
        self.publish(burst)
        return len(archived)

    def place(self, entity_type: str, event: str, entity: dict[str, Any]) -> int:
        """Puts an entity into the world and sends its event; the number of events (1)."""
        return self.play([[{"entityType": entity_type, "eventType": event, "entity": entity}]])

    def play(self, frames: list[list[dict[str, Any]]]) -> int:
        """Puts entities into the world and sends their events, frame by frame; the number of events.

        Raises:
            KeyError, ValueError: an event lacks something or cannot be; what came before it has happened.
        """
        before = self.produced
        for frame in frames:
            happened: list[Change] = []
            try:
                for event in frame:
                    kind, what = str(event["entityType"]), str(event.get("eventType", "Updated"))
                    happened += chain.from_iterable(self.world.place(_now_ms(), kind, what, event["entity"]))
            finally:
                self.publish([happened] if happened else [])
        return self.produced - before

    def adopt(self, change: Change, *, send: bool) -> None:
        """Puts a version made elsewhere into world and ledger, and sends it unless the clients have it already."""
        burst = self.world.adopt(_now_ms(), change)
        if send:
            self.publish(burst)
        else:
            for frame in burst:
                self.ledger.record(frame)

    def inject(self, frame: str, remainder: int | None = None) -> int:
        """Sends any text to the sockets of a shard (or all synced ones), outside the truth; how many got it."""
        chosen = [c for c in self.connections.values() if c.log and remainder in (None, c.remainder)]
        for connection in chosen:
            connection.send(frame.encode("utf-8", "surrogatepass"))
        return len(chosen)

    def put(self, body: dict[str, Any]) -> dict[str, int]:
        """What `POST /sim/inject` asks for: a raw `frame`, an `entity`, or `frames` of entities.

        Raises:
            KeyError, ValueError: something is missing or does not fit.
        """
        if "frame" in body:
            return {"sockets": self.inject(str(body["frame"]), body.get("remainder"))}
        return {"events": self.play(body.get("frames", [[body]]))}

    def arm(self, kind: str, **settings: Any) -> Fault:
        """Arms a fault; one that strikes a live socket does so at once if a fitting socket is there."""
        fault = self.faults.arm(kind, **settings)
        if KINDS[kind].point == "live" and not fault.skip:
            for connection in list(self.connections.values()):
                connection.pulse()
        return fault

    def set_options(self, values: dict[str, Any]) -> None:
        """Changes options while running.

        Raises:
            OptionError: see `Options.changed`.
        """
        self.options = self.options.changed(values)
        self.world.set_options(self.options)
        self.tokens.options = self.limits.options = self.options
        if "rate" in values:
            self._market.set_rate(self.options.rate)
        self._market.set_roll(self.options.roll_every_s)

    def ask(self, endpoint: str, text: str, body: dict[str, Any]) -> Result:
        """Answers a request that is the same over HTTP and over the socket: an order, or a read of entities."""
        if (fault := self.faults.first("request")) is not None:
            return Result(fault.args["status"])
        if endpoint not in ENDPOINTS:
            return Result(*query(self.world.store, endpoint, text))
        if (fault := self.faults.first("order")) is not None:
            if fault.kind == "order_status":
                return Result(fault.args["status"])
            return Result(200, {"failureReason": fault.args["reason"], "failureText": fault.args["text"]})
        (status, data), burst = self.world.order(_now_ms(), endpoint, body)
        return Result(status, data, burst)

    def penalty(self, endpoint: str, now: float) -> dict[str, Any]:
        """The ticket of an endpoint whose limit is exceeded."""
        seconds, captcha = self.limits.penalty(endpoint, now)
        return self.tokens.ticket(seconds, now, captcha=captcha)

    def chance(self, share: float) -> bool:
        """True in a share of the calls; seeded."""
        return share > 0 and self._rng.random() < share

    def status(self) -> dict[str, Any]:
        """What `GET /sim` shows."""
        return {
            "rest": self.rest_url, "socket": self.socket_url, "control": self.control_url,
            "rate": self.options.rate,
            "produced": self.produced, **self.ledger.counts(), "tokens": self.tokens.issued,
            "sockets": [
                {
                    "socket": c.number, "remainder": c.remainder, "synced": c.log is not None, "silent": c.silent,
                    "backlog": c.backlog,
                }
                for c in self.connections.values()
            ],
            "unfired": [f.id for f in self.faults.unfired()],
        }  # fmt: skip

    def admit(self, newcomer: Connection) -> None:
        """Closes the oldest sockets beyond the quotas and revokes their tokens (protocol section 2.4)."""
        holders = [c for c in self.connections.values() if c.authorized and c is not newcomer]
        while len(holders) + 1 > max(1, self.options.max_sockets):
            self._evict(holders.pop(0), "ConnectionQuotaReached")
        while len({c.device for c in [*holders, newcomer]}) > max(1, self.options.max_devices):
            self._evict(holders.pop(0), "ConnectionQuotaReached")
        while len({c.address for c in [*holders, newcomer]}) > max(1, self.options.max_addresses):
            self._evict(holders.pop(0), "IPQuotaReached")

    def _evict(self, connection: Connection, code: str) -> None:
        self.tokens.revoke(connection.token)
        connection.shutdown(code)

    def gone(self, connection: Connection) -> None:
        """A socket has ended."""
        self.connections.pop(connection.number, None)

    def publish(self, burst: Burst) -> None:
        """Records and sends what has happened, frame by frame."""
        for frame in burst:
            self.ledger.record(frame)
            self.produced += len(frame)
            self._send(frame)

    def _send(self, frame: list[Change]) -> None:
        for connection in list(self.connections.values()):
            connection.deliver(frame)

    def _advance(self) -> int:
        """Lets one thing happen; the number of events it made."""
        before = self.produced
        self.publish(self.world.step(_now_ms()))
        return self.produced - before

    def _scheduled_roll(self) -> None:
        self._roll(self.options.roll_resend)


def _now_ms() -> int:
    return now_us() // 1000
