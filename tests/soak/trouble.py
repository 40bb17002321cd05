"""Faults of every kind, made to happen one at a time; each is seen to have happened."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from bridge.devkit.kafka import EmbeddedKafka
from bridge.errors import KafkaUnavailable
from bridge.simulator.faults import KINDS, SHARDED
from tests.integration.bridge.scene import Bridge, Scene

LIVE: Sequence[tuple[str, dict[str, Any]]] = (
    *(("drop", {}), ("close", {"code": 1001}), ("close_frame", {}), ("half_open", {})),
    *(("shutdown", {"code": "Maintenance"}), ("shutdown", {"code": "Surprise"})),
    *(("frame_garbage", {}), ("frame_truncated", {}), ("frame_binary", {}), ("frame_twice", {})),
    *(("frame_delay", {"seconds": 1.0}), ("frame_padded", {"bytes": 1 << 20})),
)
"""Strike an open socket. `frame_drop` is not among them: what is lost in silence is the audit's business."""
AGAIN: Sequence[tuple[str, dict[str, Any]]] = (
    *(("upgrade_drop", {}), ("upgrade_status", {"status": 503}), ("silent_open", {})),
    *(("authorize_status", {"status": 500}), ("authorize_silent", {})),
    *(("sync_status", {"status": 503}), ("sync_penalty", {"seconds": 1}), ("part_delay", {"seconds": 1.0})),
)
"""Strike while a socket that was dropped comes back."""
ATTEMPTS = 3
SHORT_S, LONG_S = 3.0, 15.0
"""A stopped bridge is patient; after 10 s of silence the simulator is not."""


@dataclass(slots=True)
class Trouble:
    """Makes things go wrong.

    Attributes:
        happened: what, in order.
    """

    made: Scene
    kafka: EmbeddedKafka
    rng: Random
    shards: int
    happened: list[str] = field(default_factory=list)

    async def one(self, *, deadly: bool) -> str:
        """Something goes wrong; what it was.

        Args:
            deadly: it may be the death of the bridge, too.
        """
        kinds: list[Callable[[], Awaitable[str]]] = [self.socket, self.socket, self.socket, self.again, self.again]
        kinds += [self.frozen_kafka, self.killed_kafka, self.stopped_bridge]
        what = await self.rng.choice([self.killed_bridge, *kinds[::3]] if deadly else kinds)()
        self.happened.append(what)
        return what

    async def socket(self) -> str:
        """A fault of the simulator on an open socket."""
        kind, args = self.rng.choice(LIVE)
        await self._arm(kind, args)
        return kind

    async def again(self) -> str:
        """A socket is dropped, and has trouble to come back."""
        kind, args = self.rng.choice(AGAIN)
        remainder = self.rng.randrange(self.shards)
        before = (await self.made.faults()).get(kind, 0)
        sharded = remainder if KINDS[kind].point in SHARDED else None
        await self.made.arm(kind, remainder=sharded, **args)
        await self._arm("drop", {}, remainder)
        await self.made.fired(kind, before + 1)
        return f"drop and {kind}"

    async def _arm(self, kind: str, args: dict[str, Any], remainder: int | None = None) -> None:
        before = (await self.made.faults()).get(kind, 0)
        await self.made.arm(kind, remainder=self.rng.randrange(self.shards) if remainder is None else remainder, **args)
        await self.made.fired(kind, before + 1)

    async def frozen_kafka(self) -> str:
        self.kafka.pause()
        await asyncio.sleep(self.rng.uniform(1.0, 2 * SHORT_S))
        self.kafka.resume()
        return "kafka frozen"

    async def killed_kafka(self) -> str:
        await self.kafka.kill()
        await asyncio.sleep(self.rng.uniform(0.0, SHORT_S))
        for attempt in range(ATTEMPTS):
            try:
                await self.kafka.restart()
                break
            except KafkaUnavailable:  # it has a minute, which may be too short where everything else is busy
                if attempt == ATTEMPTS - 1:
                    raise
                await self.kafka.kill()
        return "kafka killed"

    async def stopped_bridge(self) -> str:
        seconds = self.rng.choice((SHORT_S, SHORT_S, LONG_S))
        self._bridge.process.child.pause()
        await asyncio.sleep(seconds)
        self._bridge.process.child.resume()
        return f"bridge stopped for {seconds:g} s"

    async def killed_bridge(self) -> str:
        """By force, or in order; either way it is started again."""
        child = self._bridge.process.child
        if self.rng.random() < 0.8:
            await child.kill()
            assert child.returncode == -signal.SIGKILL
            what = "bridge killed"
        else:
            assert (await self._bridge.stop())[0] == 0
            what = "bridge restarted"
        self.made.start()
        return what

    @property
    def _bridge(self) -> Bridge:
        return self.made.bridges[-1]
