from collections.abc import Callable

import pytest

from bridge.source.limits import ConnectPace, Limit, RollingWindow


def opened(pace: Limit, now: float, until: float) -> list[float]:
    """The moments at which connections are opened by someone who opens as many as he may."""
    moments = []
    while now <= until:
        wait = pace.wait_s(now)
        if wait == 0:
            pace.take(now)
            moments.append(now)
        now += wait
    return moments


def test_a_window_never_holds_more_than_its_limit() -> None:
    moments = opened(RollingWindow(3, 10), 0, 25)

    assert moments == [0, 0, 0, 10, 10, 10, 20, 20, 20]


def test_what_was_taken_beyond_the_limit_pushes_the_next_back() -> None:
    window = RollingWindow(2, 10)
    for now in (0, 1, 2):
        window.take(now)

    assert window.wait_s(3) == 8


def test_a_window_tells_how_much_was_taken_within_it() -> None:
    window = RollingWindow(4, 10)
    for now in (0, 1, 2):
        window.take(now)

    assert [window.taken(now) for now in (3, 10.5, 30)] == [3, 2, 0]


def test_a_burst_then_two_per_three_seconds() -> None:
    assert opened(ConnectPace(4, 2 / 3), 100, 106.1) == pytest.approx([100, 100, 100, 100, 101.5, 103, 104.5, 106])


def test_a_long_calm_allows_another_burst_and_no_more() -> None:
    pace = ConnectPace(4, 2 / 3)
    opened(pace, 0, 0)

    assert opened(pace, 1000, 1000) == [1000] * 4


def test_too_many_halves_the_pace_and_the_burst() -> None:
    pace = ConnectPace(4, 2 / 3)
    opened(pace, 0, 0)

    pace.throttled(0)

    assert opened(pace, 0, 9.1) == pytest.approx([3, 6, 9])
    assert len(opened(pace, 100, 100)) == 2


def test_the_pace_never_stops_altogether_and_is_forgiven_after_an_hour() -> None:
    pace = ConnectPace(4, 2 / 3)
    for _ in range(50):
        pace.throttled(0)

    assert 0 < pace.wait_s(0) <= 60
    assert len(opened(pace, 3599, 3599)) == 1
    assert len(opened(pace, 4000, 4000)) == 4


@pytest.mark.parametrize("make", [lambda: RollingWindow(0), lambda: RollingWindow(1, 0), lambda: ConnectPace(0, 1)])
def test_impossible_limits_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="at least one"):
        make()
