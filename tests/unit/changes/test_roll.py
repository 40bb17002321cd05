from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from bridge.changes.roll import resend_window, session_end

CENTRAL = ZoneInfo("America/Chicago")


def rolled_between(seen_ms: int, now_ms: int) -> bool:
    return seen_ms < session_end(now_ms)


def central(day: int, hour: int, minute: int = 0) -> int:
    """A moment in November 2026 (the 16th is a Monday), Chicago time, in epoch milliseconds."""
    return round(datetime(2026, 11, day, hour, minute, tzinfo=CENTRAL).timestamp() * 1000)


@pytest.mark.parametrize(
    ("from_ms", "to_ms", "rolled"),
    [
        (central(17, 15, 59), central(17, 16, 1), True),
        (central(17, 17, 0), central(18, 15, 59), False),
        (central(17, 16, 5), central(18, 9), True),  # what is sent again after the roll belongs to the old session
        (central(17, 16, 0), central(17, 16, 1), True),
        (central(20, 17, 1), central(22, 23), False),  # Friday after the roll until Sunday night
        (central(20, 15), central(20, 17), True),
        (central(2, 12), central(30, 12), True),
        (central(17, 12), central(17, 12), False),
    ],
)
def test_the_session_rolls_at_four_in_the_afternoon_in_chicago_on_trading_days(
    from_ms: int, to_ms: int, rolled: bool
) -> None:
    assert rolled_between(from_ms, to_ms) is rolled


def test_the_roll_follows_daylight_saving() -> None:
    """On 8 March 2027 clocks have gone forward: 16:00 in Chicago is 21:00 UTC, the Friday before it was 22:00."""
    summer = round(datetime(2027, 3, 15, 21, 0, tzinfo=ZoneInfo("UTC")).timestamp() * 1000)
    winter = round(datetime(2027, 3, 12, 22, 0, tzinfo=ZoneInfo("UTC")).timestamp() * 1000)

    assert rolled_between(summer - 1, summer)
    assert rolled_between(winter - 1, winter)
    assert not rolled_between(winter - 3_600_000, winter - 1)


@pytest.mark.parametrize(
    ("at_ms", "near"),
    [
        (central(17, 15, 44), False),
        (central(17, 15, 45), True),
        (central(17, 16, 59), True),
        (central(17, 17, 0), False),
        (central(21, 16, 0), False),
    ],
)
def test_events_may_be_sent_again_from_shortly_before_the_roll_until_trading_goes_on(at_ms: int, near: bool) -> None:
    begin, end = resend_window(at_ms)
    assert (begin <= at_ms < end) is near
    assert end > at_ms


def test_after_friday_the_next_window_is_on_monday() -> None:
    assert resend_window(central(20, 17)) == (central(23, 15, 45), central(23, 17))
