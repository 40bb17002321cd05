"""Whether a series of samples stays where it is, and a picture of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import linear_regression, median

WIDTH, HEIGHT, MARGIN = 900, 240, 40
WARM_UP = 0.25
"""This share of the samples, at their beginning, says nothing: caches fill."""
MEMORY_SHARE, MEMORY_MB = 0.1, 16.0
"""So much memory may the last quarter take more than the first one after the warm-up."""
HANDLES = 4
"""So many more handles, threads and tasks in the second half than ever in the first: connecting takes some."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at the bridge.

    Attributes:
        at_s: since the soak began.
        life: counts the processes.
        seq: sum over all shards.
    """

    at_s: float
    life: int
    rss_mb: float
    files: int
    threads: int
    tasks: int
    seq: int
    waiting_kb: int


def growth(samples: Sequence[Sample]) -> dict[str, float]:
    """What one life has taken after its warm-up: memory in the first and last quarter, most handles in either half.

    The slope is in MB an hour.

    Raises:
        ValueError: there are too few samples to say anything.
    """
    warm = samples[int(len(samples) * WARM_UP) :]
    if len(warm) < 16:
        raise ValueError(f"{len(warm)} samples after the warm-up are too few")
    quarter = len(warm) // 4
    first, last = warm[:quarter], warm[-quarter:]
    slope = linear_regression([s.at_s for s in warm], [s.rss_mb for s in warm]).slope
    return {
        "rss_mb_first": round(median(s.rss_mb for s in first), 1),
        "rss_mb_last": round(median(s.rss_mb for s in last), 1),
        "rss_mb_most": round(max(s.rss_mb for s in samples), 1),
        "rss_mb_an_hour": round(slope * 3600, 1),
        **{
            f"{what}_{when}": max(getattr(s, what) for s in part)
            for what in ("files", "threads", "tasks")
            for when, part in (("first", warm[: len(warm) // 2]), ("last", warm[len(warm) // 2 :]))
        },
    }


def grows(found: dict[str, float]) -> list[str]:
    """What does not stay where it is."""
    wrong = []
    if found["rss_mb_last"] - found["rss_mb_first"] > MEMORY_MB + MEMORY_SHARE * found["rss_mb_first"]:
        wrong.append("memory")
    wrong += [
        what for what in ("files", "threads", "tasks") if found[f"{what}_last"] - found[f"{what}_first"] > HANDLES
    ]
    return wrong


def table(samples: Sequence[Sample]) -> str:
    """All samples as CSV."""
    names = Sample.__slots__
    lines = [",".join(names), *(",".join(str(getattr(s, name)) for name in names) for s in samples)]
    return "\n".join(lines) + "\n"


def picture(samples: Sequence[Sample], marks: Sequence[tuple[float, str]]) -> str:
    """Memory over time as SVG, a line for each life; faults as ticks with their names as titles."""
    until, top = max(s.at_s for s in samples) or 1.0, max(s.rss_mb for s in samples) * 1.1

    def x(at_s: float) -> float:
        return MARGIN + at_s / until * (WIDTH - 2 * MARGIN)

    def y(mb: float) -> float:
        return HEIGHT - MARGIN - mb / top * (HEIGHT - 2 * MARGIN)

    lives = {s.life: [t for t in samples if t.life == s.life] for s in samples}
    points = [" ".join(f"{x(s.at_s):.1f},{y(s.rss_mb):.1f}" for s in life) for life in lives.values()]
    lines = [f'<polyline fill="none" stroke="#2266aa" points="{each}"/>' for each in points]
    ticks = [
        f'<line x1="{x(at):.1f}" x2="{x(at):.1f}" y1="{y(0):.1f}" y2="{y(0) + 6:.1f}" stroke="#cc4422">'
        f"<title>{what} at {at:.0f} s</title></line>"
        for at, what in marks
    ]
    texts = [
        f'<text x="{MARGIN}" y="{MARGIN - 12}">resident memory: at most {top / 1.1:.0f} MB</text>',
        f'<text x="{WIDTH - MARGIN}" y="{HEIGHT - 8}" text-anchor="end">{until:.0f} s, {len(marks)} faults</text>',
    ]
    frame = f'<path d="M{MARGIN},{MARGIN} V{y(0):.1f} H{WIDTH - MARGIN}" fill="none" stroke="#888888"/>'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif">'
    return "\n".join([head, frame, *lines, *ticks, *texts, "</svg>"]) + "\n"
