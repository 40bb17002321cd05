"""Probes, metrics and a status page, served by the bridge itself.

`/livez`: the event loop turns. `/readyz`: every shard has committed a snapshot and is owned. `/metrics`: Prometheus.
`/status`: the same as JSON for people and programs. `/`: a page that shows it. `/deletes`: see `deletes`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from bridge.errors import ConfigurationError
from bridge.operate import deletes, letters
from bridge.operate.metrics import ShardView
from bridge.operate.page import PAGE


def status(shards: Sequence[ShardView], about: Mapping[str, Any]) -> dict[str, Any]:
    """What `/status` says."""
    return {
        **about,
        "ready": all(v.stats.ready and v.stats.owned for v in shards),
        "shards": [
            {
                "shard": v.stats.shard,
                "phase": v.stats.phase,
                "owned": v.stats.owned,
                "ready": v.stats.ready,
                "epoch": v.stats.epoch,
                "seq": v.stats.seq,
                "entities": v.entities(),
                "events": v.stats.events,
                "records": v.stats.records,
                "transactions": v.stats.transactions,
                "sessions": v.stats.sessions,
                "lost": dict(v.stats.lost),
                "waiting_bytes": v.stats.waiting_bytes,
                "spooled_bytes": v.stats.spooled_bytes,
                "commit_ms": {
                    "p50": round(v.stats.commit.quantile(0.5) * 1000, 2),
                    "p99": round(v.stats.commit.quantile(0.99) * 1000, 2),
                },
                "lag_ms": round(v.stats.behind_ms, 2),
                "topics": dict(v.stats.topics),
                "deletes_held": v.held.counts(),
                "audits": v.stats.audits,
                "audit_repairs": dict(v.stats.audit_repairs),
            }
            for v in shards
        ],
    }


@asynccontextmanager
async def served(
    host: str,
    port: int,
    shards: Sequence[ShardView],
    registry: CollectorRegistry,
    about: Mapping[str, Any],
    token: str | None = None,
) -> AsyncIterator[str]:
    """Serve while the block runs; yields the address.

    Args:
        token: what a client must show to change anything; None lets only this machine do so.

    Raises:
        ConfigurationError: the port is taken.
    """
    app = web.Application(client_max_size=letters.MOST_BYTES)

    async def live(_: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def ready(_: web.Request) -> web.Response:
        waiting = [v.stats.shard for v in shards if not (v.stats.ready and v.stats.owned)]
        if waiting:
            return web.Response(status=503, text=f"waiting for shards {waiting}\n")
        return web.Response(text="ready\n")

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def status_json(_: web.Request) -> web.Response:
        found = {**status(shards, about), "tasks": len(asyncio.all_tasks())}
        return web.Response(body=orjson.dumps(found), content_type="application/json")

    for path, handler in (
        ("/livez", live),
        ("/readyz", ready),
        ("/metrics", metrics),
        ("/status", status_json),
        ("/", page),
    ):
        app.router.add_get(path, handler)
    app.router.add_routes([*deletes.routes(shards, token), *letters.routes(shards, token)])
    async with listening(app, host, port) as address:
        yield address


async def page(_: web.Request) -> web.Response:
    """`/`, the same for one process and several."""
    return web.Response(text=PAGE, content_type="text/html")


@asynccontextmanager
async def listening(app: web.Application, host: str, port: int) -> AsyncIterator[str]:
    """Serve an application while the block runs; yields its address.

    Raises:
        ConfigurationError: the port is taken.
    """
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen on {host}:{port} ({error.strerror}); set http.port to a free port, or to 0 for any"
            ) from error
        server: Any = site._server  # noqa: SLF001 - aiohttp has no public way to learn the port that 0 became
        yield f"http://{host}:{server.sockets[0].getsockname()[1]}"
    finally:
        await runner.cleanup()
