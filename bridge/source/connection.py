"""A websockets client connection that hands whole messages to a callback, without a coroutine or a queue per frame.

websockets does the upgrade, the closing, and whatever is not plain; plain frames do not pass it (`source/scanner.py`).
Owns what is semi-private in websockets (`process_event`, `data_received`, `eof_received`, `connection_lost`,
`process_redirect`, the reader's `discard`); the version is pinned, and tests/component/source holds these six by what
they do.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import logging
import ssl as tls
from typing import Any, Protocol, cast

from websockets.asyncio.client import ClientConnection, connect
from websockets.client import ClientProtocol
from websockets.exceptions import PayloadTooBig
from websockets.frames import DATA_OPCODES, Frame
from websockets.protocol import OPEN, Event
from websockets.streams import StreamReader

from bridge.errors import SessionLost, Unread
from bridge.source import scanner
from bridge.source.scanner import Cut, Scanner

# websockets writes whole frames into its debug log, and one of ours holds the token: its level is fixed here.
_logger = logging.getLogger("bridge.source.connection")
_logger.setLevel(logging.WARNING)

END_OF_HEAD = b"\r\n\r\n"
KEPT_BYTES = 2**20
"""Of a frame that is too long to be read."""


GULP_BYTES = 1024 * 1024
"""So much is read before all others have their turn: uvloop reads on while more is there, up to 8 MiB, and timers and
other sockets wait meanwhile (170 ms, measured with four sockets). With less, transactions get smaller, and dearer."""
SIP_BYTES, MOUTHFUL_BYTES, REST_S = 4 * 1024, 128 * 1024, 0.004
"""A read that brings so much, but not that much, is one of many: the next is made a little later, and brings more."""


class Sink(Protocol):
    """Who is told what the connection brings; every method returns at once."""

    def opened(self, connection: FeedConnection) -> None:
        """The upgrade is accepted."""

    def heard(self) -> None:
        """Some bytes arrived."""

    def messages(self, raws: list[bytes]) -> None:
        """Whole messages arrived, one right after the other."""

    def closed(self, connection: FeedConnection) -> None:
        """No message will come any more; may be told more than once."""


class FeedConnection(ClientConnection):
    """The connection; see the module."""

    def __init__(self, sink: Sink, most_bytes: int, cut: Cut, protocol: ClientProtocol, **options: Any) -> None:
        super().__init__(protocol, **options)
        self._sink, self._most_bytes, self._cut = sink, most_bytes, cut
        self._fragments: list[bytes] = []
        self._discarded = bytearray()
        self._scanner: Scanner | None = None
        self._head = b""
        self._wanted, self._gulped = True, 0
        self._rests: asyncio.TimerHandle | None = None
        protocol.reader.discard = self._discard  # type: ignore[method-assign]

    @property
    def is_open(self) -> bool:
        """Whether messages can be written."""
        return self.protocol.state is OPEN

    def write(self, text: str) -> None:
        """Write a text message straight to the transport: never waits, and is never behind anything that waits."""
        self.protocol.send_text(text.encode())
        self.send_data()

    def set_reading(self, *, wanted: bool) -> None:
        """Stop or go on taking bytes from the network."""
        self._wanted = wanted
        self._set_transport()

    def end(self) -> SessionLost:
        """Say how the connection ended, once it has."""
        protocol = self.protocol
        if protocol.close_rcvd is not None:
            return SessionLost("closed", protocol.close_rcvd.reason, code=int(protocol.close_rcvd.code))
        if isinstance(protocol.parser_exc, PayloadTooBig):
            unread = self._unread(protocol.parser_exc)
            return SessionLost("oversized", str(protocol.parser_exc), code=1009, unread=unread)
        if protocol.close_sent is not None and protocol.parser_exc is not None:
            return SessionLost("bad_frame", str(protocol.parser_exc), code=int(protocol.close_sent.code))
        return SessionLost("dropped", str(self.connection_exc or ""))

    # What websockets calls

    def data_received(self, data: bytes) -> None:
        """Bytes from the transport."""
        self._gulped += len(data)
        if self._gulped >= GULP_BYTES:
            self._rest(0)
        elif SIP_BYTES <= len(data) < MOUTHFUL_BYTES:
            self._rest(REST_S)
        self._sink.heard()
        if self._scanner is not None:
            self._scan(self._scanner, data)
        elif self.response is None:
            self._shake_hands(data)
        else:
            super().data_received(data)
        if self.response is not None and self.protocol.handshake_exc is None and self.protocol.close_expected():
            self._sink.closed(self)

    def process_event(self, event: Event) -> None:
        """The answer to the upgrade, then frames."""
        if self.response is None or not isinstance(event, Frame):
            super().process_event(event)
            if self.protocol.handshake_exc is None:
                self._sink.opened(self)
        elif event.opcode not in DATA_OPCODES:
            super().process_event(event)
        elif event.fin and not self._fragments:
            self._sink.messages([bytes(event.data)])
        else:
            self._assemble(event)

    def eof_received(self) -> None:
        """The server sends no more."""
        self._leave_the_rest()
        super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone."""
        if self._rests is not None:
            self._rests.cancel()
        self._leave_the_rest()
        super().connection_lost(exc)
        if self.response is not None and self.protocol.handshake_exc is None:
            self._sink.closed(self)

    def _rest(self, seconds: float) -> None:
        """Read nothing more for so long, and until all others have had their turn."""
        if self._rests is None:
            self._rests = asyncio.get_running_loop().call_later(seconds, self._go_on)
            self._set_transport()

    def _go_on(self) -> None:
        self._rests, self._gulped = None, 0
        self._set_transport()

    def _set_transport(self) -> None:
        if not self.transport.is_closing():
            reads = self._wanted and self._rests is None
            (self.transport.resume_reading if reads else self.transport.pause_reading)()

    def _shake_hands(self, data: bytes) -> None:
        """Give websockets the answer to the upgrade and no byte of what follows: frames are cut from the first on."""
        seen = self._head + data
        self._head = seen[-len(END_OF_HEAD) + 1 :]
        found = seen.find(END_OF_HEAD)
        if found < 0:
            super().data_received(data)
            return
        length = found + len(END_OF_HEAD) - (len(seen) - len(data))
        super().data_received(data[:length])
        if self.response is not None and self.protocol.handshake_exc is None:
            self._scanner = Scanner(self._most_bytes, self._sink.messages, self._control, self._cut)
            self._scan(self._scanner, data[length:])
        elif data[length:]:
            super().data_received(data[length:])

    def _scan(self, scanner: Scanner, data: bytes) -> None:
        rest = scanner.feed(data)
        if rest is not None:
            self._scanner = None
            if rest:
                super().data_received(rest)

    def _control(self, frame: bytes) -> bool:
        super().data_received(frame)
        return self.protocol.close_rcvd is None and self.protocol.parser_exc is None

    def _leave_the_rest(self) -> None:
        """Have websockets judge what was cut off."""
        scanner, self._scanner = self._scanner, None
        if scanner is not None and (rest := scanner.left()):
            super().data_received(rest)

    def _discard(self) -> None:
        """What websockets throws away: what has arrived of a frame that is too long, or came after the close."""
        reader = self.protocol.reader
        self._discarded += reader.buffer[: max(0, KEPT_BYTES - len(self._discarded))]
        StreamReader.discard(reader)

    def _unread(self, problem: PayloadTooBig) -> Unread:
        """The frame's announced length counts, of which we wait for no more than came with the announcement."""
        arrived = b"".join([*self._fragments, self._discarded])
        length = (problem.size or 0) + (problem.current_size or 0)
        return Unread(arrived[:KEPT_BYTES], length, hashlib.sha256(arrived).hexdigest())

    def _assemble(self, frame: Frame) -> None:
        """Put a fragmented message together; websockets bounds its size."""
        self._fragments.append(bytes(frame.data))
        if frame.fin:
            whole, self._fragments = b"".join(self._fragments), []
            self._sink.messages([whole])


class _Connect(connect):
    """Follows no redirects: the token would be sent to whatever host the answer names."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


async def open_connection(
    sink: Sink,
    url: str,
    *,
    ssl: tls.SSLContext | None,
    proxy: str | bool | None,
    open_timeout_s: float,
    close_timeout_s: float,
    frame_bytes: int,
    cut: Cut = scanner.cut,
) -> None:
    """Connect and upgrade; the sink is told before the first message.

    Raises:
        Exception: see `upgrade.connection_failed`.
    """
    options: dict[str, Any] = {} if ssl is None else {"ssl": ssl}
    await _Connect(
        url,
        compression=None,  # zlib costs more than all the rest, and the server is not known to offer it
        proxy=cast("Any", proxy or None),
        open_timeout=open_timeout_s,
        ping_interval=None,  # the protocol has its own heartbeats, and a pong would hide a silent server
        close_timeout=close_timeout_s,
        max_size=frame_bytes,
        logger=_logger,
        create_connection=cast("Any", functools.partial(FeedConnection, sink, frame_bytes, cut)),
        **options,
    )
