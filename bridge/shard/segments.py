"""Files for frames that wait: without a name, so that nothing of them outlives the process, however it ends.

What waits is of no use to another process, whose session is another one; so nothing has to be found or cleaned up, and
an instance that starts beside an older one cannot harm it. Used by one thread at a time.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from zlib import crc32

from bridge.shard.blocks import Place

SEGMENTS = 16
"""So many files hold all that may wait; when one of them has been read its room is free again."""
LEAST_BYTES = 4 * 2**20


@dataclass(slots=True)
class Segment:
    """One file and how many blocks of it are still to be read."""

    file: IO[bytes]
    bytes: int = 0
    blocks: int = 0


class Segments:
    """Blocks of bytes in files of bounded size.

    Args:
        folder: where the files are; must exist.
        limit_bytes: what may wait in all of them; only used to choose a size, the limit is kept by the caller.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder, self._size = folder, max(LEAST_BYTES, limit_bytes // SEGMENTS)
        self._files: dict[int, Segment] = {}
        self._last = 0
        self._closed = False

    def probe(self) -> None:
        """See that files can be made and written.

        Raises:
            OSError: they cannot.
        """
        with tempfile.TemporaryFile(dir=self._folder, buffering=0) as file:
            file.write(b"0")

    def write(self, data: bytes) -> Place:
        """Append a block.

        Raises:
            OSError: disk full, folder gone, and the like; what was written of it is written over.
        """
        if self._closed:
            raise OSError("the spool is closed")
        segment = self._current()
        offset, rest = segment.bytes, memoryview(data)
        while rest:
            rest = rest[os.pwrite(segment.file.fileno(), rest, offset + len(data) - len(rest)) :]
        segment.bytes += len(data)
        segment.blocks += 1
        return Place(self._last, offset, len(data), crc32(data))

    def read(self, place: Place) -> bytes:
        """A block, once: its room is given back when all others of its file have been read too.

        Raises:
            OSError: it cannot be read, or is not what was written.
        """
        file = self._files[place.segment].file.fileno()
        parts, at, end = [], place.offset, place.offset + place.length
        while at < end and (part := os.pread(file, end - at, at)):
            parts.append(part)
            at += len(part)
        data = b"".join(parts)
        if len(data) != place.length or crc32(data) != place.crc:
            raise OSError(f"{len(data)} of {place.length} bytes came back, or others than were written")
        self.release(place)
        return data

    def release(self, place: Place) -> None:
        """A block is not needed any more."""
        segment = self._files.get(place.segment)
        if segment is not None:
            segment.blocks -= 1
            if not segment.blocks and (place.segment != self._last or segment.bytes >= self._size):
                self._files.pop(place.segment).file.close()

    def clear(self) -> None:
        """Give all files back."""
        for segment in self._files.values():
            segment.file.close()
        self._files.clear()

    def close(self) -> None:
        """Refuse whatever is still to be written; to be called before the last `clear`, by any thread."""
        self._closed = True

    def _current(self) -> Segment:
        segment = self._files.get(self._last)
        if segment is None or segment.bytes >= self._size:
            self._last += 1
            file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 - closed by release or clear
            segment = self._files[self._last] = Segment(file)
        return segment
