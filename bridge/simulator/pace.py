"""How many events are due: turns a rate into steps without drift. Pure; told the time in seconds."""

from __future__ import annotations


class Pace:
    """A budget of events that grows with time; trading steps spend it.

    A step makes a burst whose size is known only afterwards, so the budget may go below zero; the next step waits then.
    """

    MAX_DEBT_S = 0.25
    """A loop that was held up does not make up for more than this; the rate falls instead of the burst growing."""

    def __init__(self, rate: float, now: float) -> None:
        self.rate = rate
        self._budget = 0.0
        self._at = now

    def due(self, now: float) -> bool:
        """Whether a step is due."""
        self._budget = min(self._budget + (now - self._at) * self.rate, self.rate * self.MAX_DEBT_S + 1)
        self._at = now
        return self.rate > 0 and self._budget > 0

    def spend(self, events: int) -> None:
        """A step has made so many events."""
        self._budget -= events

    def pause(self) -> float:
        """Seconds until the next step is due, None-free: a long time when nothing ever is."""
        if self.rate <= 0:
            return 3600.0
        return max(0.0, -self._budget / self.rate)
