"""One port for everything: REST, sockets and the simulator's own endpoints."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from aiohttp import web

from bridge.simulator.connection import Connection
from bridge.simulator.control import control
from bridge.simulator.faults import Fault
from bridge.simulator.options import Options
from bridge.simulator.rest import answer

if TYPE_CHECKING:
    from bridge.simulator.server import Simulator

_MAX_BODY = 256 << 20
"""Tests inject frames that are larger than any client should accept."""


class Listener:
    """Listens, and hands each request to those who answer it. Paths are case-insensitive, `/v1` is optional."""

    def __init__(self, simulator: Simulator) -> None:
        self._sim = simulator
        self._opened = 0
        self._runner: web.AppRunner | None = None
        self._address = ("", 0)

    def url(self, scheme: str, path: str) -> str:
        """An address of ours; the scheme (`http`, `ws`) gets its `s` if we speak TLS."""
        secure = "s" if self._sim.options.certificate else ""
        return f"{scheme}{secure}://{self._address[0]}:{self._address[1]}{path}"

    async def start(self) -> None:
        """Begins to listen."""
        app = web.Application(client_max_size=_MAX_BODY)
        app.on_response_prepare.append(_permit_pages)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        options = self._sim.options
        await web.TCPSite(self._runner, options.host, options.port, ssl_context=_tls(options)).start()
        self._address = self._runner.addresses[0][:2]

    async def stop(self) -> None:
        """Listens no more."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        endpoint = _endpoint(request)
        if request.method == "OPTIONS":
            return web.Response(status=204)
        if endpoint == "websocket":
            fault = self._sim.faults.first("upgrade")
            return _refusal(request, fault) if fault else await self._socket(request)
        if _is_ours(endpoint):
            return await control(self._sim, request, endpoint)
        return await answer(self._sim, request, endpoint)

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        ws = web.WebSocketResponse(timeout=1.0, autoclose=False, autoping=False, compress=False)
        await ws.prepare(request)
        self._opened += 1
        connection = Connection(self._sim, self._opened, request, ws)
        self._sim.connections[connection.number] = connection
        await connection.run()
        return ws


def _endpoint(request: web.Request) -> str:
    return request.path.strip("/").lower().removeprefix("v1/")


def _is_ours(endpoint: str) -> bool:
    return endpoint == "sim" or endpoint.startswith("sim/")


async def _permit_pages(request: web.Request, response: web.StreamResponse) -> None:
    """Clients may be pages in a browser, as the vendor's examples are; our own endpoints are not for those."""
    if not _is_ours(_endpoint(request)):
        response.headers["Access-Control-Allow-Origin"] = "*"
        response.headers["Access-Control-Allow-Methods"] = "GET, POST"
        response.headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type, Accept"


def _refusal(request: web.Request, fault: Fault) -> web.StreamResponse:
    if fault.kind == "upgrade_drop" and request.transport is not None:
        request.transport.abort()
    after = fault.args.get("retry_after")
    headers = {"Retry-After": str(after)} if after else None
    return web.Response(status=fault.args.get("status", 503), headers=headers)


def _tls(options: Options) -> ssl.SSLContext | None:
    if options.certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.certificate, options.private_key)
    return context
