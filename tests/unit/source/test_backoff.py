import pytest

from bridge.source.backoff import Backoff


def test_delays_double_up_to_the_cap() -> None:
    backoff = Backoff()

    assert [backoff.next_delay(0.999999999) for _ in range(9)] == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60, 60])


def test_delays_are_spread_over_their_upper_half() -> None:
    assert Backoff(first_s=8).next_delay(0.0) == 4
    assert Backoff(first_s=8).next_delay(0.5) == 6


def test_a_wait_asked_for_is_honoured_beyond_the_cap_and_spread_upwards() -> None:
    assert Backoff().next_delay(0.0, asked_s=3600) == 3600
    assert Backoff().next_delay(0.5, asked_s=3600) == pytest.approx(3780)
    assert Backoff(attempts=9).next_delay(0.0, asked_s=1) == 30


def test_many_attempts_neither_overflow_nor_exceed_the_cap() -> None:
    assert Backoff(attempts=10_000).next_delay(0.9) <= 60


def test_a_reset_begins_anew() -> None:
    backoff = Backoff(attempts=5)

    backoff.reset()

    assert backoff.next_delay(0.0) == 0.5
