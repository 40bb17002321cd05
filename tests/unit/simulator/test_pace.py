from __future__ import annotations

from bridge.simulator.pace import Pace


def produced(pace: Pace, until: float, size: int, tick: float = 0.01) -> int:
    total, now = 0, 0.0
    while now < until:
        while pace.due(now):
            pace.spend(size)
            total += size
        now += tick
    return total


def test_the_rate_holds_over_time_whatever_the_size_of_a_burst() -> None:
    for size in (1, 7, 30):
        assert abs(produced(Pace(1000, 0.0), 10.0, size) - 10_000) < 300


def test_a_low_rate_waits_for_its_time() -> None:
    pace = Pace(1 / 60, 0.0)
    assert pace.due(1.0)
    pace.spend(12)
    assert not pace.due(600.0)
    assert 100 < pace.pause() < 130


def test_a_held_up_loop_does_not_make_up_for_lost_time() -> None:
    pace = Pace(1000, 0.0)
    assert pace.due(100.0)
    made = 0
    while pace.due(100.0):
        pace.spend(10)
        made += 10
    assert made <= 260


def test_no_rate_no_steps() -> None:
    pace = Pace(0, 0.0)
    assert not pace.due(1000.0)
    assert pace.pause() >= 3600
