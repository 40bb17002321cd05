"""A tiny client of the API, written apart from the bridge's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson

from bridge.simulator.server import Simulator

DEADLINE_S = 20.0
TYPES = ["user", "account", "order", "fill", "position", "cashBalance", "marginSnapshot", "contract", "command"]


async def until(condition: Callable[[], object]) -> None:
    """Waits for a state, with a deadline that no machine is too slow for."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)


class Client:
    """One socket."""

    def __init__(self, simulator: Simulator, http: aiohttp.ClientSession, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.simulator = simulator
        self.http = http
        self.ws = ws

    async def frame(self, *, heartbeats: bool = False) -> str:
        """The next text frame; server heartbeats are passed over unless wanted."""
        while True:
            message = await self.ws.receive(timeout=DEADLINE_S)
            if message.type is aiohttp.WSMsgType.BINARY:
                return f"binary {message.data!r}"
            if message.type is not aiohttp.WSMsgType.TEXT:
                return f"{message.type.name} {self.ws.close_code}"
            if message.data != "h" or heartbeats:
                return str(message.data)

    async def messages(self) -> list[Any]:
        """The messages of the next `a` frame."""
        text = await self.frame()
        assert text.startswith("a["), text
        found: list[Any] = orjson.loads(text[1:])
        return found

    async def send(self, endpoint: str, number: int, query: str = "", body: Any = "") -> None:
        text = body if isinstance(body, str) else orjson.dumps(body).decode()
        await self.ws.send_str(f"{endpoint}\n{number}\n{query}\n{text}")

    async def ask(self, endpoint: str, number: int, query: str = "", body: Any = "") -> Any:
        """Sends a request; the first message of the answer."""
        await self.send(endpoint, number, query, body)
        return (await self.messages())[0]

    async def authorize(self, token: str | None = None) -> Any:
        assert await self.frame() == "o"
        return await self.ask("authorize", 0, body=token or await login(self.simulator, self.http))

    async def sync(
        self, remainder: int = 0, divisor: int = 1, types: list[str] | None = None, **more: Any
    ) -> list[Any]:
        """Authorises and syncs; all messages of the first snapshot part."""
        await self.authorize()
        await self.request_sync(remainder, divisor, types, **more)
        return await self.messages()

    async def request_sync(
        self, remainder: int = 0, divisor: int = 1, types: list[str] | None = None, number: int = 1, **more: Any
    ) -> None:
        body = {
            "splitResponses": True,
            "entityTypes": TYPES if types is None else types,
            "shardingExpression": {"expressionType": "modAccountId", "divisor": divisor, "remainder": remainder},
            **more,
        }
        await self.send("user/syncrequest", number, body=body)


async def login(simulator: Simulator, http: aiohttp.ClientSession) -> str:
    async with http.post(
        f"{simulator.rest_url}/auth/accessTokenRequest", json={"name": "a", "password": "b"}
    ) as answer:
        return str((await answer.json())["accessToken"])


@asynccontextmanager
async def connected(simulator: Simulator) -> AsyncIterator[Client]:
    """A socket that is open, nothing else."""
    async with aiohttp.ClientSession() as http, http.ws_connect(simulator.socket_url, max_msg_size=0) as ws:
        yield Client(simulator, http, ws)
