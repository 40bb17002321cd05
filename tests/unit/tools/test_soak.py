"""What the soak makes of its samples."""

from __future__ import annotations

from collections.abc import Callable
from xml.etree import ElementTree as ET

import pytest

from bridge.oracle.records import Record, Source
from tests.soak.flat import Sample, grows, growth, picture, table
from tests.soak.right import Present


def samples(rss: Callable[[int], float], tasks: Callable[[int], int] = lambda _: 30, count: int = 100) -> list[Sample]:
    return [Sample(2.0 * n, 1, rss(n), 40, 3, tasks(n), n, 0) for n in range(count)]


def test_what_stays_is_flat_however_it_began() -> None:
    found = growth(samples(lambda n: 50 + min(n, 20) + n % 5))
    assert grows(found) == []
    assert (found["rss_mb_first"], found["rss_mb_last"], found["rss_mb_most"]) == (72, 72, 74)


def test_what_grows_is_found() -> None:
    found = growth(samples(lambda n: 80 + n, lambda n: n))
    assert grows(found) == ["memory", "tasks"]
    assert found["rss_mb_an_hour"] == 1800


def test_few_samples_say_nothing() -> None:
    with pytest.raises(ValueError, match="too few"):
        growth(samples(lambda _: 80.0, count=20))


def test_samples_and_picture_can_be_read() -> None:
    some = samples(lambda n: 80 + n, count=3)
    assert table(some).splitlines()[1] == "0.0,1,80,40,3,30,0,0"
    drawn = ET.fromstring(picture(some, [(1.0, "drop")]))  # noqa: S314 - our own
    assert [len(drawn.findall(f"{{*}}{what}")) for what in ("polyline", "line", "text")] == [1, 1, 2]


def record(number: int, seq: int, after: bytes | None) -> Record:
    source = Source("false", 0, 1, 1, seq, 1, seq, 0, False)
    return Record("order", 0, seq, number, "d" if after is None else "u", None, after, source)


def test_the_end_must_be_that_of_the_world_and_no_seq_missing() -> None:
    present = Present(1)
    for each in (record(1, 1, b"a"), record(2, 2, b"b"), record(1, 3, b"c"), record(2, 4, None)):
        present.add(each)
    present.add(Record("order", 0, 5, 2))  # the tombstone
    assert present.wrong({("order", 1): b"c"}) == []
    assert len(present.wrong({("order", 1): b"a"})) == 1
    assert len(present.wrong({("order", 1): b"c", ("order", 2): b"b"})) == 1
    assert len(present.wrong({})) == 1
    for seq in (4, 6):
        present.add(record(1, seq, b"c"))
    assert present.wrong({("order", 1): b"c"}) == ["shard 0: seq has holes or repeats"]
