from __future__ import annotations

import pytest

from bridge.shard.stats import BOUNDS_S, Histogram, ShardStats


def test_a_value_counts_under_the_first_bound_that_holds_it() -> None:
    histogram = Histogram()
    for seconds in (0.0, BOUNDS_S[0], 0.003, BOUNDS_S[-1], BOUNDS_S[-1] + 1):
        histogram.observe(seconds)
    assert histogram.counts[:2] == [2, 1]
    assert histogram.counts[-2:] == [1, 1]
    assert sum(histogram.counts) == 5
    assert histogram.total_s == pytest.approx(0.005 + 2 * BOUNDS_S[-1] + 1)


def test_bounds_rise() -> None:
    assert sorted(set(BOUNDS_S)) == list(BOUNDS_S)


@pytest.mark.parametrize(("q", "expected"), [(0.0, 1), (0.5, 51), (0.99, 100), (1.0, 100)])
def test_quantiles_are_of_the_values_seen(q: float, expected: float) -> None:
    histogram = Histogram()
    for number in reversed(range(1, 101)):
        histogram.observe(number)
    assert histogram.quantile(q) == expected


def test_quantile_of_nothing_is_zero() -> None:
    assert Histogram().quantile(0.5) == 0.0


def test_quantiles_forget_what_is_long_past() -> None:
    histogram = Histogram()
    histogram.observe(1000)
    for _ in range(512):
        histogram.observe(0.001)
    assert histogram.quantile(1.0) == 0.001
    assert sum(histogram.counts) == 513


def test_shards_do_not_share_their_numbers() -> None:
    one, other = ShardStats(0), ShardStats(1)
    one.lost["idle"] += 1
    one.commit.observe(1)
    assert not other.lost
    assert sum(other.commit.counts) == 0
