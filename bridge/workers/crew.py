"""All workers of one command: started together, stopped together.

As with the shards of one process (`bridge/shard/fleet.py`), nothing goes on with a part: when a worker ends, however it
ends, the others are stopped in an orderly way, and its exit code becomes that of the command.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

import structlog

from bridge.errors import AuthorizationRefused, BridgeError, ConfigurationError, KafkaUnusable, Replaced
from bridge.workers.child import IN_ORDER, Child
from bridge.workers.link import Message

STOP_S = 10.0
"""An orderly stop takes a worker less."""
_ERRORS = {kind.exit_code: kind for kind in (ConfigurationError, AuthorizationRefused, KafkaUnusable, Replaced)}


class WorkerEnded(BridgeError):
    """A worker has crashed, was killed, or would not stop."""


class Crew:
    """Starts and ends the workers; an async context manager that leaves none behind.

    Args:
        shards: of each worker.
        module: what they run, see `Child.start`.
        stop_s: how long an orderly stop may take a worker; then it is killed.

    Attributes:
        children: the workers in order.
    """

    def __init__(self, shards: Sequence[Sequence[int]], module: str, *, stop_s: float = STOP_S) -> None:
        self.children = [Child(number, each, self._relay) for number, each in enumerate(shards, 1)]
        self._module, self._stop_s = module, stop_s
        self._ends: dict[asyncio.Task[int], Child] = {}
        self._late: set[Child] = set()
        self._logger = structlog.get_logger()

    async def __aenter__(self) -> Self:
        """Start them; they wait for their orders."""
        try:
            for child in self.children:
                await child.start(self._module)
                self._ends[asyncio.create_task(self._watch(child))] = child
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End those that are left."""
        await self._end()

    def order(self, orders: Sequence[Message]) -> None:
        """Tell each what to do."""
        for child, order in zip(self.children, orders, strict=True):
            child.tell(order)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set or a worker ends; then all others are stopped.

        Raises:
            BridgeError: with the exit code of the worker that ended first, or could not stop in order.
        """
        asked = asyncio.create_task(stop.wait())
        await asyncio.wait([asked, *self._ends], return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        first = [child for task, child in self._ends.items() if task.done()]
        await self._end()
        statuses = {child: task.result() for task, child in self._ends.items()}
        _raise_worst(first, statuses, self._late)

    async def _watch(self, child: Child) -> int:
        status = await child.ended(self._stop_s)
        self._logger.info("worker_ended", worker=child.number, status=status, reason=child.reason or None)
        return status

    async def _end(self) -> None:
        """Stop those that still run, and kill those that do not stop."""
        if not self._ends:
            return
        for child in self.children:
            child.stop()
        _, late = await asyncio.wait(self._ends, timeout=self._stop_s)
        self._late |= {self._ends[task] for task in late}
        for child in self._late:
            child.kill()
        await asyncio.gather(*self._ends)

    def _relay(self, teller: Child, message: Message) -> None:
        for child in self.children:
            if child is not teller:
                child.tell(message)


def _raise_worst(first: Sequence[Child], statuses: Mapping[Child, int], late: set[Child]) -> None:
    """The first that ended by itself counts; what the others came to may be a consequence."""
    for child in [*first, *statuses]:
        status = statuses[child]
        if child in late:
            raise WorkerEnded(f"{child} did not stop in time and was killed")
        if status not in IN_ORDER:
            raise _ERRORS.get(status, WorkerEnded)(f"{child} {_how(status)}{_why(child)}; the others have been stopped")


def _how(status: int) -> str:
    return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"has ended with exit code {status}"


def _why(child: Child) -> str:
    return f": {child.reason}" if child.reason else ""
