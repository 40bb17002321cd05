"""What the soak makes of its samples."""

from __future__ import annotations

from collections.abc import Callable
from xml.etree import ElementTree as ET

import pytest

from tests.soak.flat import Sample, grows, growth, picture, table


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
