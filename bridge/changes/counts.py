"""What a shard has met and not published. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields

OTHERS = "(others)"
"""Stands for names beyond those that are counted by name."""


@dataclass(slots=True)
class Counts:
    """What was met and not published, since the process started; the metrics read it."""

    events: int = 0
    snapshot_rows: int = 0
    duplicates: int = 0
    beaten: int = 0
    beaten_different: int = 0
    unknown_deletes: int = 0
    resent: int = 0
    foreign_live: int = 0
    foreign_snapshot: int = 0
    foreign_skipped: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    unmapped: Counter[str] = field(default_factory=Counter)

    def subtract(self, other: Counts) -> None:
        """Count down, each by what the other has."""
        for each in fields(self):
            mine, theirs = getattr(self, each.name), getattr(other, each.name)
            if isinstance(theirs, Counter):
                for name, count in theirs.items():
                    mine[name if name in mine else OTHERS] -= count
            else:
                setattr(self, each.name, mine - theirs)
