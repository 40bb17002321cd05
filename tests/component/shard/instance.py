"""One process' worth of a shard, fed by a broker that says what the test tells it to."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from bridge.app import cluster as parts
from bridge.app.reading import frame_reader
from bridge.app.shards import Shared, SystemClock, build
from bridge.config import Settings, load
from bridge.errors import SessionLost
from bridge.kafka.framing import Framing
from bridge.shard.ports import Listener, Spares
from bridge.shard.runner import Runner

WAIT_S = 90.0
NOON_US = 1_772_366_400_000_000


class Desk:
    """A broker (`shard.ports.Source`) and its only conversation at a time: plays what it is given, in order.

    Attributes:
        conversations: how many there have been.
        now_us: when the next frame arrives.
        taken: of each `read`, how many frames were taken.
    """

    def __init__(self) -> None:
        self.conversations = 0
        self.taken: list[int] = []
        self.now_us = NOON_US
        self._waiting: deque[Callable[[Listener], None]] = deque()
        self._more = asyncio.Event()
        self._talk: Talk | None = None

    def live(self, *entities: dict[str, Any], event: str = "Updated") -> None:
        for entity in entities:
            self._frame({"e": "props", "d": {"entityType": "order", "eventType": event, "entity": entity}})

    def snapshot(self, *entities: dict[str, Any]) -> None:
        self._frame({"i": 1, "s": 200, "d": {"orders": list(entities)}})
        self._put(lambda listener: listener.snapshot_completed({"orders": len(entities)}))

    def hang_up(self) -> None:
        """End the present conversation."""
        if self._talk is not None:
            self._talk.give_up(SessionLost("dropped"))

    def lose(self) -> int:
        """Forget what has not been delivered; how much that was."""
        lost = len(self._waiting)
        self._waiting.clear()
        return lost

    def _frame(self, *messages: dict[str, Any]) -> None:
        self.frame(b"a" + orjson.dumps(messages))

    def frame(self, raw: bytes) -> None:
        arrived_us = self.now_us
        self._put(lambda listener: listener.data(raw, frame_reader().messages(raw, False), arrived_us))

    def read(self, *raws: bytes) -> None:
        """Frames that come in one read, offered before anybody has read them; see `taken`."""
        arrived_us = self.now_us
        self._put(lambda listener: self.taken.append(listener.straight([*raws], 0, arrived_us)))

    def mistake(self) -> None:
        """A frame that was read wrong, as only an error of ours could do."""
        self._put(lambda listener: listener.data(b"a[5]", 5, self.now_us))  # type: ignore[arg-type]

    def _put(self, act: Callable[[Listener], None]) -> None:
        self._waiting.append(act)
        self._more.set()

    def converse(self, listener: Listener) -> Talk:
        self.conversations += 1
        self._talk = Talk(self, listener)
        return self._talk

    def delay(self, lost: SessionLost, useful: bool) -> float:  # noqa: ARG002 - never matters here
        return 0.01


class Talk:
    """One conversation (`shard.ports.Conversation`)."""

    def __init__(self, desk: Desk, listener: Listener) -> None:
        self._desk, self._listener = desk, listener
        self._allowed, self._lost = asyncio.Event(), asyncio.Event()
        self._why = SessionLost("none")

    @property
    def heard_us(self) -> int:
        return self._desk.now_us

    async def run(self) -> SessionLost:
        ended = asyncio.create_task(self._lost.wait())
        try:
            await asyncio.wait([ended, asyncio.create_task(self._allowed.wait())], return_when=asyncio.FIRST_COMPLETED)
            if not self._lost.is_set():
                self._listener.synced()
            while not self._lost.is_set():
                while self._desk._waiting and not self._lost.is_set():
                    self._desk._waiting.popleft()(self._listener)
                self._desk._more.clear()
                more = asyncio.create_task(self._desk._more.wait())
                await asyncio.wait([ended, more], return_when=asyncio.FIRST_COMPLETED)
                more.cancel()
        finally:
            ended.cancel()
            self._allowed.set()
        return self._why

    def allow_sync(self) -> None:
        self._allowed.set()

    def pause(self) -> None:
        """There is no socket to pause."""

    def resume(self) -> None:
        """Nor to resume."""

    def give_up(self, lost: SessionLost) -> None:
        self._why = lost
        self._lost.set()


def settings_of(bootstrap_servers: str, prefix: str, delivery: str, **more: dict[str, Any]) -> Settings:
    return load(
        overrides={
            "kafka": {
                "bootstrap_servers": bootstrap_servers,
                "topic_prefix": prefix,
                "delivery": delivery,
                "transaction_timeout_ms": 5000,
                "request_timeout_ms": 5000,
            },
            "sharding": {"divisor": 1},
            **more,
        }
    )


def framed(framing: Framing) -> Callable[[], Awaitable[Framing]]:
    """A registry that answers at once."""

    async def answer() -> Framing:
        return framing

    return answer


class Instance:
    """One process' worth of shard 0, running until it is stopped or ends by itself."""

    def __init__(
        self,
        settings: Settings,
        framing: Callable[[], Awaitable[Framing]],
        clock: SystemClock | None = None,
        spares: Spares | None = None,
    ) -> None:
        self.desk = Desk()
        shared = self.shared = Shared(
            settings, parts.cluster(settings), frame_reader(), framing, clock=clock or SystemClock()
        )
        self.name = shared.instance
        self.runner: Runner
        self.runner, self.view = build(shared, 0, self.desk, spares)
        self.task = asyncio.create_task(self.runner.run())

    async def until(self, reached: Callable[[], bool]) -> None:
        """Wait until something is so; what ends the shard before is raised."""
        async with asyncio.timeout(WAIT_S):
            while not reached():
                if self.task.done():
                    self.task.result()
                    raise AssertionError("the shard has ended")
                await asyncio.sleep(0.01)

    async def published(self, seq: int) -> None:
        await self.until(lambda: self.runner.stats.seq >= seq)

    async def stop(self) -> None:
        self.runner.stop()
        async with asyncio.timeout(WAIT_S):
            await self.task
