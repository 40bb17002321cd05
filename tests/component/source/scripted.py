"""A server that plays one script per connection, and a client that records what it is told."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from bridge.source.events import SessionEvent
from bridge.source.refusals import SessionLimits
from bridge.source.session import Session
from bridge.source.socket import SocketConversation
from tests.unit.source.driving import PLAN, TOKEN

Script = Callable[[ServerConnection], Awaitable[None]]
QUICK = SessionLimits(
    heartbeat_s=0.05, idle_s=20.0, open_s=20.0, authorize_s=20.0, sync_s=20.0, snapshot_quiet_s=0.05, stall_s=5.0
)
PATIENCE_S = 30.0


async def welcome(ws: ServerConnection) -> None:
    """Greet, accept the token, wait for the syncrequest and answer with a snapshot of one order."""
    await ws.send("o")
    assert await ws.recv() == f"authorize\n0\n\n{TOKEN}"
    await ws.send('a[{"s":200,"i":0}]')
    while not (await wanted(ws)).startswith("user/syncrequest\n1\n"):
        pass
    await ws.send('a[{"s":200,"i":1,"d":{"orders":[{"id":1}]}}]')


async def wanted(ws: ServerConnection) -> str:
    """The next text that is no heartbeat."""
    while (text := await ws.recv()) == "[]":
        pass
    assert isinstance(text, str)
    return text


async def stay(ws: ServerConnection) -> None:
    """Keep the client content until it goes."""
    while True:
        await ws.send("h")
        await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def serving(script: Script, **options: Any) -> AsyncIterator[str]:
    """Serve the script on loopback; gives the address. Clients that leave end their script without a word."""

    async def handler(ws: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            await script(ws)

    server: Server
    async with serve(handler, "127.0.0.1", 0, max_size=None, ping_interval=None, close_timeout=1, **options) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"{'wss' if options.get('ssl') else 'ws'}://127.0.0.1:{port}/v1/websocket"


class Recorder:
    """Runs one conversation and keeps what it was told."""

    def __init__(
        self,
        url: str,
        *,
        limits: SessionLimits = QUICK,
        context: ssl.SSLContext | None = None,
        token: str = TOKEN,
        **options: Any,
    ) -> None:
        self.frames: list[tuple[bytes, list[Any], int]] = []
        self.events: list[SessionEvent] = []
        self.conversation = SocketConversation(
            url,
            lambda now: Session(PLAN, token, now=now, limits=limits),
            on_data=lambda raw, messages, arrived_us: self.frames.append((raw, messages, arrived_us)),
            straight=lambda *_: 0,
            on_event=self.events.append,
            proxy=None,
            ssl=context,
            **options,
        )

    @property
    def messages(self) -> list[Any]:
        return [message for _, messages, _ in self.frames for message in messages]

    def has(self, kind: type[SessionEvent]) -> bool:
        return any(isinstance(event, kind) for event in self.events)


async def eventually(condition: Callable[[], object]) -> None:
    """Wait until the condition holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  conditions of any kind
            await asyncio.sleep(0.005)
