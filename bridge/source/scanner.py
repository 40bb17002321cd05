"""Cuts a server's bytes into WebSocket frames, as long as they are plain: whole text messages and control frames. Pure.

RFC 6455, section 5.2. Nearly all that ever comes is plain, and costs far less here than in a parser for everything.
What is not (a fragment, an extension, a mask, a message that is too long, nonsense) is left to websockets, and with it
all that follows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

_TEXT: Final = 0x81
_CONTROL: Final = frozenset({0x88, 0x89, 0x8A})
"""First bytes of whole frames without extensions: close, ping, pong."""
_SHORT, _UNMASKED = 125, 127
"""Second byte: up to the first it is the length; above the second, the frame is masked."""
_HEAD_BYTES: Final = {126: 4, 127: 10}
"""By the second byte, where the length follows."""


Cut = Callable[[bytes, int, int], tuple[list[bytes], int, int]]
"""See `cut`."""


def cut(data: bytes, at: int, most_bytes: int) -> tuple[list[bytes], int, int]:
    """Text messages that begin at a place and follow one right after the other; hot, so it calls nobody.

    Returns:
        The messages; where the first frame begins that is not among them, because it is no text message, or not whole,
        or not plain; and how long that one is: 0 if too little is there to tell, below 0 if it is not plain.
    """
    messages: list[bytes] = []
    end = len(data)
    while end - at > 1:
        first, size = data[at], data[at + 1]
        start = at + _HEAD_BYTES.get(size, 2)
        if size > _UNMASKED or (first != _TEXT and (first not in _CONTROL or size > _SHORT)):
            return messages, at, -1
        if start > end:
            break
        if size > _SHORT:
            size = int.from_bytes(data[at + 2 : start])
        stop = start + size
        if size > most_bytes:
            return messages, at, -1
        if stop > end or first != _TEXT:
            return messages, at, stop - at
        messages.append(data[start:stop])
        at = stop
    return messages, at, 0


class Scanner:
    """One connection's frames.

    Args:
        most_bytes: of a message; a longer one is not plain.
        messages: told text messages that came one right after the other.
        control: told every control frame, whole; says whether we may go on.
        cut: in Python or compiled.
    """

    def __init__(
        self,
        most_bytes: int,
        messages: Callable[[list[bytes]], None],
        control: Callable[[bytes], bool],
        cut: Cut = cut,
    ) -> None:
        self._most_bytes, self._messages, self._control, self._cut = most_bytes, messages, control, cut
        self._kept = bytearray()
        self._needed = 0

    def feed(self, data: bytes) -> bytes | None:
        """Tell what is whole, and keep the rest; hot.

        Returns:
            None; or what is left, from the beginning of a frame on, because that is not plain: it ends here then.
        """
        if self._kept:
            self._kept += data
            if len(self._kept) < self._needed:
                return None
            data = self.left()
        at = 0
        while True:
            messages, at, size = self._cut(data, at, self._most_bytes)
            if messages:
                self._messages(messages)
            if size < 0:
                return data[at:]
            stop = at + size
            if not size or stop > len(data):
                break
            if not self._control(data[at:stop]):
                return data[stop:]
            at = stop
        self._kept += data[at:]
        self._needed = size
        return None

    def left(self) -> bytes:
        """What was kept: the beginning of a frame; it is kept no more."""
        kept = bytes(self._kept)
        self._kept.clear()
        return kept
