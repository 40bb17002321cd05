"""Plain numbers of one shard, counted where things happen and read when somebody looks (metrics, status, live view)."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, deque
from dataclasses import dataclass, field

BOUNDS_S = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


@dataclass(slots=True)
class Histogram:
    """Counts by upper bound, the last one for everything above; and the most recent values for quantiles."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_S) + 1))
    total_s: float = 0.0
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=512))

    def observe(self, seconds: float) -> None:
        """Count one value."""
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.total_s += seconds
        self.recent.append(seconds)

    def quantile(self, q: float) -> float:
        """Of the recent values, in seconds; 0 if there are none."""
        ordered = sorted(self.recent)
        return ordered[min(len(ordered) - 1, int(q * len(ordered)))] if ordered else 0.0


@dataclass(slots=True)
class ShardStats:
    """One shard's numbers since the process started, and its present state.

    Attributes:
        phase: `starting`, `connecting`, `snapshot`, `live`, `waiting`, `stopped`.
        owned: whether the claim has been committed.
        ready: whether a snapshot has been committed in this process.
        behind_ms: age of the oldest event when its transaction was committed, newest transaction.
    """

    shard: int
    phase: str = "starting"
    owned: bool = False
    ready: bool = False
    epoch: int = 0
    seq: int = 0
    frames: int = 0
    events: int = 0
    records: int = 0
    transactions: int = 0
    recoveries: int = 0
    restored: int = 0
    restore_s: float = 0.0
    sessions: int = 0
    session_open: bool = False
    waiting_bytes: int = 0
    spooled_bytes: int = 0
    spooled_frames: int = 0
    spills: int = 0
    spool_failures: int = 0
    behind_ms: float = 0.0
    last_server_us: int = 0
    archived: int = 0
    audits: int = 0
    audits_skipped: Counter[str] = field(default_factory=Counter)
    audit_repairs: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    topics: Counter[str] = field(default_factory=Counter)
    commit: Histogram = field(default_factory=Histogram)
    latency: Histogram = field(default_factory=Histogram)
