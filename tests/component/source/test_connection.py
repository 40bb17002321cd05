"""What is semi-private in websockets and relied upon, held by name and by behaviour; and TLS.

If one of these fails after an upgrade of websockets, bridge/source/connection.py must be looked at before the pin in
pyproject.toml moves.
"""

import asyncio
import inspect
import re
import socket
import ssl
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection
from websockets.protocol import Protocol
from websockets.streams import StreamReader
from websockets.utils import accept_key

from bridge.simulator.load import websocket_frame
from bridge.source.connection import GULP_BYTES, SIP_BYTES, FeedConnection, open_connection
from bridge.source.events import Authorized
from tests.component.source.scripted import Recorder, eventually, serving, stay, welcome
from tests.unit.source.driving import frame, props


class Sink:
    """Keeps the order in which things are told."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.connection: FeedConnection | None = None

    def opened(self, connection: FeedConnection) -> None:
        self.connection = connection
        self.told.append("opened")

    def heard(self) -> None:
        self.told.append("heard")

    def messages(self, raws: list[bytes]) -> None:
        self.told += raws

    def closed(self, connection: FeedConnection) -> None:
        assert connection is self.connection
        self.told.append("closed")

    @property
    def without_heard(self) -> list[object]:
        return [what for what in self.told if what != "heard"]


async def opened(sink: Sink, url: str) -> FeedConnection:
    await open_connection(sink, url, ssl=None, proxy=None, open_timeout_s=20, close_timeout_s=1, frame_bytes=10_000)
    assert sink.connection is not None
    return sink.connection


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    [
        (ClientConnection, "process_event", ["self", "event"]),
        (ClientConnection, "data_received", ["self", "data"]),
        (ClientConnection, "connection_lost", ["self", "exc"]),
        (ClientConnection, "send_data", ["self"]),
        (connect, "process_redirect", ["self", "exc"]),
        (Protocol, "close_expected", ["self"]),
        (Protocol, "send_text", ["self", "data", "fin"]),
        (StreamReader, "discard", ["self"]),
    ],
)
def test_websockets_still_has_what_we_override_and_call(owner: type, name: str, parameters: list[str]) -> None:
    assert list(inspect.signature(getattr(owner, name)).parameters) == parameters


async def test_messages_bypass_the_queue_and_control_frames_do_not_interrupt_fragments() -> None:
    async def parts(ws: ServerConnection) -> AsyncIterator[str]:
        yield "se"
        await (await ws.ping())
        yield "cond"

    async def script(ws: ServerConnection) -> None:
        await ws.send("first")
        await ws.send(b"binary")
        await ws.send(parts(ws))
        await ws.close(4001, "bye")

    sink = Sink()
    async with serving(script) as url:
        connection = await opened(sink, url)
        await connection.wait_closed()

    assert sink.without_heard[:4] == ["opened", b"first", b"binary", b"second"]
    assert set(sink.without_heard[4:]) == {"closed"}
    assert sink.told[0] == "heard"
    assert all(type(raw) is bytes for raw in sink.without_heard[1:4])
    lost = connection.end()
    assert (lost.cause, lost.code, lost.reason) == ("closed", 4001, "bye")


class Reader(Sink):
    """Takes a millisecond for each read, and counts the bytes that come between two turns of the event loop."""

    def __init__(self) -> None:
        super().__init__()
        self.turn_bytes = self.most_bytes = self.all_bytes = 0

    def messages(self, raws: list[bytes]) -> None:
        time.sleep(0.001)
        size = sum(map(len, raws))
        self.turn_bytes += size
        self.all_bytes += size
        self.most_bytes = max(self.most_bytes, self.turn_bytes)

    def turn(self) -> None:
        self.turn_bytes = 0
        asyncio.get_running_loop().call_soon(self.turn)


def test_a_flood_on_one_socket_leaves_others_their_turn_on_uvloop() -> None:
    """It reads while there is more, and then a timer may be late by all that."""
    message, times, writes = b"x" * 8000, 32, 64
    frames = websocket_frame(message) * times

    def flood(listener: socket.socket) -> None:
        peer, _ = listener.accept()
        with peer:
            key = re.search(rb"Sec-WebSocket-Key: (.*)\r\n", peer.recv(65_536))
            assert key is not None
            accept = accept_key(key[1].decode())
            peer.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + accept.encode() + b"\r\n\r\n"
            )
            for _ in range(writes):
                peer.sendall(frames)

    async def scenario() -> Reader:
        reader = Reader()
        with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
            flooding = pool.submit(flood, listener)
            connection = await opened(reader, f"ws://127.0.0.1:{listener.getsockname()[1]}")
            reader.turn()
            await eventually(lambda: reader.all_bytes == len(message) * times * writes)
            flooding.result()
            await connection.wait_closed()
        return reader

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        reader = runner.run(scenario())
    assert reader.most_bytes < 2 * GULP_BYTES


class Watcher(Sink):
    """Notes with each message whether the socket is being read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[bool] = []

    def messages(self, raws: list[bytes]) -> None:
        super().messages(raws)
        assert self.connection is not None
        self.reads.append(self.connection.transport.is_reading())


async def test_after_a_read_of_some_kilobytes_the_next_one_waits_a_little_and_after_a_small_one_not() -> None:
    may_end = asyncio.Event()

    async def script(ws: ServerConnection) -> None:
        await ws.send("small")
        await eventually(lambda: len(watcher.reads) == 1)
        await ws.send("x" * SIP_BYTES)
        await eventually(lambda: len(watcher.reads) == 2)
        await ws.send("last")
        await may_end.wait()

    watcher = Watcher()
    async with serving(script) as url:
        await opened(watcher, url)
        await eventually(lambda: len(watcher.reads) == 3)
        may_end.set()
    assert watcher.reads == [True, False, True]
    assert watcher.without_heard[1:4] == [b"small", b"x" * SIP_BYTES, b"last"]


async def test_writing_goes_out_without_any_task_running() -> None:
    heard: list[str] = []

    async def script(ws: ServerConnection) -> None:
        while True:
            heard.append(str(await ws.recv()))

    sink = Sink()
    async with serving(script) as url:
        connection = await opened(sink, url)
        connection.write("[]")
        connection.write("[]")
        await eventually(lambda: heard == ["[]", "[]"])
        connection.transport.abort()
        await connection.wait_closed()

    assert not connection.is_open
    assert connection.end().cause == "dropped"


async def test_a_frame_that_breaks_the_websocket_protocol_ends_the_connection() -> None:
    async def script(ws: ServerConnection) -> None:
        ws.transport.write(b"\x83\x00")
        await ws.wait_closed()

    sink = Sink()
    async with serving(script) as url:
        connection = await opened(sink, url)
        await eventually(lambda: "closed" in sink.told)
        lost = connection.end()
        connection.transport.abort()
        await connection.wait_closed()

    assert (lost.cause, lost.code) == ("bad_frame", 1002)


# TLS


def certificate(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context with a self-signed certificate for 127.0.0.1, and a client's that trusts it."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "broker")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    address = x509.IPAddress(IPv4Address("127.0.0.1"))
    signed = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False).sign(key, hashes.SHA256())
    path = folder / "broker.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    return server, ssl.create_default_context(cadata=signed.public_bytes(serialization.Encoding.PEM).decode())


async def test_a_session_over_tls_with_pauses(tmp_path: Path) -> None:
    server, client = certificate(tmp_path)

    async def script(ws: ServerConnection) -> None:
        await welcome(ws)
        for number in range(200):
            await ws.send(frame(props(number)), text=True)
        await stay(ws)

    async with serving(script, ssl=server) as url:
        recorder = Recorder(url, context=client)
        recorder.conversation.allow_sync()
        running = asyncio.create_task(recorder.conversation.run())
        await eventually(lambda: recorder.has(Authorized))
        recorder.conversation.pause()
        recorder.conversation.resume()
        await eventually(lambda: len(recorder.frames) == 201)
        await recorder.conversation.close()
        lost = await running

    assert lost.cause == "stopped"


async def test_a_certificate_that_nobody_trusts_is_refused(tmp_path: Path) -> None:
    server, _ = certificate(tmp_path)

    async with serving(stay, ssl=server) as url:
        lost = await Recorder(url).conversation.run()

    assert lost.cause == "tls"
    assert "certificate" in lost.reason
