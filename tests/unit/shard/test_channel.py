"""Limits, order, pausing. The event loop's clock is the test's own, so nothing here waits."""

from __future__ import annotations

import asyncio

import pytest

from bridge.shard.channel import FRAME_OVERHEAD_BYTES, HELD_BYTES, LONGEST_PAUSE_S, PARSED_WEIGHT, Channel, Dropped
from bridge.shard.notes import AbsenceDue, Alive, Frame, Item, Note, SessionEnded, SessionOpened, SnapshotCompleted

HIGH, LIMIT = 100_000, 1_000_000


async def later(seconds: float) -> None:
    """Set the loop's clock forward, and let everything run that is due then."""
    loop = asyncio.get_running_loop()
    now = loop.time
    loop.time = lambda: now() + seconds  # type: ignore[method-assign]
    for _ in range(3):
        await asyncio.sleep(0)


class Reading:
    """A socket that can be told to pause, and counts how often."""

    def __init__(self, high: int = HIGH, limit: int = LIMIT) -> None:
        self.said: list[str] = []
        self.channel = Channel(high, limit, lambda: self.said.append("pause"), lambda: self.said.append("resume"))


def frame(size: int = 1000, number: int = 1, *, parsed: bool = True, arrived_ms: int = 0) -> Frame:
    return Frame(number, b"a" * size, [{}] if parsed else None, arrived_ms * 1000)


def weight(item: Frame) -> int:
    return FRAME_OVERHEAD_BYTES + len(item.raw) * (1 if item.messages is None else PARSED_WEIGHT)


NOTE = Note(Alive(), 5)


async def test_items_come_out_in_order() -> None:
    channel = Reading().channel
    items: list[Item] = [frame(number=1), NOTE, frame(number=2), NOTE, frame(number=3)]
    assert all(channel.put(item) for item in items)
    assert len(channel) == 5
    assert channel.take(HIGH) == items
    assert (len(channel), channel.bytes, channel.take(HIGH)) == (0, 0, [])


async def test_take_stops_after_enough_bytes_but_never_within_a_frame() -> None:
    channel = Reading().channel
    for number in range(5):
        channel.put(frame(number=number))
    taken = channel.take(len(frame().raw) + 1)
    assert [item.number for item in taken if isinstance(item, Frame)] == [0, 1]
    assert channel.bytes == 3 * weight(frame())
    assert len(channel.take(1)) == 1


async def test_frames_beyond_the_high_water_mark_keep_only_their_bytes() -> None:
    channel = Reading().channel
    first, second, third = frame(10_000), frame(10_000), frame(10_000)
    for each in (first, second, third):
        assert channel.put(each)
    assert first.messages is not None
    assert second.messages is None
    assert third.messages is None
    assert channel.bytes == weight(first) + weight(second) + weight(third)


async def test_a_frame_alone_keeps_its_parsed_form_however_large() -> None:
    channel = Reading().channel
    large = frame(LIMIT)
    assert channel.put(large)
    assert large.messages is not None


async def test_what_waits_parsed_gives_its_room_to_others() -> None:
    """Else a snapshot whose first part takes the room eight times could never be taken."""
    channel = Reading().channel
    large, next_, last = frame(LIMIT // 3, 1), frame(LIMIT // 3, 2), frame(LIMIT // 2, 3)
    assert channel.put(large)
    assert channel.bytes > LIMIT
    assert channel.put(next_)
    assert (large.messages, next_.messages) == (None, None)
    assert channel.bytes == weight(large) + weight(next_) <= LIMIT
    assert not channel.put(last)
    assert channel.take(LIMIT) == [large, next_]
    assert channel.bytes == 0


async def test_at_the_limit_frames_are_refused_and_notes_are_not() -> None:
    channel = Reading().channel
    assert channel.put(frame(LIMIT // 2, parsed=False))
    assert channel.put(frame(LIMIT // 2 - 2 * FRAME_OVERHEAD_BYTES, parsed=False))
    assert channel.bytes == LIMIT
    before = len(channel)
    assert not channel.put(frame(1, parsed=False))
    assert (channel.bytes, len(channel)) == (LIMIT, before)
    assert channel.put(NOTE)


async def test_after_taking_there_is_room_again() -> None:
    channel = Reading().channel
    channel.put(frame(LIMIT - FRAME_OVERHEAD_BYTES, parsed=False))
    assert not channel.put(frame())
    channel.take(1)
    assert channel.put(frame())


async def test_above_the_mark_reading_pauses_and_resumes_when_drained_to_a_quarter() -> None:
    reading = Reading()
    for _ in range(20):
        reading.channel.put(frame(10_000, parsed=False))
    assert reading.said == ["pause"]
    while reading.channel.bytes > HIGH // 4:
        assert reading.said == ["pause"]
        reading.channel.take(1)
    assert reading.said == ["pause", "resume"]


async def test_while_much_is_put_together_nothing_is_read() -> None:
    reading = Reading()
    reading.channel.put(frame(10))
    with reading.channel.held_back():
        assert reading.said == []
    reading.channel.put(frame(HELD_BYTES, parsed=False))
    with reading.channel.held_back():
        assert reading.said == ["pause"]
        reading.channel.take(HIGH)
    assert reading.said == ["pause", "resume"]


async def test_pauses_for_two_reasons_are_one() -> None:
    reading = Reading()
    reading.channel.put(frame(HIGH, parsed=False))
    with reading.channel.held_back():
        reading.channel.put(frame(HIGH, parsed=False))
        assert reading.said == ["pause"]
    assert reading.said == ["pause"], "too much waits"
    with reading.channel.held_back():
        while reading.channel.take(1):
            pass
        assert reading.said == ["pause"]
    assert reading.said == ["pause", "resume"]
    with pytest.raises(KeyError):
        hold_and_fail(reading.channel)
    assert reading.said == ["pause", "resume", "pause", "resume"]


def hold_and_fail(channel: Channel) -> None:
    channel.put(frame(HELD_BYTES, parsed=False))
    with channel.held_back():
        raise KeyError


async def test_a_pause_never_lasts_longer_than_the_server_tolerates() -> None:
    reading = Reading()
    reading.channel.put(frame(HIGH))
    await later(LONGEST_PAUSE_S - 0.1)
    assert reading.said == ["pause"]
    await later(0.11)
    assert reading.said == ["pause", "resume"]


async def test_after_giving_up_no_new_pause_until_it_was_drained() -> None:
    reading = Reading()
    reading.channel.put(frame(HIGH, parsed=False))
    await later(LONGEST_PAUSE_S)
    reading.channel.put(frame(HIGH, parsed=False))
    reading.channel.take(1)
    reading.channel.put(frame(HIGH, parsed=False))
    assert reading.said == ["pause", "resume"]
    while reading.channel.take(1):
        pass
    reading.channel.put(frame(HIGH))
    assert reading.said == ["pause", "resume", "pause"]


async def test_resuming_in_time_disarms_the_timer() -> None:
    reading = Reading()
    reading.channel.put(frame(HIGH))
    reading.channel.take(1)
    await later(10 * LONGEST_PAUSE_S)
    assert reading.said == ["pause", "resume"]


def ended(alive_ms: int, dropped: int = 0) -> SessionEnded:
    return SessionEnded("idle", None, "", alive_ms, dropped)


async def test_drop_takes_the_frames_and_lets_reading_go_on() -> None:
    reading = Reading()
    for item in (frame(HIGH), frame(10)):
        reading.channel.put(item)
    size = reading.channel.bytes
    dropped = reading.channel.drop()
    assert (dropped.frames, dropped.bytes, dropped.latest) == (2, size, 2)
    assert (len(reading.channel), reading.channel.bytes) == (0, 0)
    assert reading.said == ["pause", "resume"]
    assert not await reading.channel.wait(0)


async def test_a_completed_snapshot_is_taken_alone() -> None:
    channel = Reading().channel
    items: list[Item] = [frame(), NOTE, Note(SnapshotCompleted(), 1), frame()]
    for item in items:
        channel.put(item)
    assert not channel.alone
    assert channel.take(HIGH) == items[:2]
    assert channel.alone
    assert channel.take(HIGH) == items[2:3]
    assert not channel.alone
    assert channel.take(HIGH) == items[3:]
    assert not channel.alone


async def test_drop_keeps_the_sessions_and_says_of_each_what_is_missing() -> None:
    channel = Reading().channel
    items: list[Item] = [
        Note(SnapshotCompleted(), 1),
        frame(arrived_ms=20),
        NOTE,
        frame(arrived_ms=30),
        Note(ended(40), 41),
        Note(SessionOpened(), 50),
        frame(arrived_ms=60),
        Note(SnapshotCompleted(), 70),
        Note(AbsenceDue(70), 80),
    ]
    for item in items:
        channel.put(item)
    dropped = channel.drop()
    assert (dropped.frames, dropped.latest, dropped.first_us) == (3, 1, 20_000)
    assert channel.take(HIGH) == [items[0]]
    assert channel.take(HIGH) == [Note(ended(20, 2), 41), items[5]]


async def test_drop_of_no_frame_changes_nothing() -> None:
    channel = Reading().channel
    items: list[Item] = [NOTE, Note(ended(40), 41), Note(SessionOpened(), 50)]
    for item in items:
        channel.put(item)
    assert channel.drop() == Dropped()
    assert channel.take(HIGH) == items


async def test_wait_returns_at_once_when_something_is_there() -> None:
    channel = Reading().channel
    channel.put(NOTE)
    assert await channel.wait(0)


async def test_wait_ends_when_something_comes() -> None:
    channel = Reading().channel
    waiting = asyncio.create_task(channel.wait(1000))
    await later(0)
    assert not waiting.done()
    channel.put(NOTE)
    assert await waiting


async def test_waiting_for_much_ends_when_so_much_has_come() -> None:
    channel = Reading().channel
    waiting = asyncio.create_task(channel.wait(1000, 2 * weight(frame())))
    for _ in range(2):
        await later(0)
        assert not waiting.done()
        channel.put(frame())
    assert await waiting


async def test_a_wait_can_be_ended_before_its_time() -> None:
    channel = Reading().channel
    channel.wake()
    waiting = asyncio.create_task(channel.wait(1000, weight(frame()) + 1))
    channel.put(frame())
    await later(0)
    assert not waiting.done()
    channel.wake()
    assert not await waiting
    assert await channel.wait(0)


async def test_wait_ends_without_anything_when_the_time_is_over() -> None:
    channel = Reading().channel
    waiting = asyncio.create_task(channel.wait(0.2))
    await later(0.1)
    assert not waiting.done()
    assert not await waiting


class Taker:
    """Takes every frame but number 2, and of unread ones all but the last."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.full = False

    @property
    def taken_bytes(self) -> int:
        return len(self.numbers) * weight(frame())

    def take(self, frame: Frame) -> bool:
        if frame.number == 2:
            return False
        self.numbers.append(frame.number)
        return True

    def take_unread(self, frames: list[bytes], start: int, number: int, arrived_us: int) -> int:  # noqa: ARG002
        taken = len(frames) - start - 1
        self.numbers += range(number, number + taken)
        return taken


async def test_a_frame_goes_straight_on_only_if_nothing_waits_before_it() -> None:
    channel, taker = Reading().channel, Taker()
    assert channel.put_straight([b"", b""], 0, 1, 1) == 0
    channel.straight = taker
    items: list[Item] = [frame(number=1), frame(number=2), frame(number=3), NOTE]
    assert all(channel.put(item) for item in items)
    assert taker.numbers == [1]
    assert channel.put_straight([b"", b""], 0, 4, 1) == 0
    assert channel.waiting_bytes == 3 * weight(frame())
    assert channel.take(HIGH) == items[1:]
    channel.put(frame(number=4))
    assert channel.put_straight([b"", b"", b"", b""], 1, 5, 1) == 2
    assert taker.numbers == [1, 4, 5, 6]
    assert channel.waiting_bytes == 4 * weight(frame())


async def test_while_nothing_more_goes_straight_nothing_is_read() -> None:
    reading, taker = Reading(), Taker()
    reading.channel.straight = taker
    reading.channel.put_straight([b"", b""], 0, 4, 1)
    assert reading.said == []
    taker.full = True
    for _ in range(2):
        reading.channel.put_straight([b"", b""], 0, 4, 1)
        assert reading.said == ["pause"]
    reading.channel.take(HIGH)
    assert reading.said == ["pause", "resume"]


async def test_nor_is_it_left_unread_for_longer_than_the_server_tolerates() -> None:
    reading, taker = Reading(), Taker()
    reading.channel.straight, taker.full = taker, True
    reading.channel.put_straight([b"", b""], 0, 4, 1)
    await later(LONGEST_PAUSE_S)
    assert reading.said == ["pause", "resume"]
    reading.channel.put_straight([b"", b""], 0, 4, 1)
    reading.channel.put(frame(2 * HIGH, number=2))
    assert reading.said == ["pause", "resume"], "until it has been drained"
    reading.channel.take(HIGH)
    reading.channel.put_straight([b"", b""], 0, 4, 1)
    assert reading.said == ["pause", "resume", "pause"]
