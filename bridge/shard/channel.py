"""Between the socket and the writer: frames in order, bounded in bytes.

The reader puts without waiting (invariant 7); the writer takes whole frames. Up to the high-water mark frames keep
their parsed form; beyond it only their bytes, which are parsed again when their turn comes, because a parsed frame
takes several times the memory. Above the mark the socket is asked to pause, but never for more than two seconds.
At the limit the channel refuses, and the session must be given up (docs/architecture.md, pressure).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from bridge.shard.notes import AbsenceDue, Alive, Frame, Item, Note, SessionEnded, SnapshotCompleted

FRAME_OVERHEAD_BYTES = 200
PARSED_WEIGHT = 8
"""Memory of a parsed frame in multiples of its bytes (measured on order events: 6 to 9)."""
LONGEST_PAUSE_S = 1.5


@dataclass(slots=True)
class Dropped:
    """What was thrown away.

    Attributes:
        frames, bytes: how much, all in all.
        first_us: arrival of the first of these frames, epoch microseconds; from then on events are missing. 0 if none.
        latest: how many frames belong to the session that has not ended.
    """

    frames: int = 0
    bytes: int = 0
    first_us: int = 0
    latest: int = 0

    def without(self, item: Item) -> Item | None:
        """What remains of an item that follows those seen so far."""
        if type(item) is Frame:
            self.first_us = self.first_us or item.arrived_us
            self.frames += 1
            self.latest += 1
            return None
        if self.frames and type(item) is Note:
            if type(item.what) is SessionEnded:
                missing, self.latest = self.latest, 0
                return replace(item, what=item.what.cut(self.first_us // 1000, missing))
            if type(item.what) in {SnapshotCompleted, AbsenceDue, Alive}:
                return None
        return item


class Channel:
    """A bounded queue of items between one reader and one writer.

    Args:
        high_water_bytes: above it frames lose their parsed form and reading is paused.
        limit_bytes: at it `put` refuses.
        pause, resume: called when reading should pause and may go on.
    """

    def __init__(
        self, high_water_bytes: int, limit_bytes: int, pause: Callable[[], None], resume: Callable[[], None]
    ) -> None:
        self._high, self._low, self._limit = high_water_bytes, high_water_bytes // 4, limit_bytes
        self._pause, self._resume = pause, resume
        self._items: deque[Item] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._enough_bytes = 0
        self._paused = self._tired = False
        self._timer: asyncio.TimerHandle | None = None
        self.bytes = 0
        self.most_bytes = 0

    def put(self, item: Item) -> bool:
        """Append without waiting; False if the limit is reached and the item was not taken."""
        if type(item) is Frame:
            if self._items and self.bytes + _size(item) > self._high:
                item.messages = None
            waiting = self.bytes + _size(item)
            if waiting > self._limit and self.bytes:
                return False
            self.bytes = waiting
            if waiting > self._high and not self._paused and not self._tired:
                self._ask_to_pause()
        self._items.append(item)
        if self._waiter is not None and self.bytes >= self._enough_bytes:
            self.wake()
        return True

    def take(self, most_bytes: int) -> list[Item]:
        """Items in order, whole frames, until `most_bytes` of them are taken (at least one if there is any).

        A completed snapshot is taken alone.
        """
        items, taken = self._items, 0
        taking: list[Item] = []
        while items and taken < most_bytes:
            item = items[0]
            if type(item) is Frame:
                taken += _size(item)
            elif taking and self.alone:
                break
            taking.append(items.popleft())
            if type(item) is Note and type(item.what) is SnapshotCompleted:
                break
        self.most_bytes = max(self.most_bytes, self.bytes)
        self.bytes -= taken
        if self.bytes <= self._low:
            self._tired = False
            self._let_go()
        return taking

    @property
    def alone(self) -> bool:
        """Whether what comes next is a completed snapshot: it is certified, so nothing may be on its way then."""
        if not self._items:
            return False
        item = self._items[0]
        return type(item) is Note and type(item.what) is SnapshotCompleted

    async def wait(self, timeout_s: float, enough_bytes: int = 0) -> bool:
        """Wait until there is something to take, and as much as that; False if it did not come in time."""
        if not self._has(enough_bytes):
            loop = asyncio.get_running_loop()
            self._enough_bytes, self._waiter = enough_bytes, loop.create_future()
            timer = loop.call_later(timeout_s, self.wake)
            try:
                await self._waiter
            finally:
                timer.cancel()
                self._waiter = None
        return self._has(enough_bytes)

    def wake(self) -> None:
        """End a wait before its time."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _has(self, enough_bytes: int) -> bool:
        return bool(self._items) and self.bytes >= enough_bytes

    def drop(self) -> Dropped:
        """Throw away the frames that wait (the session was given up), and what was noted of snapshots among them.

        Notes before the first of these frames stay, and so does all that must be told: that sessions began and ended,
        now with what is missing of them.
        """
        dropped = Dropped(bytes=self.bytes)
        self._items = deque(kept for item in self._items if (kept := dropped.without(item)) is not None)
        self.bytes = 0
        self._tired = False
        self._let_go()
        return dropped

    def __len__(self) -> int:
        """Items that wait."""
        return len(self._items)

    def _ask_to_pause(self) -> None:
        self._paused = True
        self._timer = asyncio.get_running_loop().call_later(LONGEST_PAUSE_S, self._give_up_pausing)
        self._pause()

    def _give_up_pausing(self) -> None:
        """The server must not be kept waiting for long; go on reading, and do not pause again until it is drained."""
        self._tired = True
        self._let_go()

    def _let_go(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._paused:
            self._paused = False
            self._resume()


def _size(frame: Frame) -> int:
    weight = 1 if frame.messages is None else PARSED_WEIGHT
    return FRAME_OVERHEAD_BYTES + weight * len(frame.raw)
