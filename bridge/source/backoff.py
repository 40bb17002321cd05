"""How long to wait before the next connection (protocol section 11); pure, the random numbers are passed in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Backoff:
    """Delays between attempts: doubled each time up to a cap, spread so that shards do not come back together.

    To be reset after a session that proved useful, say by a complete snapshot. An accepted handshake proves nothing:
    a server that accepts and closes at once would be reconnected a thousand times a second.

    Attributes:
        first_s: the longest first delay, seconds.
        cap_s: the longest delay of our own; a longer wait asked for by the server is honoured.
        attempts: delays given since the last `reset`.
    """

    first_s: float = 1.0
    cap_s: float = 60.0
    attempts: int = 0

    def next_delay(self, fraction: float, *, asked_s: float = 0.0) -> float:
        """Seconds to wait now.

        Args:
            fraction: a random number in [0, 1).
            asked_s: the wait that the server asked for or the protocol demands; up to a tenth is added to it.
        """
        ours = min(self.cap_s, self.first_s * 2.0 ** min(self.attempts, 32))
        self.attempts += 1
        return max(ours * (1 + fraction) / 2, asked_s * (1 + fraction / 10))

    def reset(self) -> None:
        """Begin anew: the last session was useful."""
        self.attempts = 0
