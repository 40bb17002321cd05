"""Waiting for one's turn under the server's limits, fairly and safe against cancellation.

One `Budget` is shared by all shards of a process: the limits count per user and address, not per socket. Each wait is
counted while it lasts, because it may last an hour. Processes that work together have a part of the limits each, and
hand on what the server refused one of them (`on_news`, `hear`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from bridge.source.limits import ConnectPace, Limit, RollingWindow

LONG_S = 5.0
"""A wait of so many seconds is worth a line in the log."""

OnLong = Callable[[str, int], None]
"""Told for what somebody has been waiting long, and how many wait for it; returns at once."""

OnNews = Callable[[str, float], None]
"""Told what other processes of this user should do as well: `hold` for so many seconds, or be `throttled`."""


class Waits:
    """How long callers have stood before one thing, all together; those who still stand there count too.

    Args:
        what: word for the thing.
        clock: seconds that do not jump.
        on_long: told once each time that waiting has become long, until nobody waits any more.
        long_s: what is long.
    """

    def __init__(self, what: str, clock: Callable[[], float], on_long: OnLong, long_s: float = LONG_S) -> None:
        self._what, self._clock, self._on_long, self._long_s = what, clock, on_long, long_s
        self._over_s = 0.0
        self._since: dict[int, float] = {}
        self._number = 0
        self._told = False

    @property
    def total_s(self) -> float:
        """Seconds; never less than before."""
        now = self._clock()
        return self._over_s + sum(now - since for since in self._since.values())

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count the time within."""
        self._number += 1
        number, began = self._number, self._clock()
        self._since[number] = began
        long = asyncio.get_running_loop().call_later(self._long_s, self._tell)
        try:
            yield
        finally:
            long.cancel()
            del self._since[number]
            self._over_s += self._clock() - began
            self._told = self._told and bool(self._since)

    def _tell(self) -> None:
        if not self._told:
            self._told = True
            self._on_long(self._what, len(self._since))


class Hold:
    """A time in which nothing new is begun at the broker: one account has one limit, whichever shard met it.

    Args:
        on_longer: told for how many seconds from now, whenever it is extended here.
    """

    def __init__(self, clock: Callable[[], float], on_longer: Callable[[float], None] = lambda _seconds: None) -> None:
        self._clock, self._on_longer = clock, on_longer
        self._until = clock()

    @property
    def wait_s(self) -> float:
        """Seconds that are left of it."""
        return max(0.0, self._until - self._clock())

    def extend(self, seconds: float) -> None:
        """Begin it, or make it longer; never shorter."""
        if self.follow(seconds):
            self._on_longer(seconds)

    def follow(self, seconds: float) -> bool:
        """The same because another process has; whether it is longer now. Not handed on: that would never end."""
        until = self._clock() + seconds
        longer = until > self._until
        self._until = max(self._until, until)
        return longer


class Turnstile:
    """Lets callers through one by one, in the order in which they came, as fast as limit and hold allow.

    Attributes:
        waits: how long callers had to stand here.
    """

    def __init__(self, limit: Limit, clock: Callable[[], float], hold: Hold, waits: Waits) -> None:
        self._limit, self._clock, self._hold = limit, clock, hold
        self._queue = asyncio.Lock()
        self.waits = waits

    @property
    def wait_s(self) -> float:
        """How long the limit would hold a caller now, seconds, not counting those who stand before him."""
        return self._limit.wait_s(self._clock())

    async def turn(self) -> None:
        """Wait until it is allowed, and take it. A cancelled caller has taken nothing."""
        await self.ready()
        self.charge()

    async def ready(self) -> None:
        """Wait until it is allowed, without taking it.

        Whoever takes it (`charge`) before he awaits anything else has it for himself. For things that count only if
        the server saw them, or that may have become impossible meanwhile.
        """
        with self.waits.counted():
            async with self._queue:
                # Limit and hold name the time to wait; there is no event to wait for. Both may grow meanwhile.
                while (wait := max(self._hold.wait_s, self.wait_s)) > 0:  # noqa: ASYNC110
                    await asyncio.sleep(wait)

    def charge(self) -> None:
        """Count one that is done."""
        self._limit.take(self._clock())


class Places:
    """So many may be held at the same time.

    Attributes:
        waits: how long callers had to stand for one.
    """

    def __init__(self, number: int, waits: Waits) -> None:
        self._free = asyncio.Semaphore(number)
        self.waits = waits

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Wait for a place and hold it."""
        with self.waits.counted():
            await self._free.acquire()
        try:
            yield
        finally:
            self._free.release()

    @property
    def free(self) -> bool:
        """Whether one could be had at once."""
        return not self._free.locked()


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetLimits:
    """The server's limits as published, and the number of sockets we may hold (protocol sections 2.4 and 3.2).

    Attributes:
        syncrequests_per_hour: all calls count.
        logins_per_hour: `auth/accesstokenrequest`; the server counts failures only, we count what it answered.
        renewals_per_hour: `auth/renewaccesstoken`.
        sockets: held at the same time.
        spare_sockets: of these, so many are not needed by the shards.
        connect_burst: connections opened at once ...
        connect_rate: ... and then so many a second.
    """

    syncrequests_per_hour: int = 300
    logins_per_hour: int = 5
    renewals_per_hour: int = 15
    sockets: int = 40
    spare_sockets: int = 0
    connect_burst: int = 4
    connect_rate: float = 2 / 3.0


class Budget:
    """All limits that the shards of a process share.

    Args:
        clock: seconds that do not jump.
        limits: how much of everything.
        on_long: told when somebody waits long.

    Attributes:
        hold: while it lasts no turn is given for anything.
        syncrequest, login, renewal: one turn each before the request.
        sockets: hold one for as long as a socket is open: `async with budget.sockets.held()`.
        spare: likewise, for sockets that nobody needs.
        connect: one turn before each connection.
        on_news: told what the server has refused here, for other processes of the same user.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        limits: BudgetLimits | None = None,
        on_long: OnLong = lambda _what, _waiting: None,
    ) -> None:
        limits = limits or BudgetLimits()
        self._clock = clock
        self._pace = ConnectPace(limits.connect_burst, rate=limits.connect_rate)
        self.on_news: OnNews = lambda _what, _seconds: None
        self.hold = Hold(clock, lambda seconds: self.on_news("hold", seconds))

        def turnstile(what: str, limit: Limit) -> Turnstile:
            return Turnstile(limit, clock, self.hold, Waits(what, clock, on_long))

        self._syncs = RollingWindow(limits.syncrequests_per_hour)
        self.syncrequest = turnstile("syncrequest", self._syncs)
        self.login = turnstile("login", RollingWindow(limits.logins_per_hour))
        self.renewal = turnstile("renewal", RollingWindow(limits.renewals_per_hour))
        self.connect = turnstile("connect", self._pace)
        self.sockets = Places(limits.sockets, Waits("socket", clock, on_long))
        self.spare = Places(limits.spare_sockets, Waits("socket", clock, on_long))

    def connect_throttled(self) -> None:
        """The server answered 429 to a connection: all shards slow down."""
        self._pace.throttled(self._clock())
        self.on_news("throttled", 0.0)

    def hear(self, what: str, seconds: float) -> None:
        """Do what the `on_news` of another process has told."""
        if what == "hold":
            self.hold.follow(seconds)
        elif what == "throttled" and not self.hold.wait_s:  # refused together is one refusal
            self._pace.throttled(self._clock())

    def audit_hindrance(self) -> str | None:
        """Why nobody should open a socket that is not needed now; None if there is room for one.

        Half of the syncrequests are kept for shards that have lost their sockets.
        """
        if self.hold.wait_s > 0:
            return "hold"
        if not self.spare.free:
            return "no_socket"
        return "no_syncrequest" if 2 * self._syncs.taken(self._clock()) >= self._syncs.most else None

    def waited(self) -> Mapping[str, float]:
        """Seconds waited so far, by what for; all shards together."""
        return {
            "connect": self.connect.waits.total_s,
            "login": self.login.waits.total_s,
            "renewal": self.renewal.waits.total_s,
            "socket": self.sockets.waits.total_s,
            "syncrequest": self.syncrequest.waits.total_s,
        }
