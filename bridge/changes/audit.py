"""Compares a second snapshot, taken while the shard is connected, with what has been published. Pure.

A healthy-looking socket can lose frames, and nothing on the wire tells. So now and then another socket takes a snapshot
of its own. It may be older or newer than what the shard's socket has shown by then: keys that either socket has seen
live near the audit are therefore left out, and meet the next one. What still differs was lost in silence. That
something is missing counts only if two audits in a row lack it and nothing has touched it in between; then it passes
the brake and the rules of the lifecycle, as after a reconnection.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from bridge.changes.absence import Absence, Verdict
from bridge.changes.held import HeldKeys
from bridge.changes.kind import Kind
from bridge.changes.reconciler import Reconciler, Row
from bridge.changes.resend import Past
from bridge.changes.roll import session_end
from bridge.changes.state import PublishedState
from bridge.entities.catalogue import Lifecycle
from bridge.entities.change import AUDIT, CREATE, UPDATE, Change, Entry
from bridge.errors import Unencodable

SLICE_ROWS = 500


class Differing(NamedTuple):
    """A row that was not what is published when it came; it is compared again when its time has come."""

    kind: Kind
    number: int
    entity: dict[str, Any]
    value: bytes
    ts_ms: int | None


class Audit:
    """What one audit has met.

    Args:
        session: number of the shard's session within which it takes place.
        began_ms: since when keys that are seen are remembered.

    Attributes:
        void: it must not be judged any more, because that session is over.
        rows: rows of its snapshot.
        differing_bytes: how much of them differed.
        foreign: whether the snapshot holds rows of other shards.
        left_out: rows and missing keys that were not judged because they were seen live.
        repaired: what was put right.
    """

    def __init__(
        self, kinds: Mapping[str, Kind], reconciler: Reconciler, *, session: int, began_ms: int, max_value_bytes: int
    ) -> None:
        self.session, self.began_ms = session, began_ms
        self.void = self.foreign = False
        self.rows = self.differing_bytes = self.left_out = self.repaired = 0
        self.ids: dict[str, set[int]] = {}
        self.listed: set[str] = set()
        self._kinds, self._reconciler, self._max_value_bytes = kinds, reconciler, max_value_bytes
        self._seen: dict[str, set[int]] = {}
        self._differing: list[Differing] = []

    def see(self, rows: Iterable[Row]) -> None:
        """Remember the keys of these rows, from whichever socket."""
        for entity_type, _, entities, _, _ in rows:
            if entity_type in self._kinds:
                seen = self._seen.setdefault(entity_type, set())
                seen.update(e["id"] for e in entities if isinstance(e, dict) and type(e.get("id")) is int)

    def saw(self, entity_type: str) -> Collection[int]:
        """Keys of a type that have been seen."""
        return self._seen.get(entity_type, ())

    def take(self, rows: Iterable[Row], *, exact: bool) -> None:
        """Take rows of the audit's own snapshot, or of a part of it; twice the same does no harm.

        What equals the published state at this moment needs no second look: were it to change until then, it would be
        seen live.

        Raises:
            Inexact: a number may have lost digits in the fast JSON reader; read the frame exactly and take it again.
        """
        for entity_type, _, entities, list_name, _ in rows:
            kind = self._kinds.get(entity_type)
            if kind is None:
                continue
            if list_name is not None:
                self.listed.add(entity_type)
            ids = self.ids.setdefault(entity_type, set())
            for entity in entities:
                self._take_row(kind, ids, entity, exact=exact)

    def cut(self) -> list[Differing]:
        """What differed among the rows that came since the last time."""
        differing, self._differing = self._differing, []
        return differing

    def _take_row(self, kind: Kind, ids: set[int], entity: Any, *, exact: bool) -> None:
        """What cannot be published is left alone: its dead letter was written when the shard's own socket had it."""
        if isinstance(entity, dict) and type(entity.get("id")) is int:
            ids.add(entity["id"])
        try:
            value, ts_ms = kind.encoder.encode(entity, exact)
        except Unencodable:
            return
        self.rows += 1
        if kind.owner_field is not None and self._reconciler.is_foreign(entity.get(kind.owner_field)):
            self.foreign = True
            return
        number = entity["id"]
        entry = kind.table.get(number)
        if (entry is None or entry[0] != value) and len(value) <= self._max_value_bytes:
            self.differing_bytes += len(value)
            self._differing.append(Differing(kind, number, entity, value, ts_ms))


class Auditor:
    """Judges the audits of one shard, one after the other; the published state moves along.

    Call it in the order of things: everything that arrived before must have been applied.
    """

    def __init__(
        self, state: PublishedState, held: HeldKeys, past: Past, absence: Absence, reconciler: Reconciler
    ) -> None:
        self._state, self._held, self._past = state, held, past
        self._absence, self._reconciler = absence, reconciler
        self._session = 0
        self._missing: dict[str, dict[int, Entry]] = {}

    def differences(self, audit: Audit, differing: Sequence[Differing]) -> Iterator[Verdict]:
        """Repairs of what differs and has not been seen live, in slices; and held keys that are there again."""
        if audit.void:
            return
        yield from self._absence.appeared(audit.ids)
        for start in range(0, len(differing), SLICE_ROWS):
            changes = [
                c for row in differing[start : start + SLICE_ROWS] if (c := self._repair(audit, row)) is not None
            ]
            audit.repaired += len(changes)
            if changes:
                yield Verdict(repaired=changes, cause="differed")

    def absences(self, audit: Audit, judged_ms: int | None, now_ms: int) -> Iterator[Verdict]:
        """What is missing from this audit and was from the one before.

        Args:
            judged_ms: as `Absence.judge`'s `last_seen_ms`.
        """
        if audit.void:
            return
        before = self._missing if audit.session == self._session else {}
        self._session, self._missing = audit.session, {}
        ended_ms = session_end(now_ms)
        rolled = judged_ms is not None and judged_ms < ended_ms
        if self._cut_off(audit, rolled=rolled):
            return
        for kind in self._absence.kinds:
            if kind.name in audit.listed:
                for verdict in self._of_type(kind, audit, before, now_ms, ended_ms if rolled else None):
                    audit.repaired += len(verdict.repaired)
                    yield verdict

    def _repair(self, audit: Audit, row: Differing) -> Change | None:
        kind, number, entity, value, ts_ms = row
        old = kind.table.get(number)
        if old is not None and old[0] == value:
            return None
        if number in audit.saw(kind.name) or self._not_ours(audit, kind, entity):
            audit.left_out += 1
            return None
        account_id, user_id = self._reconciler.owners(kind, entity)
        self._state.undo.append((kind.table, number, old))
        kind.table[number] = (value, account_id, user_id)
        kind.seen.add(number)
        op, before = (CREATE, None) if old is None else (UPDATE, old[0])
        return (kind.name, number, op, before, value, ts_ms, account_id, user_id, AUDIT)

    def _not_ours(self, audit: Audit, kind: Kind, entity: dict[str, Any]) -> bool:
        """Whether a row is, or may be, of another shard: its events would not come here, so it is ever different."""
        if kind.owner_field is not None:
            return self._reconciler.is_foreign(entity.get(kind.owner_field))
        return audit.foreign and kind.lifecycle is not Lifecycle.REFERENCE

    def _cut_off(self, audit: Audit, *, rolled: bool) -> bool:
        """Whether a list is missing that the session's own snapshot had and that must have rows."""
        return any(
            kind.table
            and kind.listed
            and kind.name not in audit.listed
            and not (rolled and kind.lifecycle is Lifecycle.SESSION)
            for kind in self._absence.kinds
        )

    def _of_type(
        self, kind: Kind, audit: Audit, before: Mapping[str, Mapping[int, Entry]], now_ms: int, ended_ms: int | None
    ) -> Iterator[Verdict]:
        session = kind.lifecycle is Lifecycle.SESSION and ended_ms is not None
        if not (session or kind.lifecycle is Lifecycle.ENTITY):
            return
        ids, seen, former = audit.ids[kind.name], audit.saw(kind.name), before.get(kind.name, {})
        missing = {n: entry for n, entry in kind.table.items() if n not in ids and n not in seen}
        self._missing[kind.name] = missing
        twice = [n for n, entry in missing.items() if former.get(n) is entry]
        if session and ended_ms is not None:
            self._past.saw(kind.name, [n for n in ids if n in kind.table], now_ms)
            yield from self._absence.archive(kind, self._absence.ended(kind, twice, ended_ms))
        elif twice:
            for verdict in self._absence.entities(kind, twice, now_ms, empty=not ids, audit=True):
                self._keep(kind, verdict)
                yield verdict

    def _keep(self, kind: Kind, verdict: Verdict) -> None:
        """What is held from now on appears again only when it is seen anew."""
        for _, number in verdict.held:
            kind.seen.discard(number)
            kind.live.discard(number)
