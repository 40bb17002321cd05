"""Between the socket and the writer: frames in order, bounded in bytes.

The reader puts without waiting (invariant 7); the writer takes whole frames, or each at once when nothing waits before
it (`straight`): what has just come is still in the processor's caches then. Up to the high-water mark frames keep
their parsed form; beyond it only their bytes, which are parsed again when their turn comes, because a parsed frame
takes several times the memory. The socket is asked to pause above the mark, and while no more can be taken straight,
because what is not read yet costs nothing; but never for more than half a second.
At the limit frames go to the spool on disk, if there is one, and all that comes then waits behind them; what is
there moves up as memory gets room. Without a spool, or when it is full too, the channel refuses, and the session must
be given up (docs/architecture.md, pressure).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from bridge.shard.delay import Delay
from bridge.shard.notes import AbsenceDue, Alive, Frame, Item, Note, SessionEnded, SnapshotCompleted
from bridge.shard.spool import Spool

FRAME_OVERHEAD_BYTES = 200
PARSED_WEIGHT = 8
"""Memory of a parsed frame in multiples of its bytes (measured on order events: 6 to 9)."""
LONGEST_PAUSE_S = 0.5
"""The server must not be kept waiting; and what is read afterwards is so late, see `chronicle.LATE_MS`."""
HELD_BYTES = 64 * 1024
"""From so much on it takes several turns to put together what waits."""
FULL = "more waits than pressure.memory_mb holds: Kafka is away or too slow, or a snapshot is larger than that"


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

    def miss(self, frames: int, first_us: int) -> None:
        """So many frames follow; the first of them arrived then, or later."""
        if frames:
            self.first_us = self.first_us or first_us
            self.frames += frames
            self.latest += frames

    def without(self, item: Item) -> Item | None:
        """What remains of an item that follows those seen so far."""
        if type(item) is Frame:
            self.miss(1, item.arrived_us)
            return None
        if self.frames and type(item) is Note:
            if type(item.what) is SessionEnded:
                missing, self.latest = self.latest, 0
                return replace(item, what=item.what.cut(self.first_us // 1000, missing))
            if type(item.what) in {SnapshotCompleted, AbsenceDue, Alive}:
                return None
        return item


class Straight(Protocol):
    """Takes frames before which nothing waits, as they arrive.

    Attributes:
        taken_bytes: of the frames that it has taken and that are not on their way to Kafka yet.
        full: whether it takes no more until these are on their way.
    """

    @property
    def taken_bytes(self) -> int: ...  # noqa: D102 - above

    @property
    def full(self) -> bool: ...  # noqa: D102 - above

    def take(self, frame: Frame) -> bool:
        """Take a frame, or say that it cannot."""

    def take_unread(self, frames: list[bytes], start: int, number: int, arrived_us: int) -> int:
        """Take frames from `start` on, the first of which has this number; how many, see `Listener.straight`."""


class Channel:
    """A bounded queue of items between one reader and one writer.

    Args:
        high_water_bytes: above it frames lose their parsed form, and reading is paused.
        limit_bytes: at it frames go to the spool, or `put` refuses.
        pause, resume: called when reading should pause and may go on.
        spool: where frames wait beyond the limit; None for nowhere.
        lost: told why, when frames that wait there cannot be had again: everything that waits must be dropped.

    Attributes:
        straight: takes frames before which nothing waits; None when nobody does.
    """

    def __init__(
        self,
        high_water_bytes: int,
        limit_bytes: int,
        pause: Callable[[], None],
        resume: Callable[[], None],
        spool: Spool | None = None,
        lost: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._high, self._low, self._limit = high_water_bytes, high_water_bytes // 4, limit_bytes
        self._room = limit_bytes  # below 0 while something is spooled, so that whatever comes takes the slow way
        self._pause, self._resume = pause, resume
        self._spool, self.lose = spool, lost
        self._items: deque[Item] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._enough_bytes = 0
        self.straight: Straight | None = None
        self._paused = self._tired = self._held = False
        self._end_of_pause = Delay(LONGEST_PAUSE_S, self._give_up_pausing)
        self.bytes = 0

    def put(self, item: Item) -> bool:
        """Append without waiting; False if the limit is reached and the item was not taken."""
        if type(item) is Frame:
            if self.straight is not None and not self._items and self._room >= 0 and self.straight.take(item):
                return True
            if self._items and self.bytes + weigh(item) > self._high:
                item.messages = None
            waiting = self.bytes + weigh(item)
            if waiting > self._room and (self.bytes or self._room < 0):
                if not self._make_room(item):
                    return self._put_aside(item)
                waiting = self.bytes + weigh(item)
            self.bytes = waiting
            if waiting > self._high:
                self._ask_to_pause()
        elif self._room < 0:
            return self._put_aside(item)
        self._items.append(item)
        if self._waiter is not None and self.bytes >= self._enough_bytes:
            self.wake()
        return True

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """Nothing is read in this block, if much waits: it must not last, but what is not read yet costs nothing."""
        self._held = self.bytes > HELD_BYTES
        if self._held and not self._paused:
            self._pause()
        try:
            yield
        finally:
            held, self._held = self._held, False
            if held and not self._paused:
                self._resume()

    def put_straight(self, frames: list[bytes], start: int, number: int, arrived_us: int) -> int:
        """Offer frames that nobody has read; how many were taken. For the others there is `put`; hot."""
        if self.straight is None or self._items or self._room < 0:
            return 0
        taken = self.straight.take_unread(frames, start, number, arrived_us)
        if self.straight.full:
            self._ask_to_pause()
        return taken

    def take(self, most_bytes: int) -> list[Item]:
        """Items in order, whole frames, until `most_bytes` of frames are taken (at least one if there is any).

        A completed snapshot is taken alone.
        """
        items, taken, weight = self._items, 0, 0
        taking: list[Item] = []
        while items and taken < most_bytes:
            item = items[0]
            if type(item) is Frame:
                taken += len(item.raw)
                weight += weigh(item)
            elif taking and self.alone:
                break
            taking.append(items.popleft())
            if type(item) is Note and type(item.what) is SnapshotCompleted:
                break
        self.bytes -= weight
        if self.bytes <= self._low:
            self._tired = False
            self._let_go()
        if self._room < 0:
            self._move_up()
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
        if self._spool is not None:
            dropped.bytes += self._spool.bytes
            for frames, first_us, note in self._spool.clear():
                dropped.miss(frames, first_us)
                if note is not None and (kept := dropped.without(note)) is not None:
                    self._items.append(kept)
        self.bytes, self._room = 0, self._limit
        self._tired = False
        self._let_go()
        return dropped

    def __len__(self) -> int:
        """Items that wait."""
        return len(self._items) + (len(self._spool) if self._room < 0 and self._spool is not None else 0)

    @property
    def waiting_bytes(self) -> int:
        """What has arrived and is not on its way to Kafka yet."""
        return self.bytes + (0 if self.straight is None else self.straight.taken_bytes)

    @property
    def refusal(self) -> str:
        """Why the latest frame was refused."""
        return FULL if self._spool is None else self._spool.refusal

    def close(self) -> None:
        """Nothing will be put or taken any more."""
        if self._spool is not None:
            self._spool.close()

    def deliver(self, items: list[Item]) -> None:
        """What was spooled is in memory again, behind all that is there."""
        self._items.extend(items)
        self.bytes += sum(weigh(item) for item in items if type(item) is Frame)
        if self._waiter is not None and self.bytes >= self._enough_bytes:
            self.wake()
        self._move_up()

    def _make_room(self, item: Frame) -> bool:
        """Keep nothing parsed that waits, as the first part of a large snapshot may be; whether there is room then."""
        if self._room < 0:
            return False
        item.messages = None
        for each in self._items:
            if type(each) is Frame:
                each.messages = None
        self.bytes = sum(weigh(each) for each in self._items if type(each) is Frame)
        return self.bytes + weigh(item) <= self._room

    def _put_aside(self, item: Item) -> bool:
        if type(item) is Frame:
            item.messages = None
        if self._spool is None or not self._spool.put(item):
            return False
        self._room = -1
        return True

    def _move_up(self) -> None:
        """Get more from the spool while memory is half empty."""
        if self._spool is None or not self._spool.active:
            self._room = self._limit
        elif self.bytes <= self._limit // 2:
            self._spool.fetch(self)

    def _ask_to_pause(self) -> None:
        if self._paused or self._tired:
            return
        self._paused = True
        self._end_of_pause.begin()
        if not self._held:
            self._pause()

    def _give_up_pausing(self) -> None:
        """The server must not be kept waiting for long; go on reading, and do not pause again until it is drained."""
        self._tired = True
        self._let_go()

    def _let_go(self) -> None:
        self._end_of_pause.forget()
        if self._paused:
            self._paused = False
            if not self._held:
                self._resume()


def weigh(frame: Frame) -> int:
    """The memory that a frame is taken to need, bytes."""
    weight = 1 if frame.messages is None else PARSED_WEIGHT
    return FRAME_OVERHEAD_BYTES + weight * len(frame.raw)
