"""The entities of the world and the changes that made them. Pure.

Entities are never altered in place: a change puts a new dict, so whatever was handed out stays true.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

from bridge.simulator.dress import Entity, dress
from bridge.simulator.options import Options
from bridge.simulator.values import stamp

Event = Literal["Created", "Updated", "Deleted", "Archived"]

FIRST_ID = 600_000_000_000
FIRST_LOAD_ID = 700_000_000_000
"""Ids from here on belong to generated load, which obeys no invariants."""


@dataclass(frozen=True, slots=True)
class Change:
    """One version of one entity.

    Attributes:
        number: running number over all changes, from 1.
        at_ms: when, epoch milliseconds.
        entity_type: wire name of the type.
        event: Created, Updated or Deleted as sent; Archived is the silent end at the session roll.
        id: the entity's id.
        account_id: the owning account, None for what has none.
        user_id: the owning user (the account's holder where an account owns it).
        json: the entity as on the wire; of a deletion, the last content.
    """

    number: int
    at_ms: int
    entity_type: str
    event: Event
    id: int
    account_id: int | None
    user_id: int | None
    json: bytes


class Store:
    """Tables of entities by type and id, and the frames of changes not yet taken.

    Attributes:
        now_ms: the present, epoch milliseconds.
        placed: type and id of what was put in by hand; the world's invariants do not cover it.
    """

    def __init__(self, rng: Random, options: Options) -> None:
        self.options = options
        self.now_ms = 0
        self.placed: set[tuple[str, int]] = set()
        self._rng = rng
        self._tables: dict[str, dict[int, Entity]] = {}
        self._last: dict[str, dict[int, Change]] = {}
        self._past: deque[tuple[int, str, int, Change | None]] = deque()
        self._frames: list[list[Change]] = [[]]
        self._number = 0
        self._next_id = FIRST_ID

    @property
    def now(self) -> str:
        """The present instant as the API writes it."""
        return stamp(self.now_ms)

    def new_id(self) -> int:
        """A fresh id for an order, fill and the like; ids grow with gaps, as the real ones do."""
        self._next_id += self._rng.randint(1, 3)
        return self._next_id

    def table(self, entity_type: str) -> dict[int, Entity]:
        """The live entities of a type, by id. Do not alter them."""
        return self._tables.setdefault(entity_type, {})

    def get(self, entity_type: str, entity_id: int) -> Entity | None:
        """One live entity, None if there is none."""
        return self.table(entity_type).get(entity_id)

    def latest(self, entity_type: str, entity_id: int) -> Change | None:
        """The version that made an entity what it is, None if it is not there."""
        return self._last.get(entity_type, {}).get(entity_id)

    def rows(self, entity_type: str) -> Iterator[Change]:
        """The latest version of each live entity of a type."""
        return iter(self._last.get(entity_type, {}).values())

    def since(self, at_ms: int) -> dict[str, dict[int, Change | None]]:
        """What has changed since, by type and id: the version of that time, None if there was none.

        It is remembered for `snapshot_lag_s`, and while that is 0 not at all.
        """
        found: dict[str, dict[int, Change | None]] = {}
        for when, entity_type, entity_id, version in self._past:
            if when > at_ms:
                found.setdefault(entity_type, {}).setdefault(entity_id, version)
        return found

    def put(
        self, entity_type: str, entity: Entity, *, account_id: int | None = None, user_id: int | None = None,
        content: bytes | None = None,
    ) -> Entity:  # fmt: skip
        """Creates or replaces an entity; `entity` belongs to the store afterwards.

        `content` is its JSON where that is to be just so, whatever the options say.
        """
        table, last = self.table(entity_type), self._last.setdefault(entity_type, {})
        event: Event = "Updated" if entity["id"] in table else "Created"
        self._remember(entity_type, entity["id"])
        table[entity["id"]] = entity
        content = content or dress(entity_type, entity, self.options)
        change = self._change(entity_type, event, entity["id"], account_id, user_id, content)
        last[change.id] = change
        self._frames[-1].append(change)
        return entity

    def update(self, entity_type: str, entity_id: int, **values: Any) -> None:
        """Replaces some fields; the owner stays. What somebody has deleted by hand stays deleted."""
        last = self.latest(entity_type, entity_id)
        if last is not None:
            entity = {**self._tables[entity_type][entity_id], **values}
            self.put(entity_type, entity, account_id=last.account_id, user_id=last.user_id)

    def delete(self, entity_type: str, entity_id: int) -> None:
        """Deletes an entity; an event tells so."""
        self._frames[-1].append(self._end(entity_type, entity_id, "Deleted"))

    def archive(self, entity_type: str) -> list[Change]:
        """Ends all entities of a type without any event, as the session roll does."""
        return [self._end(entity_type, entity_id, "Archived") for entity_id in list(self.table(entity_type))]

    def set_aside(self, numbers: int) -> int:
        """Leaves out some version numbers, for changes made elsewhere; the number before the first of them."""
        self._number += numbers
        return self._number - numbers

    def next_frame(self) -> None:
        """What changes from here on is sent in another frame."""
        if self._frames[-1]:
            self._frames.append([])

    def take(self) -> list[list[Change]]:
        """The changes since the last call, frame by frame."""
        frames = [frame for frame in self._frames if frame]
        self._frames = [[]]
        return frames

    def _end(self, entity_type: str, entity_id: int, event: Event) -> Change:
        self._remember(entity_type, entity_id)
        last = self._last[entity_type].pop(entity_id)
        change = self._change(entity_type, event, entity_id, last.account_id, last.user_id, last.json)
        del self._tables[entity_type][entity_id]
        return change

    def _remember(self, entity_type: str, entity_id: int) -> None:
        """What a snapshot that lags will show."""
        past, lag_ms = self._past, self.options.snapshot_lag_s * 1000
        if lag_ms or past:
            while past and past[0][0] < self.now_ms - lag_ms:
                past.popleft()
            if lag_ms:
                past.append((self.now_ms, entity_type, entity_id, self.latest(entity_type, entity_id)))

    def _change(
        self, entity_type: str, event: Event, entity_id: int, account_id: int | None, user_id: int | None,
        content: bytes,
    ) -> Change:  # fmt: skip
        self._number += 1
        return Change(self._number, self.now_ms, entity_type, event, entity_id, account_id, user_id, content)
