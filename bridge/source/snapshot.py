"""What a snapshot has brought: counts by entity type, and the lists that were null."""

from __future__ import annotations

from collections import Counter
from typing import Any

from bridge.source.batches import Told
from bridge.source.events import SnapshotComplete
from bridge.source.rows import Rows, rows


class SnapshotTally:
    """Counts the rows of one session's snapshot; holds no rows and does not grow beyond the limits.

    Attributes:
        told: keys that it has named.
    """

    def __init__(self, most_names: int, most_keys: int) -> None:
        self.told = Told(most_keys)
        self.parts = 0
        self.counts: dict[str, int] = {}
        self.null_lists: set[str] = set()
        self._most_names = most_names

    def add(self, part: Any) -> tuple[dict[str, int], tuple[str, ...]]:
        """Count one part. Gives its own counts by entity type and the names of its null lists.

        Types beyond the bound are not counted: nothing may be concluded from their absence.
        """
        counts: Counter[str] = Counter()
        for item in rows(part):
            if isinstance(item, Rows) and (item.entity_type in counts or len(counts) < self._most_names):
                counts[item.entity_type] += len(item.entities)
        null_lists = tuple(name for data in _list_objects(part) for name, value in data.items() if value is None)
        self._remember(counts, null_lists[: self._most_names])
        return dict(counts), null_lists[: self._most_names]

    def complete(self) -> SnapshotComplete:
        """Sum up."""
        self.told.forget()
        return SnapshotComplete(dict(self.counts), frozenset(self.null_lists), self.parts, self.told.superseded)

    def _remember(self, counts: Counter[str], null_lists: tuple[str, ...]) -> None:
        self.parts += 1
        for entity_type, count in counts.items():
            if entity_type in self.counts or len(self.counts) < self._most_names:
                self.counts[entity_type] = self.counts.get(entity_type, 0) + count
        for name in null_lists:
            if len(self.null_lists) < self._most_names:
                self.null_lists.add(name)


def _list_objects(part: Any) -> list[dict[str, Any]]:
    data = part.get("d") if isinstance(part, dict) else None
    members = data if isinstance(data, list) else [data]
    return [member for member in members if isinstance(member, dict) and "entityType" not in member]
