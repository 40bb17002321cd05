"""A proxy whose address holds a password: used, and never told."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import structlog

from bridge.app import source
from bridge.config import load
from bridge.errors import ConfigurationError
from bridge.source.session import Session
from bridge.source.socket import SocketConversation
from tests.component.source.scripted import eventually
from tests.unit.source.driving import PLAN, TOKEN

SECRET = "s3cret-of-the-proxy"


@contextlib.asynccontextmanager
async def proxy(heard: list[bytes]) -> AsyncIterator[str]:
    """One that lets nobody through."""

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(peer, "127.0.0.1", 0)
    async with server:
        yield f"http://acme:{SECRET}@127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_the_password_of_a_proxy_is_sent_to_the_proxy_and_told_nobody() -> None:
    heard: list[bytes] = []
    async with proxy(heard) as address:
        settings = load(
            overrides={
                "source": {
                    "name": "acme",
                    "proxy": address,
                    "rest_url": "https://broker.invalid/v1",
                    "socket_url": "wss://broker.invalid/v1/websocket",
                }
            }
        )
        with structlog.testing.capture_logs() as log:
            async with source.broker(settings) as broker:
                asking = asyncio.create_task(broker.keeper.token())
                await eventually(lambda: any(line["event"] == "token_trouble" for line in log))
                asking.cancel()
        conversation = SocketConversation(
            settings.source.socket_url,
            lambda now: Session(PLAN, TOKEN, now=now),
            on_data=lambda *_: None,
            straight=lambda *_: 0,
            on_event=lambda _: None,
            proxy=broker.endpoint.proxy,
        )
        refused = await conversation.run()

    assert len(heard) >= 2
    assert all(b"proxy-authorization: basic " in request.lower() for request in heard)
    assert (refused.cause, "407" in refused.reason) == ("proxy", True)
    told = f"{settings!r} {settings.model_dump_json()} {broker.endpoint!r} {log} {refused} {refused!r}"
    assert SECRET not in told


@pytest.mark.parametrize(
    "address", [f"{SECRET}@h:1", f"http://{SECRET}@", f"http://a:{SECRET}@h:x", f"http://[{SECRET}"]
)
def test_an_address_that_cannot_be_a_proxy_is_refused_without_being_quoted(address: str) -> None:
    with pytest.raises(ConfigurationError, match=r"source\.proxy must be an address") as caught:
        load(overrides={"source": {"proxy": address}})

    assert SECRET not in str(caught.value)
