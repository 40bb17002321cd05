"""A shard whose Kafka does not answer, with a spool: nothing is lost until that is full or its disk fails."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import orjson
import pytest

from bridge.app.pressure import spool
from bridge.entities import schemas
from bridge.errors import ConfigurationError
from bridge.shard import writer
from bridge.shard.blocks import Place
from bridge.shard.segments import Segments
from bridge.shard.stats import ShardStats
from tests.component.shard.conftest import Start, decoded
from tests.component.shard.instance import Instance, settings_of
from tests.component.shard.partition import Partition, PartitionLog
from tests.component.shard.test_ownership import events, order, published, told

MEMORY, SPOOLED = 2**20, 2**20
FRAME_BYTES = 2_000
FITS = 900
"""Frames that find room in 1 MiB of memory and 1 MiB on disk."""
TOO_MANY = 1_500


@pytest.fixture
async def pressed(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Instance, PartitionLog]:
    """Its writer takes little ahead, else the frames of these tests would hardly wait in the channel."""
    monkeypatch.setattr(writer, "MOST_BYTES", 64 * 1024)
    pressure: dict[str, Any] = {"high_water_kb": 64, "memory_mb": 1, "spool_path": tmp_path, "spool_mb": 1}
    return start(settings=settings_of("127.0.0.1:1", "p", "exactly_once", pressure=pressure))


async def away(only: Instance, log: PartitionLog, partition: Partition) -> asyncio.Event:
    """Kafka takes a snapshot, and then no more until the event is set."""
    only.desk.snapshot(order(1))
    await only.until(lambda: ("snapshot_completed", None) in events(partition))
    held = log.commits + 1
    back = log.held[held] = asyncio.Event()
    only.desk.live(order(2))
    await only.until(lambda: log.commits == held)
    return back


def event(entity: dict[str, Any]) -> bytes:
    data = {"entityType": "order", "eventType": "Updated", "entity": entity}
    return b"a" + orjson.dumps([{"e": "props", "d": data}])


def flood(only: Instance, frames: int) -> None:
    for number in range(3, frames + 3):
        only.desk.live({**order(number), "text": "x" * FRAME_BYTES})


async def test_what_memory_does_not_hold_waits_on_disk_and_is_published_in_order(
    pressed: tuple[Instance, PartitionLog], partition: Partition
) -> None:
    only, log = pressed
    back = await away(only, log, partition)
    flood(only, FITS)
    await only.until(lambda: only.runner.stats.spooled_frames > FITS / 4)
    back.set()
    await only.published(FITS + 2)
    found = decoded(partition, "order", schemas.envelope_schema("order"))
    assert [(e["source"]["seq"], e["after"]["id"]) for e in found] == [(n, n) for n in range(1, FITS + 3)]
    stats = only.runner.stats
    assert (stats.spills, stats.spool_failures, stats.spooled_bytes) == (1, 0, 0)
    assert (stats.sessions, stats.lost.total()) == (1, 0)
    await only.stop()


async def test_others_run_while_a_slow_disk_gives_nothing_back(
    pressed: tuple[Instance, PartitionLog], partition: Partition, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was in memory is written, and the rest is waited for without turning in a circle."""
    only, log = pressed
    back = await away(only, log, partition)
    flood(only, FITS)
    await only.until(lambda: only.runner.stats.spooled_frames > FITS / 4)
    disk, read = threading.Event(), Segments.read

    def slowly(segments: Segments, place: Place) -> bytes:
        disk.wait()
        return read(segments, place)

    monkeypatch.setattr(Segments, "read", slowly)
    back.set()
    await only.until(lambda: only.runner._channel.bytes == 0)
    assert only.runner.stats.spooled_bytes > 0
    disk.set()
    await only.published(FITS + 2)
    await only.stop()


async def given_up(only: Instance, partition: Partition, back: asyncio.Event) -> int:
    """The session ends, a new one begins, and the gap is told; gives how many frames were dropped."""
    await only.until(lambda: only.runner.stats.lost["overflow"] == 1)
    never_came = only.desk.lose()
    back.set()
    only.desk.snapshot(order(1))
    await only.until(lambda: ("gap", "overflow") in events(partition))
    written = len(published(partition))
    assert [seq for seq, _, _ in published(partition)] == list(range(1, written + 1))
    (lost,) = [e for e in told(partition) if e["event"] == "session_lost"]
    dropped: int = lost["counts"]["dropped_frames"]
    assert dropped == TOO_MANY + 2 - written - never_came
    assert only.runner.stats.spooled_bytes == 0
    return dropped


async def test_beyond_memory_and_disk_the_session_is_given_up(
    pressed: tuple[Instance, PartitionLog], partition: Partition
) -> None:
    only, log = pressed
    back = await away(only, log, partition)
    flood(only, TOO_MANY)
    assert await given_up(only, partition, back) > (MEMORY + SPOOLED) / (FRAME_BYTES + 500)
    assert only.runner.stats.spool_failures == 0
    await only.stop()


async def test_what_follows_in_the_same_read_on_a_frame_without_room_belongs_to_no_session(
    pressed: tuple[Instance, PartitionLog], partition: Partition
) -> None:
    only, log = pressed
    back = await away(only, log, partition)
    frames = [event({**order(number), "text": "x" * FRAME_BYTES}) for number in range(3, TOO_MANY + 3)]
    only.desk.read(*frames[:50])  # fills the next transaction
    only.desk.read(*frames[50:])
    await only.until(lambda: only.runner.stats.lost["overflow"] == 1)
    back.set()
    only.desk.snapshot(order(1))
    await only.until(lambda: ("gap", "overflow") in events(partition))
    written = published(partition)
    assert [seq for seq, _, _ in written] == list(range(1, len(written) + 1))
    (lost,) = [e for e in told(partition) if e["event"] == "session_lost"]
    assert only.desk.taken[0] == 50
    assert FITS < sum(only.desk.taken) < TOO_MANY
    assert lost["counts"]["dropped_frames"] == sum(only.desk.taken) + 2 - len(written)
    await only.stop()


async def test_a_full_disk_under_the_spool_is_said_and_survived(
    pressed: tuple[Instance, PartitionLog], partition: Partition, tmp_path: Path
) -> None:
    """Here it is not full but gone; to the spool every error is the same."""
    only, log = pressed
    back = await away(only, log, partition)
    tmp_path.rmdir()
    flood(only, TOO_MANY // 2)
    await only.until(lambda: only.runner.stats.spool_failures == 1)
    assert only.runner.stats.lost.total() == 0
    flood(only, TOO_MANY - TOO_MANY // 2)
    await given_up(only, partition, back)
    (lost,) = [e for e in told(partition) if e["event"] == "session_lost"]
    assert "pressure.spool_path failed (FileNotFoundError" in lost["reason"]
    await only.stop()


async def test_frames_that_do_not_come_back_from_disk_cost_the_session_and_no_more(
    pressed: tuple[Instance, PartitionLog], partition: Partition
) -> None:
    only, log = pressed
    back = await away(only, log, partition)
    flood(only, TOO_MANY // 2)
    await only.until(lambda: only.runner.stats.spooled_frames > TOO_MANY / 8)
    waiting = only.runner._channel._spool
    assert waiting is not None
    await only.until(lambda: all(b.place or not b.sealed for b in waiting._blocks))
    for segment in waiting._segments._files.values():
        segment.file.truncate(0)
    back.set()
    await only.until(lambda: only.runner.stats.lost["overflow"] == 1)
    only.desk.lose()
    only.desk.snapshot(order(1))
    await only.until(lambda: ("gap", "overflow") in events(partition))
    assert only.runner.stats.spool_failures == 1
    (lost,) = [e for e in told(partition) if e["event"] == "session_lost"]
    assert "cannot be read back" in lost["reason"]
    await only.stop()


def test_a_folder_that_cannot_be_used_is_said_at_start(tmp_path: Path) -> None:
    settings = settings_of("127.0.0.1:1", "p", "exactly_once", pressure={"spool_path": tmp_path / "none"})
    with pytest.raises(
        ConfigurationError, match=r"pressure.spool_path: no file can be written in .*none: No such file"
    ):
        spool(settings, ShardStats(0), None)  # type: ignore[arg-type] # nothing is logged before it is used
