"""How often things may be done, told the time: rolling windows and the pace of connecting (protocol sections 2.4, 3.2).

Pure. `now` is in seconds of any clock that does not jump; `budget` puts waiting on top.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol


class Limit(Protocol):
    """Something that may be done only so often."""

    def wait_s(self, now: float) -> float:
        """Seconds until it may be done, 0 if it may be done now."""

    def take(self, now: float) -> None:
        """It is done now, whether it was allowed or not."""


class RollingWindow:
    """At most `most` times in any `window_s` seconds.

    What is taken beyond the limit is counted too and pushes the next permission back.
    """

    def __init__(self, most: int, window_s: float = 3600.0) -> None:
        if most < 1 or window_s <= 0:
            raise ValueError("a window holds at least one thing, and has a length")
        self.most, self.window_s = most, window_s
        self._taken: deque[float] = deque(maxlen=most)

    def wait_s(self, now: float) -> float:
        """Seconds until the next is allowed."""
        if len(self._taken) < self.most:
            return 0.0
        return max(0.0, self._taken[0] + self.window_s - now)

    def take(self, now: float) -> None:
        """One more was done."""
        self._taken.append(now)

    def taken(self, now: float) -> int:
        """How many were done within the window, as far as they matter."""
        return sum(at > now - self.window_s for at in self._taken)


class ConnectPace:
    """A burst at first, then a steady pace; both halved each time the server says "too many".

    Reports from the field: many sockets at the same instant draw 429, two per three seconds do not.
    """

    _LEAST_RATE = 1 / 60.0
    _FORGIVEN_AFTER_S = 3600.0

    def __init__(self, burst: int, rate: float) -> None:
        if burst < 1 or rate <= 0:
            raise ValueError("at least one connection, at some pace")
        self._full_burst, self._full_rate = float(burst), rate
        self._burst, self._rate = self._full_burst, rate
        self._tokens = self._full_burst
        self._at: float | None = None
        self._throttled_at = 0.0

    def wait_s(self, now: float) -> float:
        """Seconds until the next connection may be opened."""
        self._refill(now)
        # The tolerance keeps rounding from asking for a wait too short for any clock to notice.
        return max(0.0, (1.0 - self._tokens) / self._rate) if self._tokens < 1.0 - 1e-9 else 0.0

    def take(self, now: float) -> None:
        """A connection is being opened."""
        self._refill(now)
        self._tokens -= 1.0

    def throttled(self, now: float) -> None:
        """The server answered 429: from now on half as many, and none at once."""
        self._refill(now)
        self._burst = max(1.0, self._burst / 2)
        self._rate = max(min(self._LEAST_RATE, self._full_rate), self._rate / 2)
        self._tokens = min(self._tokens, 0.0)
        self._throttled_at = now

    def _refill(self, now: float) -> None:
        if self._rate < self._full_rate and now - self._throttled_at >= self._FORGIVEN_AFTER_S:
            self._burst, self._rate = self._full_burst, self._full_rate
        if self._at is not None:
            self._tokens = min(self._burst, self._tokens + max(0.0, now - self._at) * self._rate)
        self._at = now
