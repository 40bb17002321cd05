"""Waiting for one's turn under the server's limits, fairly and safe against cancellation.

One `Budget` is shared by all shards of a process: the limits count per address, not per socket.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from bridge.source.limits import ConnectPace, Limit, RollingWindow


class Turnstile:
    """Lets callers through one by one, in the order in which they came, as fast as a limit allows.

    Attributes:
        waited: how many callers had to wait for the limit.
        waited_s: for how long, all together.
    """

    def __init__(self, limit: Limit, clock: Callable[[], float]) -> None:
        self._limit, self._clock = limit, clock
        self._queue = asyncio.Lock()
        self.waited = 0
        self.waited_s = 0.0

    @property
    def wait_s(self) -> float:
        """How long the limit would hold a caller now, seconds, not counting those who stand before him."""
        return self._limit.wait_s(self._clock())

    async def turn(self) -> None:
        """Wait until it is allowed, and take it. A cancelled caller has taken nothing."""
        async with self._queue:
            await self._allowed()
            self.charge()

    async def ready(self) -> None:
        """Wait until it is allowed, without taking it: for things that count only if the server saw them."""
        async with self._queue:
            await self._allowed()

    def charge(self) -> None:
        """Count one that was done without waiting here."""
        self._limit.take(self._clock())

    async def _allowed(self) -> None:
        waits = 0
        # The limit names the time to wait; there is no event to wait for.
        while (wait := self._limit.wait_s(self._clock())) > 0:
            await asyncio.sleep(wait)
            self.waited_s += wait
            waits += 1
        self.waited += min(waits, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetLimits:
    """The server's limits as published, and the number of sockets we may hold (protocol sections 2.4 and 3.2).

    Attributes:
        syncrequests_per_hour: all calls count.
        logins_per_hour: `auth/accesstokenrequest`; the server counts failures only, we count what it answered.
        renewals_per_hour: `auth/renewaccesstoken`.
        sockets: held at the same time.
        connect_burst: opened at once, then two per three seconds.
    """

    syncrequests_per_hour: int = 300
    logins_per_hour: int = 5
    renewals_per_hour: int = 15
    sockets: int = 40
    connect_burst: int = 4


class Budget:
    """All limits that the shards of a process share.

    Attributes:
        syncrequest, login, renewal: one turn each before the request.
        sockets: hold one for as long as a socket is open: `async with budget.sockets`.
        connect: one turn before each connection.
    """

    def __init__(self, clock: Callable[[], float], limits: BudgetLimits | None = None) -> None:
        limits = limits or BudgetLimits()
        self._clock = clock
        self._pace = ConnectPace(limits.connect_burst)
        self.syncrequest = Turnstile(RollingWindow(limits.syncrequests_per_hour), clock)
        self.login = Turnstile(RollingWindow(limits.logins_per_hour), clock)
        self.renewal = Turnstile(RollingWindow(limits.renewals_per_hour), clock)
        self.connect = Turnstile(self._pace, clock)
        self.sockets = asyncio.Semaphore(limits.sockets)

    def connect_throttled(self) -> None:
        """The server answered 429 to a connection: all shards slow down."""
        self._pace.throttled(self._clock())
