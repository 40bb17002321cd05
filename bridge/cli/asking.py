"""Asking a running bridge over HTTP: it alone may write."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any

import aiohttp
import typer

from bridge.config import Settings
from bridge.errors import BridgeError, ConfigurationError

EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}  # noqa: S104 - where to call what listens there
WAIT_S = 60.0

UrlOption = Annotated[str | None, typer.Option(help="Of the running bridge; default from http.host and http.port.")]


class Asking:
    """A running bridge that answers in JSON."""

    def __init__(self, address: str, http: aiohttp.ClientSession) -> None:
        self._address, self._http = address, http

    async def ask(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        raw: bytes | None = None,
        query: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """What it answers.

        Args:
            body: sent as JSON.
            raw: JSON that is sent as it is.

        Raises:
            BridgeError: it does not answer, or says no.
        """
        address = f"{self._address}/{path}"
        sent: dict[str, Any] = (
            {"json": body} if raw is None else {"data": io.BytesIO(raw)}
        )  # bytes above 1 MiB draw a warning
        if raw is not None:
            sent["headers"] = {"Content-Type": "application/json"}
        try:
            async with self._http.request(method, address, params=query, **sent) as answer:
                found: dict[str, Any] = await answer.json()
                if answer.status >= 400:
                    raise BridgeError(f"{address} answers {answer.status}: {found.get('error', found)}")
                return found
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise BridgeError(
                f"no bridge answers at {address} ({error!r}): is it running, with this http.host and "
                "http.port? Else give --url"
            ) from error


@asynccontextmanager
async def asking(loaded: Settings, url: str | None) -> AsyncIterator[Asking]:
    """The bridge at an address, by default the one that these settings describe."""
    token = loaded.http.admin_token
    headers = {"Authorization": f"Bearer {token.get_secret_value()}"} if token is not None else {}
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=WAIT_S), headers=headers) as http:
        yield Asking((url or _address(loaded)).rstrip("/"), http)


def _address(loaded: Settings) -> str:
    host, port = loaded.http.host, loaded.http.port
    if port == 0:
        raise ConfigurationError(
            "http.port is 0, so the port is not known here: give --url, the bridge logs its address"
        )
    host = EVERYWHERE.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{host}:{port}"
