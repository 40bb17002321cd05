"""Files of the spool, on a real disk."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bridge.shard import segments as module
from bridge.shard.segments import Segments


@pytest.fixture
def segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Segments]:
    """Files of 100 bytes."""
    monkeypatch.setattr(module, "LEAST_BYTES", 100)
    made = Segments(tmp_path, 100)
    yield made
    made.clear()


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """What a full disk looks like: part of a write succeeds, the rest fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_blocks_come_back_and_files_have_no_name(segments: Segments, tmp_path: Path) -> None:
    blocks = [bytes([n]) * (30 + n) for n in range(20)]
    places = [segments.write(block) for block in blocks]
    assert len({place.segment for place in places}) > 3
    assert list(tmp_path.iterdir()) == []
    assert [segments.read(place) for place in places] == blocks


def test_the_room_of_a_file_that_was_read_is_given_back(segments: Segments) -> None:
    places = [segments.write(bytes(60)) for _ in range(20)]
    files = [segment.file for segment in segments._files.values()]
    assert [file.closed for file in files] == [False] * 10
    for place in places[:10]:
        segments.read(place)
    assert [file.closed for file in files] == [True] * 5 + [False] * 5
    for place in places[10:]:
        segments.release(place)
    assert [file.closed for file in files] == [True] * 10
    segments.release(places[0])


def test_clear_gives_everything_back_and_old_places_are_no_longer_known(segments: Segments) -> None:
    old = segments.write(b"old")
    segments.clear()
    new = segments.write(b"new")
    segments.release(old)
    assert segments.read(new) == b"new"


def test_bytes_that_were_changed_or_lost_are_noticed(segments: Segments) -> None:
    changed, lost = segments.write(b"changed"), segments.write(b"lost")
    (segment,) = segments._files.values()
    os.pwrite(segment.file.fileno(), b"?", changed.offset)
    with pytest.raises(OSError, match="others than were written"):
        segments.read(changed)
    os.ftruncate(segment.file.fileno(), lost.offset + 1)
    with pytest.raises(OSError, match="1 of 4 bytes"):
        segments.read(lost)


def test_a_full_disk_is_an_error_and_the_next_block_overwrites_what_was_left(segments: Segments) -> None:
    first = segments.write(b"1" * 40)
    with no_file_larger_than(60), pytest.raises(OSError, match="File too large"):
        segments.write(b"2" * 40)
    third = segments.write(b"3" * 40)
    assert (segments.read(first), segments.read(third)) == (b"1" * 40, b"3" * 40)


def test_a_folder_that_is_not_there_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Segments(tmp_path / "none", 1000).probe()
    Segments(tmp_path, 1000).probe()


def test_closed_segments_take_nothing(segments: Segments) -> None:
    segments.close()
    with pytest.raises(OSError, match="closed"):
        segments.write(b"late")
