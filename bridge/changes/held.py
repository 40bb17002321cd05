"""Deletions that the brake holds: published keys that a snapshot no longer listed. Pure.

They are part of a shard's state: Kafka holds them too, so that they survive a restart.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

MOST_SHOWN = 1000
"""Ids of one type that are told to somebody who asks."""


class HeldKeys:
    """Ids by entity type, each with the time since when it is held (epoch milliseconds)."""

    __slots__ = ("_types",)

    def __init__(self) -> None:
        self._types: dict[str, dict[int, int]] = {}

    def hold(self, entity_type: str, number: int, since_ms: int) -> None:
        """Hold one key."""
        self._types.setdefault(entity_type, {})[number] = since_ms

    def release(self, entity_type: str, number: int) -> None:
        """Hold it no more, if it was held."""
        keys = self._types.get(entity_type)
        if keys is not None and keys.pop(number, None) is not None and not keys:
            del self._types[entity_type]

    def of(self, entity_type: str) -> Mapping[int, int]:
        """Held ids of one type, oldest first, with their times."""
        return self._types.get(entity_type, {})

    def among(self, entity_type: str, numbers: Collection[int]) -> set[int]:
        """Which of these ids are held."""
        return self._types.get(entity_type, {}).keys() & numbers

    def counts(self) -> dict[str, int]:
        """How many are held, by type."""
        return {name: len(keys) for name, keys in self._types.items()}

    def __bool__(self) -> bool:
        """Whether anything is held."""
        return bool(self._types)

    def __iter__(self) -> Iterator[str]:
        """Types of which something is held."""
        return iter(list(self._types))


def shown(held: HeldKeys) -> dict[str, dict[str, object]]:
    """By type: how many, since when, and the first ids; for people and programs that ask."""
    return {
        name: {
            "count": len(keys := held.of(name)),
            "since_ms": min(keys.values()),
            "ids": sorted(keys)[:MOST_SHOWN],
        }
        for name in held
    }
