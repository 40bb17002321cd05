"""A bridge whose exchange rolls its session when a scenario wants it: the exchange is moved, and not the clock.

`python -m tests.scenarios.exchange run` is `syncbridge run` with the exchange in another place, where every day is a
trading day. What the bridge writes down keeps the time of this machine.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta, timezone

from bridge import cli
from bridge.changes import roll

MODULE = "tests.scenarios.exchange"
ROLLS_AT = "EXCHANGE_ROLLS_AT"
DAY_S = 86_400


def rolling_at(at_s: float) -> Mapping[str, str]:
    """The environment of a bridge whose exchange rolls at that moment, in seconds since 1970, and every 24 hours."""
    return {ROLLS_AT: repr(at_s)}


def where(rolls_at_s: float) -> timezone:
    """Where it is the hour of the roll at that moment."""
    return timezone(timedelta(hours=roll.ROLL_HOUR, seconds=-(rolls_at_s % DAY_S)))


if __name__ == "__main__":
    vars(roll).update(CENTRAL=where(float(os.environ[ROLLS_AT])), SATURDAY=7)
    cli.main()
