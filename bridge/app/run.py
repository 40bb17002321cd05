"""The process: look at the topics, open everything at once, and close it in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from bridge.app import cluster as parts
from bridge.app import garbage, implementation
from bridge.app.shards import VERSION, Shared, build
from bridge.app.source import broker, plan, warn_of_unknown_types
from bridge.config import Settings
from bridge.errors import BridgeError
from bridge.kafka import topics
from bridge.kafka.client import Cluster
from bridge.kafka.framing import Framing
from bridge.operate.collector import ShardCollector, SourceView
from bridge.operate.http import served
from bridge.operate.metrics import ShardView
from bridge.shard.fleet import Fleet
from bridge.shard.patience import Patience
from bridge.source.budget import BudgetLimits, OnNews
from bridge.source.conversation import ShardSource
from bridge.source.spare import SpareSource
from bridge.speed.choice import IMPLEMENTATION, REASON

T = TypeVar("T")

KAFKA_PATIENCE_S = 5.0
"""So long we wait for a first look at the topics before the sockets open without it."""


@dataclass(frozen=True, slots=True)
class Part:
    """What binds a process to others that work beside it.

    Attributes:
        limits: its share of what all may do at the broker.
        on_listening: told the address of the HTTP endpoints.
        on_news: told what the broker refuses here, see `Budget.on_news`.
    """

    limits: BudgetLimits
    on_listening: Callable[[str], None]
    on_news: OnNews


def about(settings: Settings) -> dict[str, Any]:
    """What identifies a run, in the log and in `/status`."""
    return {
        "prefix": settings.prefix,
        "implementation": IMPLEMENTATION,
        "environment": settings.source.environment,
        "delivery": settings.kafka.delivery,
        "bootstrap_servers": settings.kafka.bootstrap_servers,
        "divisor": settings.sharding.divisor,
        "remainders": list(settings.sharding.remainders),
    }


def process_metrics() -> CollectorRegistry:
    """Python's own metrics of this process."""
    registry = CollectorRegistry(auto_describe=False)
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    return registry


class Bridge:
    """One bridge process.

    Args:
        part: if it works beside others; None if it is alone.

    Attributes:
        shards: the numbers of every shard, once `run()` has begun.
        address: of the HTTP endpoints, once they are served.
    """

    def __init__(self, settings: Settings, part: Part | None = None) -> None:
        self.shards: list[ShardView] = []
        self.address = ""
        self._settings, self._part = settings, part
        self._broker = broker(settings, part.limits if part else None)
        if part is not None:
            self._broker.budget.on_news = part.on_news
        self._plans = {remainder: plan(settings, remainder) for remainder in settings.sharding.remainders}
        self._stop = asyncio.Event()
        self._fleet: Fleet | None = None
        self._logger = structlog.get_logger()

    def stop(self) -> None:
        """Stop in an orderly way: close sockets, write what waits, commit. `run()` returns when it is done."""
        self._stop.set()
        if self._fleet is not None:
            self._fleet.stop()

    def hear(self, what: str, seconds: float) -> None:
        """Do what the `on_news` of a process beside this one has told."""
        self._broker.budget.hear(what, seconds)

    async def run(self) -> None:
        """Bridge until `stop()`.

        Raises:
            BridgeError: as its exit code says.
        """
        self._logger.info("starting", version=VERSION, **about(self._settings), accelerator=REASON)
        warn_of_unknown_types(self._settings)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._broker)
            cluster, patience = parts.cluster(self._settings), Patience(self._logger)
            checking = self._background(stack, patience.wait_for("check_topics", lambda: self._check(cluster)))
            framing = self._background(stack, self._framing(checking, patience))
            shared = Shared(self._settings, cluster, implementation.READER, lambda: asyncio.shield(framing))
            built = [
                build(shared, r, ShardSource(self._broker, wanted), SpareSource(self._broker, wanted))
                for r, wanted in self._plans.items()
            ]
            self.shards[:] = [view for _, view in built]
            await self._serve(stack, shared)
            await self._first_look(checking)
            fleet = self._fleet = Fleet([runner for runner, _ in built])
            if not self._stop.is_set():
                self._background(stack, self._broker.keep_token())
                garbage.settle()
                await self._run_fleet(fleet)

    async def _check(self, cluster: Cluster) -> None:
        await topics.check(cluster, parts.plan(self._settings))

    async def _framing(self, checking: asyncio.Task[None], patience: Patience) -> Framing:
        """What shards wait for before they claim: the topics are right, the schemas are registered."""
        await asyncio.shield(checking)
        return await patience.wait_for("register_schemas", lambda: parts.framing(self._settings))

    async def _first_look(self, checking: asyncio.Task[None]) -> None:
        """Wrong topics must stop us before a socket opens; but a cluster that is away must not keep us from listening.

        Raises:
            KafkaUnusable: the topics are wrong.
        """
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait([checking, stopping], return_when=asyncio.FIRST_COMPLETED, timeout=KAFKA_PATIENCE_S)
        stopping.cancel()
        if checking.done():
            checking.result()

    def _background(self, stack: AsyncExitStack, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run beside the rest, end with it; its error is told by whoever waits for the result."""
        task = asyncio.create_task(work)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        stack.callback(task.cancel)
        return task

    async def _serve(self, stack: AsyncExitStack, shared: Shared) -> None:
        http = self._settings.http
        described = {"version": VERSION, **about(self._settings)}
        registry = self._registry(shared)
        token = http.admin_token.get_secret_value() if http.admin_token is not None else None
        self.address = await stack.enter_async_context(
            served(http.host, http.port, self.shards, registry, described, token)
        )
        self._logger.info("listening", http=self.address)
        if self._part is not None:
            self._part.on_listening(self.address)

    async def _run_fleet(self, fleet: Fleet) -> None:
        try:
            await fleet.run()
        except BridgeError as error:
            self._logger.warning("stopped", reason=str(error), exit_code=error.exit_code)
            raise
        self._logger.info("stopped", reason="asked to")

    def _registry(self, shared: Shared) -> CollectorRegistry:
        registry = process_metrics()
        registry.register(ShardCollector(self.shards, shared.drift, self._source_view(), shared.clock.epoch_us))
        return registry

    def _source_view(self) -> SourceView:
        budget = self._broker.budget
        return SourceView(budget.waited, lambda: budget.hold.wait_s)
