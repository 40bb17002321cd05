"""The process: check the topics, then open everything at once, and close it in order."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from bridge.app import cluster as parts
from bridge.app import garbage
from bridge.app.reading import frame_reader
from bridge.app.shards import VERSION, Shared, build
from bridge.app.source import Broker
from bridge.config import Settings
from bridge.errors import BridgeError
from bridge.kafka import topics
from bridge.operate.http import served
from bridge.operate.metrics import ShardCollector, ShardView
from bridge.shard.fleet import Fleet
from bridge.shard.patience import Patience


class Bridge:
    """One bridge process.

    Attributes:
        shards: the numbers of every shard, once `run()` has begun.
        address: of the HTTP endpoints, once they are served.
    """

    def __init__(self, settings: Settings) -> None:
        self.shards: list[ShardView] = []
        self.address = ""
        self._settings = settings
        self._broker = Broker(settings)
        self._stop = asyncio.Event()
        self._fleet: Fleet | None = None
        self._logger = structlog.get_logger()

    def stop(self) -> None:
        """Stop in an orderly way: close sockets, write what waits, commit. `run()` returns when it is done."""
        self._stop.set()
        if self._fleet is not None:
            self._fleet.stop()

    async def run(self) -> None:
        """Bridge until `stop()`.

        Raises:
            BridgeError: as its exit code says.
        """
        cluster = parts.cluster(self._settings)
        plan = parts.plan(self._settings)
        patience = Patience(self._logger)
        self._logger.info("starting", version=VERSION, **self._about())
        checking = asyncio.create_task(patience.wait_for("check_topics", lambda: topics.check(cluster, plan)))
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait([checking, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if self._stop.is_set():
            checking.cancel()
            return
        await checking
        await self._serve(cluster, patience)

    async def _serve(self, cluster: Any, patience: Patience) -> None:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._broker)
            registering = asyncio.create_task(
                patience.wait_for("register_schemas", lambda: parts.framing(self._settings))
            )
            stack.callback(registering.cancel)
            shared = Shared(self._settings, cluster, frame_reader(), lambda: asyncio.shield(registering))
            built = [build(shared, r, self._broker.source(r)) for r in self._settings.sharding.remainders]
            self.shards[:] = [view for _, view in built]
            http = self._settings.http
            about = {"version": VERSION, **self._about()}
            self.address = await stack.enter_async_context(
                served(http.host, http.port, self.shards, self._registry(shared), about)
            )
            self._fleet = Fleet([runner for runner, _ in built])
            garbage.settle()
            if self._stop.is_set():
                return
            self._logger.info("listening", http=self.address)
            keeping = asyncio.create_task(self._broker.keep_token())
            stack.callback(keeping.cancel)
            await self._run_fleet(self._fleet)

    async def _run_fleet(self, fleet: Fleet) -> None:
        try:
            await fleet.run()
        except BridgeError as error:
            self._logger.warning("stopped", reason=str(error), exit_code=error.exit_code)
            raise
        self._logger.info("stopped", reason="asked to")

    def _about(self) -> dict[str, Any]:
        settings = self._settings
        return {
            "prefix": settings.prefix,
            "environment": settings.source.environment,
            "delivery": settings.kafka.delivery,
            "bootstrap_servers": settings.kafka.bootstrap_servers,
            "divisor": settings.sharding.divisor,
            "remainders": list(settings.sharding.remainders),
        }

    def _registry(self, shared: Shared) -> CollectorRegistry:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(ShardCollector(self.shards, shared.drift, shared.clock.epoch_us))
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        return registry
