"""The session roll: 16:00 Central on a trading day (protocol section 14). Pure.

The broker does not say when it has archived the session's entities, and near the roll it sends the session's events
once more. Trading rests for an hour, so whatever is seen within that hour still belongs to the session that ended.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

CENTRAL: Final = ZoneInfo("America/Chicago")
ROLL_HOUR: Final = 16
SATURDAY: Final = 5
REST_MS: Final = 3_600_000
"""So long after the roll nothing new begins."""
EARLY_MS: Final = 900_000
"""So long before it the session's events may be sent again already."""


def session_end(now_ms: int) -> int:
    """What was last seen before this moment belongs to a session that has ended by `now_ms`."""
    day = _day(now_ms)
    while (roll_ms := _roll(day)) is None or roll_ms > now_ms:
        day -= timedelta(days=1)
    return roll_ms + REST_MS


def resend_window(now_ms: int) -> tuple[int, int]:
    """Beginning and end of the present or next time in which the session's events may be sent once more."""
    day = _day(now_ms)
    while (roll_ms := _roll(day)) is None or roll_ms + REST_MS <= now_ms:
        day += timedelta(days=1)
    return roll_ms - EARLY_MS, roll_ms + REST_MS


def _roll(day: date) -> int | None:
    """The roll of a trading day."""
    if day.weekday() >= SATURDAY:
        return None
    return round(datetime(day.year, day.month, day.day, ROLL_HOUR, tzinfo=CENTRAL).timestamp() * 1000)


def _day(at_ms: int) -> date:
    return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(CENTRAL).date()
