"""Dead letters over HTTP: handed in again by `syncbridge dead-letter retry`, under the rules of held deletions.

`POST /dead-letters/contents` tells what keys hold, by hash; `POST /dead-letters/retry` takes one letter, whose body is
the entity's JSON as it came from the broker. Both answer when everything they speak of is committed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import orjson
import structlog
from aiohttp import web

from bridge.errors import Unencodable
from bridge.operate.deletes import PATIENCE_S, answered, refusal
from bridge.operate.metrics import ShardView
from bridge.shard.letters import LetterDesk

MOST_BYTES = 65 * 1024 * 1024
"""A little more than the largest letter has."""


def routes(shards: Sequence[ShardView], token: str | None) -> list[web.RouteDef]:
    """The endpoints."""
    desks = {view.stats.shard: view.letters for view in shards}

    def guarded(serve: Callable[[web.Request, Mapping[int, LetterDesk]], Awaitable[Any]]) -> Any:
        async def handle(request: web.Request) -> web.Response:
            why = refusal(request, token)
            if why is not None:
                return answered({"error": why}, 403)
            try:
                async with asyncio.timeout(PATIENCE_S):
                    return answered(await serve(request, desks))
            except TimeoutError:
                return answered({"error": f"not committed within {PATIENCE_S:g} s, but it may still be"}, 503)
            except (ValueError, LookupError, TypeError, Unencodable) as error:
                return answered({"error": f"that is no dead letter of a shard of this process: {error!r}"}, 400)

        return handle

    return [
        web.post("/dead-letters/contents", guarded(_contents)),
        web.post("/dead-letters/retry", guarded(_retry)),
    ]


async def _contents(request: web.Request, desks: Mapping[int, LetterDesk]) -> dict[str, Any]:
    body = orjson.loads(await request.read())
    keys = [(str(name), int(number)) for name, number in body["keys"]]
    return {"contents": await desks[body["shard"]].contents(keys)}


async def _retry(request: web.Request, desks: Mapping[int, LetterDesk]) -> dict[str, Any]:
    asked = request.query
    desk = desks[int(asked["shard"])]
    name, received_us = asked["entity_type"], int(asked["received_us"])
    outcome = await desk.retry(name, await request.read(), asked.get("newer_than"), received_us)
    log = structlog.get_logger()
    log.info("dead_letter_retried", shard=int(asked["shard"]), entity_type=name, outcome=outcome.word)
    return {"outcome": outcome.word, "detail": outcome.detail, "content": outcome.content}
