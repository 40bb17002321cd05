"""A channel that goes on on disk when memory is full."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import structlog

from bridge.shard.blocks import RECORD_BYTES, Place
from bridge.shard.channel import FRAME_OVERHEAD_BYTES, FULL, Channel
from bridge.shard.notes import Alive, Frame, Item, Note, SessionEnded, SessionOpened, SnapshotCompleted
from bridge.shard.segments import Segments
from bridge.shard.spool import MOST_UNWRITTEN_BYTES, Spool
from bridge.shard.stats import ShardStats
from tests.unit.shard.test_segments import no_file_larger_than

MEMORY, DISK, BLOCK = 10_000, 100_000, 3_000
DEADLINE_S = 30.0
NOTE = Note(Alive(), 5)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - a thread is at work
            await asyncio.sleep(0.001)


class Slow(Segments):
    """A disk that can be held up."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        super().__init__(folder, limit_bytes)
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.reads = self.writes = 0

    def write(self, data: bytes) -> Place:
        self.goes_on.wait()
        place = super().write(data)
        self.writes += 1
        return place

    def read(self, place: Place) -> bytes:
        self.goes_on.wait()
        self.reads += 1
        return super().read(place)


class Scene:
    """A channel with a spool and its only user."""

    def __init__(self, folder: Path, memory: int = MEMORY, disk: int = DISK, block: int = BLOCK) -> None:
        self.disk, self.stats = Slow(folder, disk), ShardStats(0)
        self.said: list[str] = []
        self.log = structlog.testing.LogCapture()
        logger = structlog.wrap_logger(None, processors=[self.log])
        self.spool = Spool(self.disk, disk, self.stats, logger, block)
        self.channel = Channel(memory // 2, memory, lambda: None, lambda: None, self.spool, self.said.append)
        self.number = 0

    def frame(self, size: int = 500) -> Frame:
        self.number += 1
        return Frame(self.number, b"%06d" % self.number + b"." * (size - 6), None, self.number * 1000)

    def fill(self, frames: int, size: int = 500) -> list[Item]:
        made: list[Item] = [self.frame(size) for _ in range(frames)]
        assert all(self.channel.put(item) for item in made)
        return made

    def fill_memory(self) -> list[Item]:
        made = self.fill(MEMORY // (500 + FRAME_OVERHEAD_BYTES))
        assert not self.spool.active
        return made

    async def taken(self, items: int) -> list[Item]:
        """That many, as a writer takes them."""
        found: list[Item] = []
        async with asyncio.timeout(DEADLINE_S):
            while len(found) < items:
                await self.channel.wait(1.0)
                found += self.channel.take(MEMORY // 4)
                assert self.channel.bytes <= MEMORY + BLOCK * 2
        return found

    async def on_disk(self, blocks: int) -> None:
        """Wait until the spool knows that so many blocks need no memory any more."""
        await until(lambda: sum(block.place is not None for block in self.spool._blocks) >= blocks)

    def events(self) -> list[str]:
        return [entry["event"] for entry in self.log.entries]


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.disk.goes_on.set()
    made.channel.close()


async def test_frames_and_notes_beyond_memory_come_back_in_order_from_disk(scene: Scene, tmp_path: Path) -> None:
    items = scene.fill_memory()
    for n in range(100):
        items += scene.fill(1)
        if n % 7 == 0:
            note = Note(SessionOpened(), n)
            assert scene.channel.put(note)
            items.append(note)
    assert len(scene.channel) == len(items)
    await scene.on_disk(11)
    assert scene.stats.spooled_bytes == scene.spool.bytes == 100 * (500 + RECORD_BYTES)
    assert await scene.taken(len(items)) == items
    assert scene.disk.reads > 10
    assert (len(scene.channel), scene.channel.bytes, scene.spool.active, scene.stats.spooled_bytes) == (0, 0, False, 0)
    assert (scene.stats.spills, scene.stats.spooled_frames) == (1, 100)
    assert scene.events() == ["spool_began", "spool_ended"]
    scene.fill(2)
    assert not scene.spool.active
    assert scene.said == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_is_put_comes_out_once_and_in_order(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    scene = Scene(tmp_path, block=chance.choice([1, 800, BLOCK]))
    put: list[Item] = []
    got: list[Item] = []
    for _ in range(600):
        what = chance.random()
        if what < 0.75:
            item: Item = scene.frame(chance.randrange(6, 900))
            if scene.channel.put(item):
                put.append(item)
        elif what < 0.8:
            note = Note(SessionOpened() if chance.random() < 0.5 else SnapshotCompleted(), len(put))
            assert scene.channel.put(note)
            put.append(note)
        elif what < 0.9:
            got += scene.channel.take(chance.randrange(1, 5000))
        else:
            await asyncio.sleep(0)
    async with asyncio.timeout(DEADLINE_S):
        while len(scene.channel):
            await scene.channel.wait(1.0)
            got += scene.channel.take(4000)
    assert got == put
    assert scene.stats.spooled_frames > 50
    scene.channel.close()


async def test_what_is_parsed_is_not_kept_for_frames_that_are_spooled(scene: Scene) -> None:
    scene.fill_memory()
    frame = Frame(1, b"a" * 500, [{}], 1)
    assert scene.channel.put(frame)
    assert frame.messages is None


async def test_at_the_limit_of_the_disk_frames_are_refused_and_notes_are_not(scene: Scene) -> None:
    scene.fill_memory()
    while scene.channel.put(scene.frame()):
        pass
    assert DISK - 1000 < scene.spool.bytes <= DISK
    assert scene.channel.put(NOTE)
    assert "pressure.memory_mb and spool_mb hold" in scene.channel.refusal


async def test_without_a_spool_the_reason_names_the_memory() -> None:
    channel = Channel(10, 10, lambda: None, lambda: None)
    channel.put(Frame(1, b"12345", None, 1))
    assert not channel.put(Frame(2, b"12345", None, 1))
    assert channel.refusal == FULL
    channel.close()


async def test_drop_tells_what_was_on_disk_and_keeps_the_sessions(scene: Scene) -> None:
    ended = SessionEnded("idle", None, "", 10**9)
    scene.fill_memory()
    first = scene.number
    scene.fill(30)
    assert scene.channel.put(Note(ended, 41))
    assert scene.channel.put(Note(SessionOpened(), 50))
    scene.fill(20)
    await scene.on_disk(5)
    waiting = scene.channel.bytes + scene.spool.bytes
    dropped = scene.channel.drop()
    assert (dropped.frames, dropped.latest, dropped.first_us, dropped.bytes) == (first + 50, 20, 1000, waiting)
    assert (len(scene.channel), scene.channel.bytes, scene.stats.spooled_bytes) == (2, 0, 0)
    assert scene.channel.take(MEMORY) == [Note(ended.cut(1, first + 30), 41), Note(SessionOpened(), 50)]
    items = scene.fill_memory() + scene.fill(30)
    assert await scene.taken(len(items)) == items
    assert scene.log.entries[1] == {"event": "spool_ended", "how": "dropped", "frames": 50, "log_level": "info"}


async def test_what_was_being_read_when_all_was_dropped_does_not_come_back(scene: Scene) -> None:
    scene.fill_memory()
    scene.fill(30)
    await scene.on_disk(4)
    scene.disk.goes_on.clear()
    scene.channel.take(MEMORY)
    scene.channel.drop()
    scene.disk.goes_on.set()
    await until(lambda: scene.disk.reads == 1)
    items = scene.fill_memory() + scene.fill(30)
    assert await scene.taken(len(items)) == items


async def test_a_disk_that_is_slow_holds_nobody_up_and_memory_stays_bounded(tmp_path: Path) -> None:
    scene = Scene(tmp_path, disk=100 * MOST_UNWRITTEN_BYTES, block=MOST_UNWRITTEN_BYTES // 8)
    scene.disk.goes_on.clear()
    items = scene.fill_memory()
    while scene.channel.put(frame := scene.frame(200_000)):
        items.append(frame)
    assert MOST_UNWRITTEN_BYTES < scene.spool.bytes < 1.3 * MOST_UNWRITTEN_BYTES
    assert "and the disk of pressure.spool_path as well" in scene.channel.refusal
    scene.disk.goes_on.set()
    found: list[Item] = []
    while len(found) < len(items):
        assert await scene.channel.wait(DEADLINE_S)
        found += scene.channel.take(MEMORY)
    assert found == items
    scene.channel.close()


async def test_a_disk_that_is_full_is_said_once_and_costs_nothing_of_what_was_taken(scene: Scene) -> None:
    items = scene.fill_memory()
    with no_file_larger_than(2 * BLOCK):
        items += scene.fill(5 * BLOCK // 500)
        await until(lambda: scene.stats.spool_failures == 1)
        assert not scene.channel.put(scene.frame())
    assert "pressure.spool_path failed" in scene.channel.refusal
    assert "File too large" in scene.channel.refusal
    assert scene.stats.spool_failures == 1
    assert scene.events() == ["spool_began", "spool_failed"]
    assert await scene.taken(len(items)) == items
    assert scene.events()[-1] == "spool_ended"
    more = scene.fill_memory() + scene.fill(30)
    assert await scene.taken(len(more)) == more
    assert scene.stats.spool_failures == 1


@pytest.mark.parametrize("trouble", ["changed", "cut"])
async def test_frames_that_cannot_be_read_back_are_told(scene: Scene, trouble: str) -> None:
    items = scene.fill_memory()
    scene.fill(30)
    await scene.on_disk(5)
    for segment in scene.disk._files.values():
        if trouble == "cut":
            segment.file.truncate(10)
        else:
            segment.file.seek(0)
            segment.file.write(b"?")
    assert await scene.taken(len(items)) == items
    await until(lambda: bool(scene.said))
    assert "cannot be read back" in scene.said[0]
    assert scene.channel.drop().frames == 30
    assert scene.stats.spool_failures == 1


async def test_closing_ends_the_thread_and_gives_the_disk_back(scene: Scene) -> None:
    scene.fill_memory()
    scene.disk.goes_on.clear()
    scene.fill(40)
    scene.channel.close()
    scene.disk.goes_on.set()
    await until(lambda: not scene.disk._files)
    await asyncio.sleep(0)
    assert "spool_failed" not in scene.events()


def test_a_spool_that_was_never_used_makes_no_thread(tmp_path: Path) -> None:
    logger: Any = None
    before = threading.active_count()
    Spool(Segments(tmp_path, 1), 1, ShardStats(0), logger).close()
    assert threading.active_count() == before
