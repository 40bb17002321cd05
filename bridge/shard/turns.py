"""Turns: the shards of a process write one after another while each has little to write.

A transaction costs the broker three requests and a marker in every partition it touched, however few its records are.
Shards that write at the same time make each other's transactions slow, and what arrives meanwhile waits for the one
after. In turns each is quick, and what arrives while a shard waits for its turn goes along.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

PATIENCE_S = 0.025
"""Nobody waits longer: with many shards, or a broker far away, some write at the same time after all."""


class Turns:
    """Shared by the writers of a process; see the module."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._lock, self._patience_s = asyncio.Lock(), patience_s

    @property
    def taken(self) -> bool:
        """Whether somebody has the turn."""
        return self._lock.locked()

    @asynccontextmanager
    async def turn(self, wait: bool) -> AsyncIterator[None]:
        """Inside the block it is our turn, or nobody's and our patience is over.

        Args:
            wait: False for a writer that has plenty; it goes on at once and takes nobody's turn.
        """
        mine = wait and await self._wait()
        try:
            yield
        finally:
            if mine:
                self._lock.release()

    async def _wait(self) -> bool:
        try:
            async with asyncio.timeout(self._patience_s):
                return await self._lock.acquire()
        except TimeoutError:
            return False
