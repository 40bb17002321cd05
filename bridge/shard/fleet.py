"""All shards of one process: started together, stopped together.

Refuses to go on with a part: if one shard is replaced or refused for good, the others are stopped in an orderly way and
the reason is raised, because a process that half works looks healthy to a supervisor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from bridge.errors import BridgeError, KafkaUnavailable
from bridge.shard.runner import Runner

STOP_S = 5.0
"""An orderly stop takes this long at most; closing the connections to a Kafka that does not answer takes four more."""


class Fleet:
    """Runs the shards of one process."""

    def __init__(self, runners: Sequence[Runner]) -> None:
        self._runners = runners
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """Ask all shards to stop in an orderly way; `run()` returns when they have."""
        self._stop.set()

    async def run(self) -> None:
        """Run until `stop()`, or until a shard cannot go on.

        Raises:
            BridgeError: the first reason for which a shard could not go on.
            KafkaUnavailable: the stop took too long because Kafka did not take what was left.
        """
        tasks = [asyncio.create_task(r.run(), name=f"shard-{r.stats.shard}") for r in self._runners]
        stop = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait([stop, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for runner in self._runners:
                runner.stop()
            _, late = await asyncio.wait(tasks, timeout=STOP_S)
        finally:
            for task in (stop, *tasks):
                task.cancel()
            await asyncio.gather(stop, *tasks, return_exceptions=True)
        _raise_first(tasks, len(late))


def _raise_first(tasks: Sequence[asyncio.Task[None]], late: int) -> None:
    errors = [task.exception() for task in tasks if not task.cancelled()]
    found = [e for e in errors if e is not None]
    for error in sorted(found, key=lambda e: not isinstance(e, BridgeError)):
        raise error
    if late:
        raise KafkaUnavailable(
            f"{late} shards could not write what was left within {STOP_S:g} s; Kafka did not answer. Nothing that was "
            "committed is affected; the next start finds the rest by reconciling with a new snapshot"
        )
