"""What a shard has published: `(entity type, id) -> Value bytes and owners`, with an undo log for one frame.

Rule (invariant 4): what is published is said once, and what was said reaches Kafka. Changes are made in place while
records are put together; a transaction whose outcome is unknown is written again with the very same bytes, so nothing
beyond the present frame is ever taken back. If the shard is lost to another instance, the state goes with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

from bridge.entities.change import Entry

Table = dict[int, Entry]
Undo: TypeAlias = list[tuple[Table, int, Entry | None]]
"""Table, id, what was there before."""


class PublishedState:
    """Tables by entity type. Not thread-safe; one shard, one state."""

    __slots__ = ("_live_undo", "_undo", "tables")

    def __init__(self, entity_types: Iterable[str]) -> None:
        self.tables: Final[dict[str, Table]] = {name: {} for name in entity_types}
        self._undo: Undo = []
        self._live_undo: list[tuple[set[int], int]] = []

    @property
    def undo(self) -> Undo:
        """The log itself, for the reconciler's hot path."""
        return self._undo

    @property
    def live_undo(self) -> list[tuple[set[int], int]]:
        """Keys first seen live in this frame: (set, id)."""
        return self._live_undo

    def begin(self) -> None:
        """A frame begins: what came before it is not taken back any more."""
        self._undo.clear()
        self._live_undo.clear()

    def rollback(self) -> None:
        """Take back what was changed since `begin`, newest first."""
        for table, number, entry in reversed(self._undo):
            if entry is None:
                table.pop(number, None)
            else:
                table[number] = entry
        for seen, number in self._live_undo:
            seen.discard(number)
        self.begin()

    def restore(self, entity_type: str, number: int, entry: Entry) -> None:
        """Put back what Kafka holds, at start; needs no undo."""
        self.tables[entity_type][number] = entry

    def counts(self) -> dict[str, int]:
        """Published keys by type, types without any left out."""
        return {name: len(table) for name, table in self.tables.items() if table}

    def __len__(self) -> int:
        """Published keys of all types."""
        return sum(map(len, self.tables.values()))

    def __iter__(self) -> Iterator[tuple[str, int, Entry]]:
        """All entries."""
        for name, table in self.tables.items():
            for number, entry in table.items():
                yield name, number, entry
