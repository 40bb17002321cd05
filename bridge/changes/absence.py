"""Which published keys a snapshot no longer holds, and whether that is evidence enough to say so. Pure.

After a disconnect vanished entities are simply absent, so absence is all there is; and it is weak evidence, because
nothing marks the end of a snapshot. Therefore: only types that were asked for and whose list was present count; it is
judged long after the last part; `entity` types are deleted under a brake; `session` types are archived only when the
session has rolled since they were last seen; `reference` and `stream` types are kept. What the brake holds is deleted
when the next complete snapshot agrees, and forgotten when the key appears again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from bridge.changes.reconciler import Kind
from bridge.changes.state import PublishedState
from bridge.entities.catalogue import Lifecycle
from bridge.entities.change import DELETE, RECONCILE, Change

CENTRAL: Final = ZoneInfo("America/Chicago")
ROLL_HOUR: Final = 16
SATURDAY: Final = 5


@dataclass(frozen=True, slots=True)
class Brake:
    """How much of a type may vanish at once.

    Attributes:
        share: of the published keys of the type, 0 to 1.
        least: so many may always vanish, or small tables would always be held.
    """

    share: float
    least: int = 10

    def holds(self, absent: int, published: int, *, empty: bool) -> bool:
        """Whether so many absent keys are too many to believe; an empty list is never believed at once."""
        return empty or absent > max(self.least, self.share * published)


@dataclass(slots=True)
class Verdict:
    """What the absence of keys in one snapshot came to.

    Attributes:
        deleted: changes to publish; the (uncommitted) state has moved along.
        archived: (entity type, id) of session entities that the roll has ended; likewise.
        held: how many keys the brake holds, by type.
        released: how many held keys this snapshot agreed upon, by type; they are among `deleted`.
    """

    deleted: list[Change] = field(default_factory=list)
    archived: list[tuple[str, int]] = field(default_factory=list)
    held: dict[str, int] = field(default_factory=dict)
    released: dict[str, int] = field(default_factory=dict)


class Absence:
    """Judges the absence of keys, snapshot after snapshot.

    Args:
        requested: entity types that were asked for; others say nothing by being absent.
    """

    def __init__(
        self, state: PublishedState, kinds: Mapping[str, Kind], requested: Collection[str], brake: Brake
    ) -> None:
        self._state, self._brake = state, brake
        self._kinds = [kind for name, kind in kinds.items() if name in requested]
        self._held: dict[str, set[int]] = {}

    def judge(self, last_seen_ms: int | None, now_ms: int) -> Iterator[Verdict]:
        """One verdict for each type with something to say, so that others may run in between.

        Args:
            last_seen_ms: when the snapshot before this one was complete: no key was seen later than that except live.
            now_ms: when this one was.
        """
        rolled = last_seen_ms is not None and rolled_between(last_seen_ms, now_ms)
        for kind in self._kinds:
            if not kind.listed or not kind.table:
                continue
            absent = [n for n in kind.table if n not in kind.seen and n not in kind.live]
            if kind.lifecycle is Lifecycle.ENTITY:
                verdict = self._entities(kind, absent)
            elif kind.lifecycle is Lifecycle.SESSION and rolled and absent:
                verdict = Verdict(archived=[(kind.name, number) for number in absent if self._take(kind, number)])
            else:
                continue
            if verdict is not None:
                yield verdict

    def _entities(self, kind: Kind, absent: list[int]) -> Verdict | None:
        agreed = self._held.pop(kind.name, set()).intersection(absent)
        fresh = [number for number in absent if number not in agreed]
        verdict = Verdict(released={kind.name: len(agreed)} if agreed else {})
        if fresh and self._brake.holds(len(fresh), len(kind.table), empty=not kind.seen):
            self._held[kind.name] = set(fresh)
            verdict.held = {kind.name: len(fresh)}
            fresh = []
        for number in (*agreed, *fresh):
            before, account_id, user_id = kind.table[number]
            self._take(kind, number)
            verdict.deleted.append((kind.name, number, DELETE, before, None, None, account_id, user_id, RECONCILE))
        return verdict if verdict.deleted or verdict.held else None

    def _take(self, kind: Kind, number: int) -> bool:
        self._state.undo.append((kind.table, number, kind.table.pop(number)))
        return True


def rolled_between(from_ms: int, to_ms: int) -> bool:
    """Whether a session roll lies between two moments: 16:00 Central on a trading day (protocol section 14)."""
    day = datetime.fromtimestamp(from_ms / 1000, UTC).astimezone(CENTRAL).date()
    last = datetime.fromtimestamp(to_ms / 1000, UTC).astimezone(CENTRAL).date()
    while day <= last:
        roll_ms = datetime(day.year, day.month, day.day, ROLL_HOUR, tzinfo=CENTRAL).timestamp() * 1000
        if day.weekday() < SATURDAY and from_ms < roll_ms <= to_ms:
            return True
        day += timedelta(days=1)
    return False
