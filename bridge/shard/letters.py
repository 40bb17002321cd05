"""Where dead letters of one shard are handed in again: in the order of things, answered when committed. Pure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from bridge.changes.letters import Letter, Outcome, Retrial
from bridge.entities.change import Change
from bridge.entities.exact import exact_loads

Work = Callable[[], tuple[list[Change], Any]]
"""Done in the order of things: gives what is to be published and what is to be answered."""
CarryOut = Callable[[Work, int], Awaitable[Any]]
"""Has work done; the second argument is when its occasion arrived, epoch microseconds."""


class LetterDesk:
    """Asks the writer, and only it, because it alone knows what is published.

    Args:
        carry_out: gives the answer once everything before it, and what the work publishes, is committed.
    """

    def __init__(self, retrial: Retrial, carry_out: CarryOut) -> None:
        self._retrial, self._carry_out = retrial, carry_out

    @property
    def counts(self) -> Mapping[str, int]:
        """Letters by outcome, since the process started."""
        return self._retrial.counts

    async def contents(self, keys: Sequence[tuple[str, int]]) -> list[str | None]:
        """Hashes of what these keys (entity type, id) hold; all of it is committed when this returns."""
        found: list[str | None] = await self._carry_out(lambda: ([], [self._retrial.content(*k) for k in keys]), 0)
        return found

    async def retry(self, entity_type: str, raw: bytes, newer_than: str | None, received_us: int) -> Outcome:
        """Try a letter again.

        Args:
            raw: the entity's JSON.
            newer_than: as `Letter` says.
            received_us: when its frame arrived, epoch microseconds.

        Raises:
            ValueError, Unencodable: the JSON cannot be read.
        """
        letter = Letter(entity_type, exact_loads(raw), newer_than)
        outcome: Outcome = await self._carry_out(lambda: self._retrial.retry(letter), received_us)
        return outcome
