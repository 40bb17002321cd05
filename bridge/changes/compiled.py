"""The reconciler whose usual rows are compared in C. Only imported where the accelerator was built."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bridge.changes.kind import Kind
from bridge.changes.reconciler import Found, Reconciler, Row
from bridge.changes.state import PublishedState
from bridge.entities.change import CREATE, INITIAL, LIVE, READ, RECONCILE, UPDATE
from bridge.entities.compiled import CompiledEncoder
from bridge.speed import _native


class CompiledReconciler(Reconciler):
    """A `Reconciler` that finds the same, sooner. Its kinds must have compiled encoders.

    Attributes:
        live: what it is done by.
    """

    def __init__(self, state: PublishedState, kinds: dict[str, Kind], **options: Any) -> None:
        super().__init__(state, kinds, **options)
        self.live = _native.Live(
            kinds={name: _parts(kind) for name, kind in kinds.items()},
            accounts=self._accounts,
            undo=state.undo,
            live_undo=state.live_undo,
            words=(READ, CREATE, UPDATE, INITIAL, LIVE, RECONCILE),
            divisor=self._divisor,
            remainder=self._remainder,
            deduplicate=self._deduplicate,
            max_value_bytes=self.max_value_bytes,
        )

    def apply(self, rows: Iterable[Row], *, exact: bool = False) -> Found:
        """As the base class's: runs of usual entities in C, each other one here."""
        found, listed = Found(), rows if isinstance(rows, list) else list(rows)
        row = entity = 0
        while True:
            row, entity = self._run(listed, row, entity, found)
            if row >= len(listed):
                return found
            entity = self._one(listed[row], entity, exact, found)
            if entity >= len(listed[row][2]):
                row, entity = row + 1, 0

    def _run(self, rows: list[Row], row: int, entity: int, found: Found) -> tuple[int, int]:
        """As far as it goes without anything unusual; where it stopped."""
        row, entity, events, listed, duplicates, owned, own_listed, foreign = self.live.run(
            rows, row, entity, self._initial, found.changes
        )
        self.met(events, duplicates, owned, foreign)
        if listed:
            self.counts.snapshot_rows += listed
            if own_listed:
                self._snapshot_remainders.add(self._remainder)
        return row, entity

    def met(self, events: int, duplicates: int, owned: int, foreign: int) -> None:
        """Count live events, unchanged ones among them, and those of own and of foreign owners."""
        counts = self.counts
        counts.events += events
        counts.duplicates += duplicates
        if owned:
            self._live_owned = True
        if foreign:
            self._live_foreign = True
            counts.foreign_live += foreign

    def _one(self, row: Row, entity: int, exact: bool, found: Found) -> int:
        """An unusual entity, or a row of an unknown type, by the base class; where the rest of it begins."""
        entity_type, event_type, entities, list_name, snapshot = row
        end = entity + 1 if entity_type in self.kinds else len(entities)
        piece = super().apply([(entity_type, event_type, entities[entity:end], list_name, snapshot)], exact=exact)
        found.changes += piece.changes
        found.refused += piece.refused
        found.unmapped += piece.unmapped
        return end


def _parts(kind: Kind) -> tuple[Any, ...]:
    """A kind as `live.c` wants it."""
    if not isinstance(kind.encoder, CompiledEncoder):
        raise TypeError(f"the encoder of {kind.name} is not compiled")
    return (
        kind.encoder.table,
        kind.name,
        kind.table,
        kind.live,
        kind.seen,
        kind.owner_field,
        kind.account_field,
        kind.user_field,
        kind.parent_field,
        kind.parent,
        kind,
    )
