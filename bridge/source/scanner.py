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


class Scanner:
    """One connection's frames.

    Args:
        most_bytes: of a message; a longer one is not plain.
        message: told every text message.
        control: told every control frame, whole; says whether we may go on.
    """

    def __init__(self, most_bytes: int, message: Callable[[bytes], None], control: Callable[[bytes], bool]) -> None:
        self._most_bytes, self._message, self._control = most_bytes, message, control
        self._kept = bytearray()
        self._needed = 0

    def feed(self, data: bytes) -> bytes | None:  # noqa: C901 - hot, so it calls nobody but who is told
        """Tell what is whole, and keep the rest; hot.

        Returns:
            None; or what is left, from the beginning of a frame on, because that is not plain: it ends here then.
        """
        if self._kept:
            self._kept += data
            if len(self._kept) < self._needed:
                return None
            data = self.left()
        at, end, self._needed = 0, len(data), 0
        while end - at > 1:
            first, size = data[at], data[at + 1]
            start = at + _HEAD_BYTES.get(size, 2)
            if size > _UNMASKED or (first != _TEXT and (first not in _CONTROL or size > _SHORT)):
                return data[at:]
            if start > end:
                break
            if size > _SHORT:
                size = int.from_bytes(data[at + 2 : start])
            stop = start + size
            if size > self._most_bytes:
                return data[at:]
            if stop > end:
                self._needed = stop - at
                break
            if first == _TEXT:
                self._message(data[start:stop])
            elif not self._control(data[at:stop]):
                return data[stop:]
            at = stop
        self._kept += data[at:]
        return None

    def left(self) -> bytes:
        """What was kept: the beginning of a frame; it is kept no more."""
        kept = bytes(self._kept)
        self._kept.clear()
        return kept
