"""What each worker gets of shards and of limits, so that all together have no more than one process would. Pure."""

from __future__ import annotations

from collections.abc import Sequence


def dealt(shards: Sequence[int], workers: int) -> list[tuple[int, ...]]:
    """The shards of each worker, dealt round robin: their numbers say nothing of their load, and neighbours part."""
    return [tuple(shards[number::workers]) for number in range(workers)]


def split(total: int, parts: int, least: int = 0) -> list[int]:
    """Shares that differ by one at most, the larger ones first.

    Args:
        least: that each gets, even if the sum then exceeds the total.
    """
    whole, rest = divmod(total, parts)
    return [max(least, whole + (number < rest)) for number in range(parts)]
