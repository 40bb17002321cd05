"""What a supervisor and a worker tell each other: JSON, a line each, over a pair of sockets that only these two hold.

Its end is a message too. The supervisor closes its side to stop a worker, and the kernel does so when the supervisor
has ended, however it ended; so a worker never outlives it, and stopping has one way only.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import orjson

Message = dict[str, Any]


class Link:
    """One end of the pair; made by `opened`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._finished = False

    def send(self, message: Message) -> None:
        """Tell the other side; nothing happens if it has gone. Messages are few and small, so nobody waits."""
        if not self._finished and not self._writer.is_closing():
            self._writer.write(orjson.dumps(message) + b"\n")

    async def receive(self) -> Message | None:
        """The next message; None when the other side says no more."""
        try:
            line = await self._reader.readline()
        except ConnectionError:
            return None
        message: Message | None = orjson.loads(line) if line.endswith(b"\n") else None
        return message

    async def listen(self, heard: Callable[[Message], None]) -> None:
        """Hand all messages over until the other side says no more."""
        while (message := await self.receive()) is not None:
            heard(message)

    def finish(self) -> None:
        """Say no more; the other side may still speak."""
        if not self._finished and not self._writer.is_closing():
            self._writer.write_eof()
        self._finished = True

    async def close(self) -> None:
        """Send what is left, and let go."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:
            return  # the other side has gone before it read all


async def opened(end: socket.socket) -> Link:
    """The link over one of a pair of sockets, which it owns from now on."""
    end.setblocking(False)
    return Link(*await asyncio.open_unix_connection(sock=end))
