"""Asking workers over HTTP, on loopback; a worker that does not answer is an answer too."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
from aiohttp import web

from bridge.workers.child import Child

LOOK_S, DECIDE_S = 5.0, 45.0
"""How long to wait for what is only looked at, and for what a worker answers when it is committed."""
HANDED_ON = ("Authorization", "Content-Type")


@dataclass(frozen=True, slots=True)
class Answered:
    """What a worker has answered; status 503 if it has not."""

    child: Child
    status: int
    body: bytes

    def json(self) -> dict[str, Any]:
        """Its JSON; what does not look like it becomes an error in the same form."""
        try:
            found = orjson.loads(self.body)
        except ValueError:
            found = None
        return found if isinstance(found, dict) else {"error": f"worker {self.child.number} does not answer"}


class Workers:
    """The workers' endpoints, asked side by side.

    Args:
        http: without proxies of the environment.
    """

    def __init__(self, children: Sequence[Child], http: aiohttp.ClientSession) -> None:
        self.children, self._http = children, http

    def owners(self, shard: object) -> list[Child]:
        """The worker that runs a shard."""
        return [child for child in self.children if shard in child.shards]

    async def look(self, path: str) -> list[Answered]:
        """What all answer to GET."""
        return list(await asyncio.gather(*(self._ask(c, "GET", path, LOOK_S, {}, b"") for c in self.children)))

    async def hand_on(self, request: web.Request, children: Sequence[Child]) -> list[Answered]:
        """What these answer to a request that came to us."""
        body = await request.read()
        headers = {name: request.headers[name] for name in HANDED_ON if name in request.headers}
        work = (self._ask(c, request.method, request.path_qs, DECIDE_S, headers, body) for c in children)
        return list(await asyncio.gather(*work))

    async def _ask(
        self, child: Child, method: str, path: str, wait_s: float, headers: Mapping[str, str], body: bytes
    ) -> Answered:
        if not child.address:
            return Answered(child, 503, b"")
        timeout = aiohttp.ClientTimeout(total=wait_s)
        data = io.BytesIO(body) if body else None  # bytes above 1 MiB draw a warning
        try:
            async with self._http.request(
                method, f"{child.address}{path}", data=data, headers=headers, timeout=timeout
            ) as answer:
                return Answered(child, answer.status, await answer.read())
        except (aiohttp.ClientError, TimeoutError):
            return Answered(child, 503, b"")
