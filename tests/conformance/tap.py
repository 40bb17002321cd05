"""Stands between client and server and writes down what passes: a witness that belongs to neither."""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson
from aiohttp import WSMsgType, web

SOCKET_PATH = "/v1/websocket"
_SECRETS = re.compile(r"""((?:password|sec|[aA]ccessToken)":\s*")[^"]*|sim\.[0-9a-f]+""")
_SHOWN = 240


@dataclass(frozen=True, slots=True)
class Line:
    """Something that passed.

    Attributes:
        at: when, seconds of the loop's clock.
        wire: `http`, or the running number of a socket.
        to_server: which way it went.
        text: a frame, a request or an answer as it was; the end of a connection as `(closed 1000)` or `(dropped)`.
    """

    at: float
    wire: str
    to_server: bool
    text: str

    def shown(self, since: float) -> str:
        """For the report: without secrets, cut short."""
        text = _SECRETS.sub(lambda found: f"{found[1] or ''}***", self.text)
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
        cut = f"{text[:_SHOWN]}... ({len(text)} characters)" if len(text) > _SHOWN else text
        return f"{self.at - since:9.3f} s  {self.wire:>8}  {'->' if self.to_server else '<-'} {cut}"


class Tap:
    """Async context manager; clients use its addresses in place of the server's.

    Args:
        server: base address of the server, such as `http://127.0.0.1:8000`.

    Attributes:
        lines: everything that has passed, in order.
    """

    def __init__(self, server: str) -> None:
        self.lines: list[Line] = []
        self._server = server
        self._sockets = 0
        app = web.Application(client_max_size=1 << 26)
        app.router.add_get(SOCKET_PATH, self._socket)
        app.router.add_route("*", "/{path:.*}", self._request)
        self._runner = web.AppRunner(app, shutdown_timeout=1.0)

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession()
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._address = "{}:{}".format(*self._runner.addresses[0])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.close()
        await self._runner.cleanup()

    @property
    def rest_url(self) -> str:
        """Where REST requests go."""
        return f"http://{self._address}/v1"

    @property
    def socket_url(self) -> str:
        """Where sockets go."""
        return f"ws://{self._address}{SOCKET_PATH}"

    # What passed

    def sent(self, wire: str | None = None) -> list[Line]:
        """Frames and requests of the client, on one wire or on all."""
        return [line for line in self.lines if line.to_server and wire in (None, line.wire)]

    def requests(self, endpoint: str) -> list[Line]:
        """Requests for an endpoint, over sockets or HTTP."""
        return [x for x in self.sent() if x.text.startswith(f"{endpoint}\n") or f"/v1/{endpoint}" in x.text[:80]]

    def answers(self, text: str) -> list[Line]:
        """What the server said that holds a text."""
        return [line for line in self.lines if not line.to_server and text in line.text]

    def beats(self, wire: str | None = None) -> list[float]:
        """When the client's heartbeats passed."""
        return [line.at for line in self.sent(wire) if line.text == "[]"]

    def wires(self) -> list[str]:
        """The sockets, oldest first."""
        return list(dict.fromkeys(line.wire for line in self.lines if line.wire != "http"))

    # Passing on

    def _note(self, wire: str, text: str, *, to_server: bool) -> None:
        self.lines.append(Line(time.monotonic(), wire, to_server, text))

    async def _request(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        bearer = request.headers.get("Authorization", "")
        said = " ".join(x for x in (request.method, request.path_qs, bearer, body.decode()) if x)
        self._note("http", said, to_server=True)
        headers = {k: v for k, v in request.headers.items() if k.lower() in {"authorization", "content-type"}}
        url = f"{self._server}{request.path_qs}"
        async with self._http.request(request.method, url, data=body, headers=headers) as answer:
            text = await answer.read()
            self._note("http", f"{answer.status} {text.decode()}", to_server=False)
            kept = {k: v for k, v in answer.headers.items() if k.lower() in {"date", "content-type", "retry-after"}}
            return web.Response(status=answer.status, body=text, headers=kept)

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        self._sockets += 1
        wire = f"socket {self._sockets}"
        client = web.WebSocketResponse(autoclose=False, compress=False, max_msg_size=0)
        url = f"{self._server}{request.path_qs}"
        patience = aiohttp.ClientWSTimeout(ws_close=1.0)
        async with self._http.ws_connect(url, autoclose=False, max_msg_size=0, timeout=patience) as server:
            await client.prepare(request)
            down = asyncio.create_task(self._pump(server, client, wire, to_server=False))
            up = asyncio.create_task(self._pump(client, server, wire, to_server=True))
            await asyncio.wait([down, up], return_when=asyncio.FIRST_COMPLETED)
            source, target, to_server, code = (up if up.done() else down).result()
            if code is None:
                self._note(wire, "(dropped)", to_server=to_server)
                if request.transport is not None:
                    request.transport.abort()  # the other side is to see a dropped connection too
            else:
                await target.close(code=code)  # wakes the other pump, and waits for the answer itself
                self._note(wire, f"(closed {target.close_code})", to_server=not to_server)
                await source.close()
            for task in (down, up):
                task.cancel()
            await asyncio.gather(down, up, return_exceptions=True)
        return client

    async def _pump(self, source: Any, target: Any, wire: str, *, to_server: bool) -> tuple[Any, Any, bool, int | None]:
        """Pass messages on until one side ends: who, who is left, which way it was, and the code of a proper close."""
        while True:
            message = await source.receive()
            if message.type is WSMsgType.TEXT:
                self._note(wire, message.data, to_server=to_server)
                with suppress(ConnectionError):  # whoever has gone gets nothing more; his own pump tells how
                    await target.send_str(message.data)
            elif message.type is WSMsgType.CLOSE:
                self._note(wire, f"(closed {message.data})", to_server=to_server)
                return source, target, to_server, message.data or 1000
            else:
                return source, target, to_server, None


def as_json(text: str) -> Any:
    """The JSON in an answer such as `200 {...}`, or the body of a request."""
    return orjson.loads(text[text.index("{") :])
