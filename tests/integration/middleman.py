"""Between a Kafka client and a cluster: refuses, holds back, is slow, or tells another error than the broker did.

The client is led here by its bootstrap servers, and kept here by changing the ports in whatever answer names a broker.
Knows of the protocol what that takes: frames, and where error codes stand in the old answers that aiokafka asks for.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import Self

HOST = b"127.0.0.1"
_HEAD = struct.Struct(">hhi")


class Api(IntEnum):
    """Numbers of requests in Kafka's protocol."""

    PRODUCE = 0
    INIT_PRODUCER_ID = 22
    ADD_PARTITIONS_TO_TXN = 24
    END_TXN = 26


WRITES = frozenset(Api)
"""What makes a broker write to its disk."""


@dataclass(slots=True)
class Lie:
    """An error to be told instead of the truth.

    Attributes:
        executed: whether the broker does what it is asked to, so that only the answer is wrong.
        times: how often still.
    """

    api: Api
    error: int
    executed: bool
    times: int


@dataclass(slots=True)
class Expected:
    """An answer that is due, in the order of the requests.

    Attributes:
        made_up: the answer, when the broker is not asked.
    """

    api: int
    version: int
    lie: Lie | None
    made_up: bytes | None = None


class Middleman:
    """An async context manager; one listener for each broker.

    Args:
        servers: the cluster's bootstrap servers on 127.0.0.1, all of its brokers.

    Attributes:
        delay_s: so much later comes every answer to what the broker had to write; one after the other, as behind a disk
            that is slow to flush.
        withheld: requests of these kinds are not passed on, nor what follows them on the same connection.
        happened: how often each trouble has struck: `refused`, `held`, `withheld`, `delayed`; lies by name of `Api`.
    """

    def __init__(self, servers: str) -> None:
        self._ports = {int(server.rsplit(":", 1)[1]): 0 for server in servers.split(",")}
        self._listeners: list[asyncio.Server] = []
        self._busy: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._lies: list[Lie] = []
        self._open = asyncio.Event()
        self._open.set()
        self._shut = True
        self.delay_s = 0.0
        self.withheld: set[Api] = set()
        self.happened: Counter[str] = Counter()

    async def __aenter__(self) -> Self:
        await self.accept()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.refuse()

    @property
    def bootstrap_servers(self) -> str:
        """Where clients go."""
        return ",".join(f"{HOST.decode()}:{mine}" for mine in self._ports.values())

    async def refuse(self) -> None:
        """Break all connections and take no new ones: connection refused."""
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        self._shut = True
        while self._busy:
            for task, writer in list(self._busy.items()):
                writer.transport.abort()
                task.cancel()
            await asyncio.wait(list(self._busy))
            self.happened["refused"] += 1

    async def accept(self) -> None:
        """Be there (again), on the same ports."""
        for real, mine in self._ports.items():
            listener = await asyncio.start_server(partial(self._serve, real), HOST.decode(), mine)
            self._ports[real] = listener.sockets[0].getsockname()[1]
            self._listeners.append(listener)
        self._shut = False

    def hold(self) -> None:
        """Pass nothing on, as a frozen broker does."""
        self._open.clear()

    def go_on(self) -> None:
        """Pass on what was held, and everything."""
        self._open.set()

    def lie(self, api: Api, error: int, *, executed: bool, times: int = 1) -> None:
        """Answer so many requests of a kind with an error; those not executed only if the answer has no parts."""
        assert executed or api in {Api.INIT_PRODUCER_ID, Api.END_TXN}, "cannot make such an answer up"
        self._lies.append(Lie(api, error, executed, times))

    async def _serve(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._busy[task] = writer
        try:
            with contextlib.suppress(OSError, EOFError):
                await self._relay(reader, writer, port)
        except asyncio.CancelledError:
            if not self._shut:
                raise
        finally:
            del self._busy[task]
            writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
        from_broker, to_broker = await asyncio.open_connection(HOST.decode(), port)
        expected: asyncio.Queue[Expected] = asyncio.Queue()
        ways = [
            asyncio.create_task(self._requests(reader, to_broker, expected)),
            asyncio.create_task(self._answers(from_broker, writer, expected)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            to_broker.transport.abort()
            writer.transport.abort()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, expected: asyncio.Queue[Expected]
    ) -> None:
        while True:
            payload = await _frame(reader)
            await self._gate()
            api, version, correlation = _HEAD.unpack_from(payload)
            self.happened["withheld"] += api in self.withheld
            while api in self.withheld:  # noqa: ASYNC110 - whoever takes it out of the set need not tell
                await asyncio.sleep(0.01)
            due = Expected(api, version, self._lie_about(api))
            if due.lie is None or due.lie.executed:
                _write(writer, payload)
            else:
                due.made_up = struct.pack(">iih", correlation, 0, due.lie.error) + bytes(10)
            expected.put_nowait(due)

    async def _answers(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, expected: asyncio.Queue[Expected]
    ) -> None:
        while True:
            due = await expected.get()
            payload = bytearray(due.made_up if due.made_up is not None else await _frame(reader))
            await self._gate()
            if self.delay_s and due.api in WRITES:
                await asyncio.sleep(self.delay_s)
                self.happened["delayed"] += 1
            if due.lie is not None:
                for place in _error_codes(due.api, due.version, payload):
                    struct.pack_into(">h", payload, place, due.lie.error)
                self.happened[due.lie.api.name] += 1
            _write(writer, self._led_here(bytes(payload)))

    async def _gate(self) -> None:
        if not self._open.is_set():
            self.happened["held"] += 1
            await self._open.wait()

    def _lie_about(self, api: int) -> Lie | None:
        for lie in self._lies:
            if lie.api == api and lie.times:
                lie.times -= 1
                return lie
        return None

    def _led_here(self, payload: bytes) -> bytes:
        """The answer with our ports for the brokers'; both stand behind the host's name, which stays."""
        host = struct.pack(">h", len(HOST)) + HOST
        for real, mine in self._ports.items():
            payload = payload.replace(host + struct.pack(">i", real), host + struct.pack(">i", mine))
        return payload


async def _frame(reader: asyncio.StreamReader) -> bytes:
    (size,) = struct.unpack(">i", await reader.readexactly(4))
    return await reader.readexactly(size)


def _write(writer: asyncio.StreamWriter, payload: bytes) -> None:
    writer.write(struct.pack(">i", len(payload)) + payload)


def _error_codes(api: int, version: int, payload: bytes | bytearray) -> Iterator[int]:
    """Where the error codes stand in an answer; the number that belongs to the request comes first."""
    if api in {Api.INIT_PRODUCER_ID, Api.END_TXN}:
        yield 8
        return
    at, rest = (4, 8 + (8 if version >= 2 else 0) + (8 if version >= 5 else 0)) if api == Api.PRODUCE else (8, 0)
    (topics,) = struct.unpack_from(">i", payload, at)
    at += 4
    for _ in range(topics):
        (length,) = struct.unpack_from(">h", payload, at)
        (partitions,) = struct.unpack_from(">i", payload, at + 2 + length)
        at += 6 + length
        for _ in range(partitions):
            yield at + 4
            at += 6 + rest
