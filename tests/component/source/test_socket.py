"""One conversation over real sockets, against a scripted server."""

import asyncio
import contextlib
import hashlib
import json
import logging
import socket
import struct
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from http import HTTPStatus
from typing import Any

import pytest
import uvloop
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from bridge.errors import ConfigurationError, SessionLost, Unread
from bridge.source.events import Authorized, Ended, SnapshotComplete, SnapshotPart, SyncSent
from bridge.source.forward import messages
from tests.component.source.scripted import QUICK, Recorder, eventually, serving, stay, wanted, welcome
from tests.unit.source.driving import TOKEN, frame, props

LIFELESS = replace(QUICK, idle_s=0.3)


async def test_a_session_from_the_upgrade_to_a_proper_close() -> None:
    heard: list[Any] = []
    codes: list[int | None] = []

    async def script(ws: ServerConnection) -> None:
        await welcome(ws)
        await ws.send(frame(props(1), props(2)), text=True)
        async for text in ws:
            heard.append(text)
            await ws.send("h")
        codes.append(ws.close_code)

    async with serving(script) as url:
        recorder = Recorder(url)
        running = asyncio.create_task(recorder.conversation.run())
        recorder.conversation.allow_sync()
        await eventually(lambda: recorder.has(SnapshotComplete) and len(recorder.messages) == 3)
        before = time.time_ns() // 1000
        await recorder.conversation.close()
        lost = await running
        await eventually(lambda: codes)

    assert (lost.cause, codes) == ("stopped", [1000])
    assert set(heard) == {"[]"}
    assert recorder.messages == [{"s": 200, "i": 1, "d": {"orders": [{"id": 1}]}}, props(1), props(2)]
    assert recorder.events == [
        Authorized(),
        SyncSent(1, 1),
        SnapshotPart({"order": 1}, (), late=False),
        SnapshotComplete({"order": 1}, frozenset(), 1),
        Ended(lost),
    ]
    assert all(before - 60_000_000 < arrived <= recorder.conversation.heard_us for _, _, arrived in recorder.frames)


async def test_heartbeats_keep_their_pace_under_a_flood() -> None:
    at: list[float] = []

    async def script(ws: ServerConnection) -> None:
        await welcome(ws)
        flood = asyncio.create_task(_flood(ws))
        while len(at) < 12:
            if await ws.recv() == "[]":
                at.append(time.monotonic())
        flood.cancel()
        await ws.close()

    async with serving(script) as url:
        recorder = Recorder(url, limits=replace(QUICK, heartbeat_s=0.1))
        recorder.conversation.allow_sync()
        lost = await recorder.conversation.run()

    assert lost.cause == "closed"
    assert len(recorder.messages) > 1000
    assert at[-1] - at[0] >= 11 * 0.1 * 0.9  # never faster; lateness is the machine's


async def test_after_we_did_not_run_what_is_lost_with_the_connection_may_be_old() -> None:
    """The gap begins before the stall, though frames that had come meanwhile are read after it."""
    stalled, told = asyncio.Event(), asyncio.Event()

    async def script(ws: ServerConnection) -> None:
        await welcome(ws)
        await stalled.wait()
        await ws.send(frame(props(1)), text=True)
        await told.wait()
        ws.transport.abort()

    async with serving(script) as url:
        recorder = Recorder(url)
        running = asyncio.create_task(recorder.conversation.run())
        recorder.conversation.allow_sync()
        await eventually(lambda: recorder.has(SnapshotComplete))
        before_us = time.time_ns() // 1000
        time.sleep(1.0)  # noqa: ASYNC251 - nothing may run
        stalled.set()
        await eventually(lambda: len(recorder.messages) == 2)
        told.set()
        await running

    assert recorder.conversation.heard_us <= before_us
    assert recorder.frames[-1][2] >= before_us + 1_000_000


async def _flood(ws: ServerConnection) -> None:
    raw = frame(*(props(number) for number in range(10)))
    while True:
        for _ in range(20):
            await ws.send(raw, text=True)
        await asyncio.sleep(0)


async def test_heartbeats_go_on_while_reading_is_paused_and_nothing_is_lost() -> None:
    beats: list[str] = []
    go = asyncio.Event()

    async def script(ws: ServerConnection) -> None:
        await welcome(ws)
        await go.wait()
        for number in range(100):
            await ws.send(frame(props(number)), text=True)
        while len(beats) < 10:
            beats.append(str(await ws.recv()))
        await stay(ws)

    async with serving(script) as url:
        recorder = Recorder(url, limits=LIFELESS)
        running = asyncio.create_task(recorder.conversation.run())
        recorder.conversation.allow_sync()
        await eventually(lambda: recorder.has(SnapshotComplete))
        recorder.conversation.pause()
        go.set()
        await eventually(lambda: len(beats) >= 10)  # longer than idle_s
        paused = len(recorder.frames)
        recorder.conversation.resume()
        await eventually(lambda: len(recorder.frames) == 101)
        await recorder.conversation.close()
        lost = await running

    assert paused == 1
    assert lost.cause == "stopped"
    assert recorder.messages[1:] == [props(number) for number in range(100)]


async def test_a_silent_server_is_left() -> None:
    async def script(ws: ServerConnection) -> None:
        await welcome(ws)
        await ws.wait_closed()

    async with serving(script) as url:
        recorder = Recorder(url, limits=LIFELESS)
        recorder.conversation.allow_sync()
        lost = await recorder.conversation.run()

    assert lost.cause == "idle"


async def test_a_half_open_connection_is_left_without_waiting_for_it() -> None:
    """The peer's host is gone: bytes are accepted by the network and never answered."""
    swallowed: list[bytes] = []

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _upgrade(reader, writer)
        writer.write(_text(b"o"))
        with contextlib.suppress(OSError):
            while data := await reader.read(4096):
                swallowed.append(data)
        writer.close()

    async with _raw_server(peer) as url:
        recorder = Recorder(url, limits=LIFELESS)
        async with asyncio.timeout(20):
            lost = await recorder.conversation.run()
        await eventually(lambda: len(swallowed) > 2)

    assert lost.cause == "idle"


async def test_a_large_frame_that_trickles_in_is_a_sign_of_life() -> None:
    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _upgrade(reader, writer)
        whole = _text(b"h" + b" " * 60_000)
        writer.write(_text(b"o"))
        for start in range(0, len(whole), 4096):
            writer.write(whole[start : start + 4096])
            await writer.drain()
            await asyncio.sleep(0.06)
        writer.write(_text(b'c[3000,"done"]'))
        await writer.drain()
        await reader.read()
        writer.close()

    async with _raw_server(peer) as url:
        lost = await Recorder(url, limits=LIFELESS).conversation.run()

    assert (lost.cause, lost.reason) == ("go_away", "done")


async def test_a_reset_connection_is_dropped() -> None:
    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _upgrade(reader, writer)
        writer.write(_text(b"o"))
        await reader.read(10)
        raw: socket.socket = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.close()

    async with _raw_server(peer) as url:
        lost = await Recorder(url).conversation.run()

    assert (lost.cause, lost.code) == ("dropped", None)


@pytest.mark.parametrize(
    ("status", "headers", "cause", "wait_s"),
    [
        (429, {}, "rate_limited", 60),
        (429, {"Retry-After": "120"}, "rate_limited", 120),
        (401, {}, "upgrade_refused", 30),
        (403, {}, "upgrade_refused", 30),
        (503, {}, "server_error", 0),
        (302, {"Location": "ws://127.0.0.1:9/"}, "upgrade_refused", 30),
    ],
)
async def test_a_refused_upgrade(status: int, headers: dict[str, str], cause: str, wait_s: float) -> None:
    def refuse(ws: ServerConnection, _: Request) -> Response:
        response = ws.respond(HTTPStatus(status), "no\n")
        for name, value in headers.items():
            response.headers[name] = value
        return response

    async with serving(stay, process_request=refuse) as url:
        recorder = Recorder(url)
        lost = await recorder.conversation.run()

    assert (lost.cause, lost.code, lost.wait_s) == (cause, status, wait_s)
    assert recorder.events == [Ended(lost)]


async def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    lost = await Recorder(f"ws://127.0.0.1:{port}/").conversation.run()

    assert lost.cause == "unreachable"


async def test_a_server_that_does_not_answer_the_upgrade() -> None:
    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with _raw_server(peer) as url:
        lost = await Recorder(url, open_timeout_s=0.2).conversation.run()

    assert lost.cause == "connect_timeout"


async def test_a_server_that_is_none() -> None:
    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.6\r\n")
        await reader.read()
        writer.close()

    async with _raw_server(peer) as url:
        lost = await Recorder(url).conversation.run()

    assert lost.cause == "bad_handshake"


async def test_an_address_that_is_none() -> None:
    with pytest.raises(ConfigurationError, match=r"source\.socket_url"):
        await Recorder("http://127.0.0.1/").conversation.run()


async def test_the_frame_handed_on_reads_like_its_messages() -> None:
    """Also where the session has written it anew, since it may be read a second time."""
    batch = {"e": "props", "d": {"entityType": "fill", "eventType": "Created", "entity": [{"id": 5}]}}

    async def script(ws: ServerConnection) -> None:
        await welcome(ws)
        await ws.send(frame(batch), text=True)
        await stay(ws)

    async with serving(script) as url:
        recorder = Recorder(url, limits=replace(QUICK, snapshot_quiet_s=20))
        running = asyncio.create_task(recorder.conversation.run())
        recorder.conversation.allow_sync()
        await eventually(lambda: len(recorder.frames) == 2)
        await recorder.conversation.close()
        await running

    assert recorder.messages[1] == {"i": 1, "s": 200, "d": [{"entityType": "fill", "entity": [{"id": 5}]}]}
    assert [messages(raw) for raw, _, _ in recorder.frames] == [told for _, told, _ in recorder.frames]


@pytest.mark.parametrize("fragments", [1, 7])
async def test_a_snapshot_of_many_megabytes_is_taken_whole_or_in_fragments(fragments: int) -> None:
    rows = [{"id": number, "text": "x" * 200} for number in range(40_000)]
    raw = frame({"s": 200, "i": 1, "d": {"orders": rows}}).decode()
    size = -(-len(raw) // fragments)

    async def script(ws: ServerConnection) -> None:
        await ws.send("o")
        await ws.recv()
        await ws.send('a[{"s":200,"i":0}]')
        await wanted(ws)
        if fragments == 1:
            await ws.send(raw)
        else:
            await ws.send(raw[start : start + size] for start in range(0, len(raw), size))
        await stay(ws)

    async with serving(script) as url:
        recorder = Recorder(url, limits=replace(QUICK, idle_s=20, sync_s=20))
        running = asyncio.create_task(recorder.conversation.run())
        recorder.conversation.allow_sync()
        await eventually(lambda: recorder.has(SnapshotComplete))
        recorder.conversation.give_up(SessionLost("stopped"))
        await running

    assert len(raw) > 8_000_000
    assert recorder.messages == [{"s": 200, "i": 1, "d": {"orders": rows}}]


async def test_a_frame_of_seventy_mebibytes_ends_the_session_and_its_beginning_is_kept() -> None:
    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _upgrade(reader, writer)
        writer.write(_text(b"o"))
        with contextlib.suppress(OSError):
            writer.write(b"\x81\x7f" + struct.pack("!Q", 70 * 2**20) + b"the beginning, " + TOKEN.encode())
            for _ in range(70):
                writer.write(b" " * 2**20)
                await writer.drain()
        writer.close()

    async with _raw_server(peer) as url:
        lost = await Recorder(url).conversation.run()

    assert (lost.cause, lost.code) == ("oversized", 1009)
    assert lost.unread is not None
    assert lost.unread.raw.startswith(b"the beginning, ***")
    assert lost.unread.length == 70 * 2**20
    assert len(lost.unread.raw) <= 2**20


async def test_fragments_that_come_to_too_much_are_kept_as_far_as_they_came() -> None:
    """How long the whole would have been nobody has said; it is at least what was announced."""

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _upgrade(reader, writer)
        first = b"\x01\x7e" + struct.pack("!H", 800) + b"a" * 800
        writer.write(_text(b"o") + first + b"\x00\x7e" + struct.pack("!H", 700) + b"b" * 100)
        await reader.read()
        writer.close()

    async with _raw_server(peer) as url:
        lost = await Recorder(url, limits=replace(QUICK, frame_bytes=1000)).conversation.run()

    kept = b"a" * 800 + b"b" * 100
    assert lost.cause == "oversized"
    assert lost.unread == Unread(kept, 1500, hashlib.sha256(kept).hexdigest())


@pytest.mark.parametrize(
    ("text", "cause"), [("c", "go_away"), ('c[3000,"Go away!"]', "go_away"), ("a{", "garbage"), ("<html>", "garbage")]
)
async def test_frames_that_end_the_session(text: str, cause: str) -> None:
    async def script(ws: ServerConnection) -> None:
        await ws.send("o")
        await ws.send(text)
        await ws.wait_closed()

    async with serving(script) as url:
        lost = await Recorder(url).conversation.run()

    assert lost.cause == cause
    if cause == "garbage":
        assert lost.unread is not None
        assert lost.unread.raw == text.encode()


async def test_what_follows_the_greeting_in_one_segment_is_not_lost() -> None:
    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        rest = b"".join([_text(b"o"), _text(b"h"), _text(frame({"e": "shutdown", "d": {"reasonCode": "Maintenance"}}))])
        await _upgrade(reader, writer, rest)
        await reader.read()
        writer.close()

    async with _raw_server(peer) as url:
        lost = await Recorder(url).conversation.run()

    assert lost.cause == "maintenance"


async def test_data_before_the_close_frame_are_not_lost() -> None:
    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _upgrade(reader, writer)
        writer.write(_text(b"o") + _text(b'a[{"s":200,"i":0}]'))
        await asyncio.sleep(0)
        frames = [_text(frame(props(number))) for number in range(500)]
        writer.write(b"".join(frames) + b"\x88\x05" + struct.pack("!H", 4001) + b"bye")
        await reader.read()
        writer.close()

    async with _raw_server(peer) as url:
        recorder = Recorder(url)
        lost = await recorder.conversation.run()

    assert (lost.cause, lost.code, lost.reason) == ("closed", 4001, "bye")
    assert len(recorder.messages) == 500


async def test_giving_up_while_connecting_ends_at_once() -> None:
    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with _raw_server(peer) as url:
        recorder = Recorder(url, open_timeout_s=600)
        running = asyncio.create_task(recorder.conversation.run())
        await asyncio.sleep(0.01)
        await recorder.conversation.close()
        lost = await running

    assert lost.cause == "stopped"


async def test_a_cancelled_run_leaves_no_connection() -> None:
    gone = asyncio.Event()

    async def script(ws: ServerConnection) -> None:
        await ws.send("o")
        try:
            await ws.wait_closed()
        finally:
            gone.set()

    async with serving(script) as url:
        recorder = Recorder(url)
        running = asyncio.create_task(recorder.conversation.run())
        await eventually(lambda: recorder.conversation.heard_us)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        async with asyncio.timeout(20):
            await gone.wait()


def test_a_timer_that_is_due_at_once_costs_no_session_on_uvloop() -> None:
    """Its handle for such a timer has no `when()`; a loop that is late by a moment meets it."""

    async def script(ws: ServerConnection) -> None:
        await welcome(ws)
        await stay(ws)

    async def scenario() -> None:
        async with serving(script) as url:
            recorder = Recorder(url, limits=replace(QUICK, heartbeat_s=1e-6))
            running = asyncio.create_task(recorder.conversation.run())
            recorder.conversation.allow_sync()
            await eventually(lambda: recorder.has(SnapshotComplete) or running.done())
            await recorder.conversation.close()
            assert (await running).cause == "stopped"

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())


async def test_a_server_that_does_not_answer_the_close_is_not_waited_for() -> None:
    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _upgrade(reader, writer)
        writer.write(_text(b"o"))
        with contextlib.suppress(OSError):
            await reader.read()
        writer.close()

    async with _raw_server(peer) as url:
        recorder = Recorder(url, close_timeout_s=0.1)
        running = asyncio.create_task(recorder.conversation.run())
        await eventually(lambda: recorder.conversation.heard_us)
        async with asyncio.timeout(20):
            await recorder.conversation.close()
        lost = await running

    assert lost.cause == "stopped"


async def test_an_error_of_our_own_is_raised_and_the_connection_closed() -> None:
    gone = asyncio.Event()

    async def script(ws: ServerConnection) -> None:
        try:
            await welcome(ws)
            await ws.wait_closed()
        finally:
            gone.set()

    async with serving(script) as url:
        recorder = Recorder(url)
        recorder.conversation.allow_sync()
        recorder.frames = None  # type: ignore[assignment]
        with pytest.raises(AttributeError):
            await recorder.conversation.run()
        async with asyncio.timeout(20):
            await gone.wait()


async def test_the_token_is_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def script(ws: ServerConnection) -> None:
        await ws.send("o")
        request = await ws.recv()
        await ws.send("a" + json.dumps([{"i": 0, "s": 401, "d": request}]))
        await ws.wait_closed()

    async with serving(script, logger=logging.getLogger("quiet.server")) as url:
        logging.getLogger("quiet.server").setLevel(logging.CRITICAL)
        recorder = Recorder(url)
        lost = await recorder.conversation.run()

    assert lost.cause == "unauthorized"
    assert TOKEN not in caplog.text + str(lost) + repr(recorder.conversation.session) + repr(recorder.events)


# A server made of bytes, for what no good server does.


async def _upgrade(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rest: bytes = b"") -> None:
    from websockets.utils import accept_key

    request = (await reader.readuntil(b"\r\n\r\n")).decode()
    key = next(line.split(": ")[1] for line in request.split("\r\n") if line.lower().startswith("sec-websocket-key"))
    answer = [
        "HTTP/1.1 101 Switching",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {accept_key(key)}",
    ]
    writer.write("\r\n".join([*answer, "", ""]).encode() + rest)


def _text(payload: bytes) -> bytes:
    size = len(payload)
    head = bytes([0x81, size]) if size < 126 else b"\x81\x7e" + struct.pack("!H", size)
    return head + payload


@contextlib.asynccontextmanager
async def _raw_server(peer: Any) -> AsyncIterator[str]:
    server = await asyncio.start_server(peer, "127.0.0.1", 0)
    async with server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/websocket"
