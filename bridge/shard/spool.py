"""What waits on disk while Kafka is away: frames beyond what memory holds, in order, bounded.

Frames are collected into blocks; a thread of its own writes and reads them, so that a slow disk holds up no heartbeat
(invariant 7). Notes stay in memory, in their places. What the disk has not taken yet stays in memory too, and that is
bounded as well. No trouble of the disk raises: the spool refuses from then on, which is the limit for the channel.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol

import structlog

from bridge.shard.blocks import RECORD_BYTES, Block, Place, pack, unpack
from bridge.shard.notes import Frame, Item, Note
from bridge.shard.segments import SEGMENTS, Segments
from bridge.shard.stats import ShardStats

BLOCK_BYTES = 2**20
MOST_UNWRITTEN_BYTES = 8 * BLOCK_BYTES
"""What may wait in memory for a disk that is slower than the broker's socket."""


class Receiver(Protocol):
    """Who put the items in and gets them back."""

    def deliver(self, items: list[Item]) -> None:
        """The oldest items are in memory again."""

    def lose(self, reason: str) -> None:
        """Frames cannot be read back; all that waits is to be dropped."""


class Spool:
    """A queue on disk behind the queue in memory; all methods return at once.

    Args:
        limit_bytes: what may wait here (`pressure.spool_mb`).
        block_bytes: what is written and read at once; 0 chooses by the limit.

    Attributes:
        bytes: what waits here.
    """

    def __init__(
        self,
        segments: Segments,
        limit_bytes: int,
        stats: ShardStats,
        logger: structlog.typing.FilteringBoundLogger,
        block_bytes: int = 0,
    ) -> None:
        self._segments, self._limit = segments, limit_bytes
        self._block_bytes = block_bytes or min(BLOCK_BYTES, limit_bytes // SEGMENTS)
        self._stats, self._logger = stats, logger
        self._blocks: deque[Block] = deque()
        self._thread: ThreadPoolExecutor | None = None
        self._reading: Block | None = None
        self._unwritten = self._frames = 0
        self._failed, self._closed = "", False
        self.bytes = 0
        self.refusal = ""

    @property
    def active(self) -> bool:
        """Whether anything waits here; then all that comes must wait behind it."""
        return bool(self._blocks)

    def put(self, item: Item) -> bool:
        """Append an item; False if there is no room for a frame, and `refusal` says why."""
        if type(item) is Frame and self._refuses(RECORD_BYTES + len(item.raw)):
            return False
        if not self._blocks:
            self._begin()
        if not self._blocks or self._blocks[-1].sealed:
            self._blocks.append(Block())
        block = self._blocks[-1]
        before = block.bytes
        block.add(item)
        self._count(block.bytes - before)
        self._stats.spooled_frames += type(item) is Frame
        if block.bytes >= self._block_bytes:
            self._write(block)
        return True

    def fetch(self, receiver: Receiver) -> None:
        """Have the oldest block delivered: at once if it is in memory still, else when it has been read."""
        if self._reading is not None or not self._blocks:
            return
        block = self._blocks[0]
        if block.place is None:
            self._hand_over(block, block.items, receiver)
        else:
            self._reading = block
            self._do(partial(_read, self._segments, block.place), partial(self._has_read, block, receiver))

    def clear(self) -> Iterator[tuple[int, int, Note | None]]:
        """Forget all frames: gives, in order, how many, the arrival of a first one, and the note that follows them."""
        blocks, self._blocks = self._blocks, deque()
        for block in blocks:
            block.gone = True
        self._reading = None
        self._count(-self.bytes)
        if blocks:
            self._end("dropped")
        for block in blocks:
            for frames, note in block.outline():
                yield frames, block.first_us, note

    def __len__(self) -> int:
        """Items that wait here."""
        return sum(block.frames + len(block.notes) for block in self._blocks)

    def close(self) -> None:
        """Give the disk back, when the thread has ended what it is doing."""
        if self._thread is not None and not self._closed:
            self._segments.close()
            self._thread.submit(self._segments.clear)
            self._thread.shutdown(wait=False)
        self._closed = True

    # Inside

    def _refuses(self, size: int) -> bool:
        if self._failed:
            self.refusal = f"pressure.spool_path failed ({self._failed})"
        elif self.bytes + size > self._limit:
            self.refusal = "Kafka has been away or too slow for longer than pressure.memory_mb and spool_mb hold"
        elif self._unwritten > MOST_UNWRITTEN_BYTES:
            self.refusal = "Kafka is away or too slow, and the disk of pressure.spool_path as well"
        else:
            return False
        return True

    def _begin(self) -> None:
        self._frames = self._stats.spooled_frames
        self._stats.spills += 1
        self._logger.warning("spool_began", waiting_bytes=self._stats.waiting_bytes)

    def _end(self, how: str) -> None:
        """Nothing waits any more: trouble with the disk is forgotten, it may have room the next time."""
        self._failed = ""
        self._logger.info("spool_ended", how=how, frames=self._stats.spooled_frames - self._frames)
        if self._thread is not None and not self._closed:
            self._thread.submit(self._segments.clear)

    def _count(self, more: int) -> None:
        self.bytes += more
        self._stats.spooled_bytes = self.bytes

    def _write(self, block: Block) -> None:
        block.sealed = True
        self._unwritten += block.bytes
        self._do(partial(_write, self._segments, block), partial(self._has_written, block))

    def _has_written(self, block: Block, done: asyncio.Future[Place]) -> None:
        self._unwritten -= block.bytes
        error = done.exception()
        if self._closed:
            return
        if error is None and block.gone:
            self._do(partial(self._segments.release, done.result()), _ignore)
        elif error is None:
            block.settle(done.result())
        elif not block.gone:
            self._fail(error)

    def _has_read(self, block: Block, receiver: Receiver, done: asyncio.Future[list[Frame]]) -> None:
        if self._reading is not block:
            return  # it was dropped meanwhile
        self._reading = None
        error = done.exception()
        if error is None:
            self._hand_over(block, block.restored(done.result()), receiver)
        else:
            self._fail(error)
            receiver.lose(f"frames cannot be read back from pressure.spool_path ({self._failed})")

    def _hand_over(self, block: Block, items: list[Item], receiver: Receiver) -> None:
        self._blocks.popleft()
        block.gone = True
        self._count(-block.bytes)
        if not self._blocks:
            self._end("drained")
        receiver.deliver(items)

    def _fail(self, error: BaseException) -> None:
        if not self._failed:
            self._failed = f"{type(error).__name__}: {error}"
            self._stats.spool_failures += 1
            self._logger.error("spool_failed", reason=self._failed)

    def _do(self, work: Callable[[], Any], then: Callable[[asyncio.Future[Any]], None]) -> None:
        if self._closed:
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "spool")
        asyncio.get_running_loop().run_in_executor(self._thread, work).add_done_callback(then)


def _write(segments: Segments, block: Block) -> Place:
    return segments.write(pack(block.items))


def _read(segments: Segments, place: Place) -> list[Frame]:
    return unpack(segments.read(place))


def _ignore(done: asyncio.Future[Any]) -> None:
    done.result()
