"""Values as they stand on the wire: date-times, trade dates, money. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

DAY_MS = 86_400_000


@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def stamp(at_ms: int) -> str:
    """Epoch milliseconds as `2026-08-18T13:35:01.123Z` (protocol section 18)."""
    seconds, rest = divmod(at_ms, 1000)
    return f"{_second(seconds)}.{rest:03d}Z"


def trade_date(at_ms: int) -> dict[str, int]:
    """The day of an instant as a TradeDate."""
    day = datetime.fromtimestamp(at_ms / 1000, UTC)
    return {"year": day.year, "month": day.month, "day": day.day}


def money(cents: int) -> float:
    """Cents as the double that the API shows."""
    return cents / 100
