"""Held deletions over HTTP: who may see them, who may decide about them.

`GET /deletes` lists them, and is as open as `/status`. `POST /deletes/confirm` and `POST /deletes/discard` change what
is published, so they are for the operator alone: with `http.admin_token`, for whoever sends it as a bearer token;
without it, only for a program on the same machine that addresses us as such. A web page in that machine's browser is
kept out by the content type (it would need a permission that is never given), another name that leads here by the
`Host` header.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

from bridge.changes.held import shown
from bridge.loopback import is_loopback
from bridge.operate.metrics import ShardView

PATIENCE_S = 30.0
PROXIED = ("Forwarded", "X-Forwarded-For", "Via")


@dataclass(frozen=True, slots=True)
class Decision:
    """What somebody wants to become of held deletions.

    Attributes:
        shard: only this one, None for all of the process.
        entity_type: only this type, None for all.
        ids: only these, none for all.
    """

    confirm: bool
    shard: int | None = None
    entity_type: str | None = None
    ids: tuple[int, ...] = ()

    @classmethod
    def read(cls, body: Any, *, confirm: bool) -> Decision:
        """From the JSON of a request.

        Raises:
            ValueError: it is no such thing.
        """
        known = {"shard": (int, type(None)), "entity_type": (str, type(None)), "ids": (list,)}
        if not isinstance(body, dict) or any(
            name not in known or not isinstance(value, known[name]) for name, value in body.items()
        ):
            raise ValueError(
                'the body must be like {"shard": 0, "entity_type": "account", "ids": [1, 2]}; none is needed'
            )
        ids = body.get("ids", [])
        if not all(type(number) is int for number in ids):
            raise ValueError("ids must be whole numbers")
        return cls(confirm, body.get("shard"), body.get("entity_type"), tuple(ids))


def refusal(request: web.Request, token: str | None) -> str | None:
    """Why this request may not change anything, None if it may."""
    if token is not None:
        given = request.headers.get("Authorization", "")
        if hmac.compare_digest(given.encode(errors="replace"), f"Bearer {token}".encode()):
            return None
        return "send http.admin_token as `Authorization: Bearer ...`"
    if any(name in request.headers for name in PROXIED) or not is_loopback(request.remote or ""):
        return "without http.admin_token this is only for programs on the same machine; set http.admin_token"
    if not is_loopback(_host(request.host)):
        return "address the bridge as 127.0.0.1, or set http.admin_token"
    if request.content_type != "application/json":
        return "send the body as application/json"
    return None


def routes(shards: Sequence[ShardView], token: str | None) -> list[web.RouteDef]:
    """The endpoints."""

    async def listed(_: web.Request) -> web.Response:
        return answered({"shards": [{"shard": v.stats.shard, "held": shown(v.held)} for v in shards]})

    def deciding(confirm: bool) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def decide(request: web.Request) -> web.Response:
            why = refusal(request, token)
            if why is not None:
                return answered({"error": why}, 403)
            try:
                decision = Decision.read(orjson.loads(await request.read() or b"{}"), confirm=confirm)
            except ValueError as error:
                return answered({"error": str(error)}, 400)
            return await _carried_out(decision, shards)

        return decide

    return [
        web.get("/deletes", listed),
        web.post("/deletes/confirm", deciding(confirm=True)),
        web.post("/deletes/discard", deciding(confirm=False)),
    ]


async def _carried_out(decision: Decision, shards: Sequence[ShardView]) -> web.Response:
    chosen = [v for v in shards if decision.shard in (None, v.stats.shard) and v.held]
    work = [v.decide(decision.confirm, decision.entity_type, decision.ids) for v in chosen]
    try:
        async with asyncio.timeout(PATIENCE_S):
            counts: list[Mapping[str, int]] = await asyncio.gather(*work)
    except TimeoutError:
        return answered(
            {"error": f"not committed within {PATIENCE_S:g} s, but it may still be: list what is held"}, 503
        )
    done = [{"shard": v.stats.shard, "keys": found} for v, found in zip(chosen, counts, strict=True) if found]
    return answered({"shards": done})


def answered(content: Any, status: int = 200) -> web.Response:
    """Content as JSON."""
    return web.Response(body=orjson.dumps(content), status=status, content_type="application/json")


def _host(authority: str) -> str:
    """The host of `host:port`, `[::1]:port` or either without a port."""
    if authority.startswith("["):
        return authority[1:].partition("]")[0]
    return authority.rpartition(":")[0] or authority
