"""The endpoints of a bridge of several workers: the same paths, shapes and permissions as those of one process.

Whoever may decide is judged here, where the request comes from outside; the workers listen on loopback only.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from bridge.operate.deletes import answered, refusal
from bridge.operate.http import listening, page
from bridge.operate.letters import MOST_BYTES
from bridge.workers import merged
from bridge.workers.asking import Answered, Workers
from bridge.workers.child import Child

Handler = Callable[[web.Request], Awaitable[web.Response]]


@asynccontextmanager
async def served(
    host: str,
    port: int,
    children: Sequence[Child],
    order: Sequence[int],
    registry: CollectorRegistry,
    about: Mapping[str, Any],
    token: str | None = None,
) -> AsyncIterator[str]:
    """Serve while the block runs; yields the address.

    Args:
        order: the shards of all workers, as they are to be listed.
        registry: metrics of this process.
        token: what a client must show to change anything; None lets only this machine do so.

    Raises:
        ConfigurationError: the port is taken.
    """
    async with aiohttp.ClientSession() as http:
        workers = Workers(children, http)
        app = web.Application(client_max_size=MOST_BYTES)
        app.router.add_routes([*_views(workers, order, registry, about), *_decisions(workers, order, token)])
        async with listening(app, host, port) as address:
            yield address


def _views(
    workers: Workers, order: Sequence[int], registry: CollectorRegistry, about: Mapping[str, Any]
) -> list[web.RouteDef]:
    async def live(_: web.Request) -> web.Response:
        silent = [a.child.number for a in await workers.look("/livez") if a.status != 200 and a.child.address]
        if silent:
            return web.Response(status=503, text=f"no answer from workers {silent}\n")
        return web.Response(text="alive\n")

    async def ready(_: web.Request) -> web.Response:
        waiting = merged.waiting(order, _good(await workers.look("/status")))
        if waiting:
            return web.Response(status=503, text=f"waiting for shards {waiting}\n")
        return web.Response(text="ready\n")

    async def metrics(_: web.Request) -> web.Response:
        found = {a.child.number: a.body.decode() if a.status == 200 else None for a in await workers.look("/metrics")}
        body = merged.metrics(generate_latest(registry).decode(), found)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def status(_: web.Request) -> web.Response:
        found = _good(await workers.look("/status"))
        listed = [
            {"worker": c.number, "pid": c.pid, "shards": c.shards, "answers": c.number in found}
            for c in workers.children
        ]
        return answered({**merged.status(about, order, found, len(asyncio.all_tasks())), "workers": listed})

    served_ = {"/livez": live, "/readyz": ready, "/metrics": metrics, "/status": status, "/": page}
    return [web.get(path, handler) for path, handler in served_.items()]


def _decisions(workers: Workers, order: Sequence[int], token: str | None) -> list[web.RouteDef]:
    """Held deletions and dead letters: for the workers that run the shards."""

    def guarded(handle: Handler) -> Handler:
        async def checked(request: web.Request) -> web.Response:
            why = refusal(request, token)
            return await handle(request) if why is None else answered({"error": why}, 403)

        return checked

    async def listed(_: web.Request) -> web.Response:
        return _together(await workers.look("/deletes"), order)

    async def decide(request: web.Request) -> web.Response:
        """Without a shard, or with one that nobody runs, all are asked: they know what to answer."""
        chosen = workers.owners(_shard_of(await request.read())) or workers.children
        return _together(await workers.hand_on(request, chosen), order)

    async def contents(request: web.Request) -> web.Response:
        return await _one(workers, request, _shard_of(await request.read()))

    async def retry(request: web.Request) -> web.Response:
        shard = request.query.get("shard", "")
        return await _one(workers, request, int(shard) if shard.isdecimal() else None)

    return [
        web.get("/deletes", listed),
        web.post("/deletes/confirm", guarded(decide)),
        web.post("/deletes/discard", guarded(decide)),
        web.post("/dead-letters/contents", guarded(contents)),
        web.post("/dead-letters/retry", guarded(retry)),
    ]


async def _one(workers: Workers, request: web.Request, shard: object) -> web.Response:
    """What the worker of a shard answers."""
    owners = workers.owners(shard)
    if not owners:
        return answered({"error": "that is no dead letter of a shard of this process"}, 400)
    (found,) = await workers.hand_on(request, owners)
    return answered(found.json(), found.status)


def _together(found: Sequence[Answered], order: Sequence[int]) -> web.Response:
    """One answer; if a worker said no, its error, beside what the others have done."""
    content: dict[str, Any] = {"shards": merged.shards(order, _good(found))}
    for bad in found:
        if bad.status != 200:
            return answered({**bad.json(), **content}, bad.status)
    return answered(content)


def _good(found: Sequence[Answered]) -> dict[int, dict[str, Any]]:
    return {a.child.number: a.json() for a in found if a.status == 200}


def _shard_of(body: bytes) -> object:
    try:
        found = orjson.loads(body or b"{}")
    except ValueError:
        return None
    return found.get("shard") if isinstance(found, dict) else None
