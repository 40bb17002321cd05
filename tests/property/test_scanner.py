"""The scanner, with websockets for what it leaves, understands what websockets alone does, however bytes are cut."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.uri import parse_uri

from bridge.source.scanner import Cut, Scanner
from tests.implementations import CUTS

MOST_BYTES = 70_000
SIZES = st.sampled_from([0, 1, 125, 126, 127, 300, 65_535, 65_536, MOST_BYTES, MOST_BYTES + 1])
TEXTS = SIZES.map(lambda size: Frame(Opcode.TEXT, b"a" * size).serialize(mask=False))
CONTROLS = st.sampled_from(
    [
        Frame(Opcode.PING, b"").serialize(mask=False),
        Frame(Opcode.PONG, b"x" * 125).serialize(mask=False),
        Frame(Opcode.CLOSE, b"\x03\xe8bye").serialize(mask=False),
        Frame(Opcode.CLOSE, b"\x03").serialize(mask=False),
        b"\x89\x7e\x00\x7e" + b"x" * 126,  # longer than a control frame may be
    ]
)
OTHERS = st.sampled_from(
    [
        Frame(Opcode.TEXT, b"begin", fin=False).serialize(mask=False),
        Frame(Opcode.CONT, b"end").serialize(mask=False),
        Frame(Opcode.BINARY, b"\xff" * 200).serialize(mask=False),
        Frame(Opcode.TEXT, b"masked").serialize(mask=True),
        b"\xc1\x01a",
        b"\x83\x00",
        b"\x81\x7f" + b"\xff" * 8,
    ]
)
STREAMS = st.lists(TEXTS | TEXTS | CONTROLS | OTHERS | st.binary(max_size=5), max_size=8).map(b"".join)


def open_protocol() -> ClientProtocol:
    return ClientProtocol(parse_uri("ws://127.0.0.1/"), state=OPEN, max_size=MOST_BYTES)


@dataclass
class Reader:
    """A connection without a network; `scanner` as `FeedConnection` has it, or none."""

    scanner: Scanner | None = None
    protocol: ClientProtocol = field(default_factory=open_protocol)
    messages: list[tuple[Any, bytes]] = field(default_factory=list)

    def scanning(self, cut: Cut) -> Reader:
        self.scanner = Scanner(MOST_BYTES, self._tell, self._control, cut)
        return self

    def feed(self, data: bytes) -> None:
        rest: bytes | None = data
        if self.scanner is not None:
            rest = self.scanner.feed(data)
            self.scanner = self.scanner if rest is None else None
        if rest:
            self._parse(rest)

    def end(self) -> tuple[Any, ...]:
        """Everything that was understood, and how it ended."""
        if self.scanner is not None and (rest := self.scanner.left()):
            self._parse(rest)
        self.protocol.receive_eof()
        sent = b"".join(self.protocol.data_to_send())
        closes = self.protocol.close_rcvd, self.protocol.close_sent
        return self.messages, closes, str(self.protocol.parser_exc), len(sent)

    def _tell(self, raws: list[bytes]) -> None:
        self.messages += [((Opcode.TEXT, True), raw) for raw in raws]

    def _control(self, frame: bytes) -> bool:
        self._parse(frame)
        return self.protocol.close_rcvd is None and self.protocol.parser_exc is None

    def _parse(self, data: bytes) -> None:
        self.protocol.receive_data(data)
        for event in self.protocol.events_received():
            assert isinstance(event, Frame)
            self.messages.append(((event.opcode, event.fin), bytes(event.data)))


@given(STREAMS, st.lists(st.integers(0, 200_000), max_size=6))
@example(b"\x81\x7e\x00", [1, 2])
@example(b"\x81\x7e\x00\x7e" + b"a" * 126 + b"\x88\x00\x81\x01a", [3, 5, 130])
def test_however_a_stream_is_cut_the_same_is_understood(stream: bytes, cuts: list[int]) -> None:
    alone = Reader()
    alone.feed(stream)
    end = alone.end()
    places = [0, *sorted(place % (len(stream) + 1) for place in cuts), len(stream)]
    for cut in CUTS:
        ours = Reader().scanning(cut)
        for start, stop in pairwise(places):
            if start < stop:
                ours.feed(stream[start:stop])
        assert ours.end() == end


@pytest.mark.parametrize("odd", [(b"\x81\x00", 5, 0), (b"", 0, 0), (b"\x81\x01", 0, 9), (b"\x81\x01a" * 3, 4, 9)])
def test_every_implementation_cuts_alike(odd: tuple[bytes, int, int]) -> None:
    assert len({repr(cut(*odd)) for cut in CUTS}) == 1


@pytest.mark.skipif(len(CUTS) == 1, reason="the accelerator was not built, or SYNCBRIDGE_PURE is set")
@pytest.mark.parametrize(
    "odd", [(None, 0, 9), (b"a", -1, 9), (b"a", None, 9), (b"a", 0, 2**70), (b"a",), (bytearray(b"a"), 0, 9)]
)
def test_what_is_no_data_is_an_error_of_ours_and_no_crash(odd: Any) -> None:
    with pytest.raises((TypeError, ValueError, OverflowError)):
        CUTS[1](*odd)


def test_a_long_message_in_many_pieces_is_put_together_once() -> None:
    told: list[bytes] = []
    scanner = Scanner(2**26, told.extend, lambda _: True)
    frame = Frame(Opcode.TEXT, bytes(range(256)) * 2**13).serialize(mask=False)
    for at in range(0, len(frame), 1000):
        assert scanner.feed(frame[at : at + 1000]) is None
    assert told == [bytes(range(256)) * 2**13]
    assert scanner.left() == b""
