from __future__ import annotations

import asyncio

from bridge.devkit.ports import free_ports
from bridge.devkit.probe import describe


async def test_nobody_there_is_no_cluster() -> None:
    assert await describe(free_ports(1)[0]) == (None, 0)


async def test_something_else_that_listens_is_no_cluster() -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        assert await describe(server.sockets[0].getsockname()[1]) == (None, 0)
