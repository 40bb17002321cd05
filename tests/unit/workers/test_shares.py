from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.workers.shares import dealt, split


def test_shards_are_dealt_round_robin() -> None:
    assert dealt([0, 1, 2, 3, 4], 2) == [(0, 2, 4), (1, 3)]
    assert dealt([7, 3], 2) == [(7,), (3,)]


@given(st.lists(st.integers(0, 1023), min_size=1, unique=True), st.data())
def test_each_shard_has_one_worker_and_no_worker_has_none(shards: list[int], data: st.DataObject) -> None:
    workers = data.draw(st.integers(1, len(shards)))
    found = dealt(shards, workers)
    assert sorted(shard for each in found for shard in each) == sorted(shards)
    sizes = [len(each) for each in found]
    assert max(sizes) - min(sizes) <= 1 <= min(sizes)


@pytest.mark.parametrize(
    ("total", "parts", "least", "shares"),
    [
        (300, 2, 1, [150, 150]),
        (15, 4, 1, [4, 4, 4, 3]),
        (4, 8, 1, [1] * 8),
        (3, 5, 0, [1, 1, 1, 0, 0]),
        (0, 2, 0, [0, 0]),
    ],
)
def test_a_total_is_split_evenly(total: int, parts: int, least: int, shares: list[int]) -> None:
    assert split(total, parts, least) == shares
