"""Lets the world trade by itself, at a pace, and rolls its session from time to time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from bridge.simulator.pace import Pace

_TICK_S = 0.005
"""So long trading may hold up everything else."""


class Market:
    """Trades as long as it runs.

    Args:
        step: lets one thing happen, and says how many events that made.
        roll: rolls the session.
    """

    def __init__(self, step: Callable[[], int], roll: Callable[[], object]) -> None:
        self._step, self._roll = step, roll
        self._pace = Pace(0.0, 0.0)
        self._every_s = 0.0
        self._rolled = 0.0
        self._changed = asyncio.Event()

    def set_rate(self, events_per_s: float) -> None:
        """From now on so many events a second; 0 for none."""
        self._pace = Pace(events_per_s, time.monotonic())
        self._changed.set()

    def set_roll(self, every_s: float) -> None:
        """From now on a session roll after so many seconds, again and again; 0 for none."""
        if every_s != self._every_s:
            self._every_s, self._rolled = every_s, time.monotonic()
            self._changed.set()

    async def run(self) -> None:
        """Trades until it is cancelled."""
        while True:
            self._changed.clear()
            await self._trade()
            now = time.monotonic()
            if self._every_s and now - self._rolled >= self._every_s:
                self._rolled = now
                self._roll()
            until_roll = self._every_s + self._rolled - now if self._every_s else self._pace.pause()
            try:
                async with asyncio.timeout(max(min(self._pace.pause(), until_roll), 0.001)):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _trade(self) -> None:
        """Makes the steps that are due, and lets others run in between."""
        started = time.monotonic()
        while self._pace.due(time.monotonic()):
            self._pace.spend(self._step())
            if time.monotonic() - started > _TICK_S:
                await asyncio.sleep(0)
                started = time.monotonic()
