"""A world of a steady size in which entities are created, changed and deleted all the time, some in one frame."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from random import Random
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson

from tests.integration.bridge.scene import Scene

TYPES = ("cashBalance", "position")
TICK_S = 0.02
MOST_AT_ONCE = 500
FIRST = 20_000_000
"""Ids of the entities begin here."""
SIZES = (1, 1, 2, 3, 5)
"""Events in a frame; all of a frame are of one account, so that they reach one shard."""
UPDATES = 0.6
"""The other events create and delete in turn, so that the world keeps its size."""
Event = dict[str, Any]
Own = list[tuple[str, int]]


class Churn:
    """Async context manager that has the world changed, beginning with `go`.

    Attributes:
        events: how many have happened.
    """

    def __init__(self, made: Scene, accounts: list[int], entities: int, *, seed: int = 1) -> None:
        self.events = 0
        self._made, self._accounts, self._rng = made, accounts, Random(seed)  # noqa: S311 - a run is to be repeatable
        self._each = max(1, entities // len(accounts))
        self._own: dict[int, Own] = {account: [] for account in accounts}
        self._next = FIRST
        self._task: asyncio.Task[None] | None = None
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Put the entities into the world."""
        self._http = aiohttp.ClientSession()
        wanted = [[self._created(account)] for account in self._accounts for _ in range(self._each)]
        for first in range(0, len(wanted), MOST_AT_ONCE):
            await self._happen(wanted[first : first + MOST_AT_ONCE])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
        if self._http is not None:
            await self._http.close()

    def go(self, rate: float) -> None:
        """So many events a second from now on."""
        self._task = asyncio.create_task(self._run(rate))

    async def stop(self) -> None:
        """Nothing happens any more; an error of the task is raised here."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()

    async def _run(self, rate: float) -> None:
        began, before = time.monotonic(), self.events
        while True:
            due = min(MOST_AT_ONCE, int((time.monotonic() - began) * rate) - (self.events - before))
            if due > 0:
                await self._happen(list(self._frames(due)))
            await asyncio.sleep(TICK_S)

    async def _happen(self, frames: list[list[Event]]) -> None:
        assert self._http is not None, "use it as a context manager"
        body = orjson.dumps({"frames": frames})
        async with self._http.post(f"{self._made.stage.control_url}/inject", data=body) as answer:
            assert answer.status == 200, await answer.text()
        self.events += sum(map(len, frames))

    def _frames(self, events: int) -> Iterator[list[Event]]:
        while events > 0:
            account = self._rng.choice(self._accounts)
            size = min(events, self._rng.choice(SIZES))
            events -= size
            yield [self._event(account) for _ in range(size)]

    def _event(self, account: int) -> Event:
        own = self._own[account]
        if own and self._rng.random() < UPDATES:
            return self._put(account, *self._rng.choice(own))
        if len(own) <= self._each:
            return self._created(account)
        name, number = own.pop(self._rng.randrange(len(own)))
        return {"entityType": name, "eventType": "Deleted", "entity": {"id": number}}

    def _created(self, account: int) -> Event:
        self._next += 1
        self._own[account].append((TYPES[self._next % len(TYPES)], self._next))
        return self._put(account, *self._own[account][-1])

    def _put(self, account: int, name: str, number: int) -> Event:
        entity = {"id": number, "accountId": account, "tradeDate": {"year": 2026, "month": 11, "day": 20}}
        told = self._rng.random() * 1e6
        entity |= {"amount": told, "currencyId": 1} if name == "cashBalance" else {"netPrice": told, "netPos": 1}
        return {"entityType": name, "entity": entity}
