"""Compares everything that arrives with the published state, and says what changed.

Rules held here: content equal to the committed one is not published again; a live event beats a snapshot row of the
same key within a session; `c` for a key that is new, `u` for one that is known, whatever the wire calls it; a
`Deleted` of an unknown key publishes nothing but keeps later snapshot parts from resurrecting the key; what cannot be
encoded is handed back whole, never dropped; foreign rows are counted, and skipped only when the session itself proves
that its snapshot is not sharded (invariant 1).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from bridge.changes.counts import OTHERS, Counts
from bridge.changes.kind import Event, Kind, Read
from bridge.changes.state import PublishedState, Undo
from bridge.entities.change import CREATE, DELETE, INITIAL, LIVE, READ, RECONCILE, UPDATE, Change, Refused, Unmapped
from bridge.entities.encoder import UNUSUAL
from bridge.entities.exact import any_depth_dumps, refuse_rounded
from bridge.errors import Unencodable

Row: TypeAlias = tuple[str, str | None, list[Any], str | None, bool]
"""Entity type, event type (None in a snapshot), entities, snapshot list name, whether it is a snapshot row."""

Foreign = Literal["auto", "publish", "skip"]

SYSTEM_SIGNALS = frozenset({"OtherEnvAdminAlertSignal"})
"""Types whose id stands inside a wrapper (protocol section 9.4): without an id they are unmapped, not refused."""

MAX_NAMES = 1000
"""Distinct unknown type names that are counted by name; a hostile server must not make us grow."""


@dataclass(slots=True)
class Found:
    """What one frame, or a slice of a large one, came to."""

    changes: list[Change] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    unmapped: list[Unmapped] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.changes or self.refused or self.unmapped)


class Reconciler:
    """Reconciles one shard's rows with its state.

    Args:
        kinds: by entity type; types that are not here are unmapped.
        accounts: the table of `account`, to find the user of an account.
        deduplicate: False publishes every event, also those that change nothing.
        max_value_bytes: a larger Value is refused (`too_large`).

    Attributes:
        kinds, max_value_bytes: as given.
        counts: of what was met and not published.
    """

    def __init__(
        self,
        state: PublishedState,
        kinds: dict[str, Kind],
        *,
        divisor: int,
        remainder: int,
        foreign: Foreign = "auto",
        deduplicate: bool = True,
        max_value_bytes: int,
    ) -> None:
        self.counts = Counts()
        self.kinds, self.max_value_bytes = kinds, max_value_bytes
        self._undo, self._live_undo = state.undo, state.live_undo
        self._accounts = state.tables.get("account", {})
        self._divisor, self._remainder, self._foreign = divisor, remainder, foreign
        self._deduplicate = deduplicate
        self._initial = True
        self._snapshot_remainders: set[int] = set()
        self._live_owned = self._live_foreign = False

    def open_session(self, *, initial: bool) -> None:
        """A new socket session begins.

        Args:
            initial: no snapshot has ever been completed for this shard, so new rows are `r`.
        """
        self._initial = initial
        for kind in self.kinds.values():
            kind.live.clear()
            kind.seen.clear()
            kind.listed = False
        self._snapshot_remainders.clear()
        self._live_owned = self._live_foreign = False

    @contextmanager
    def counting_down(self, entity_types: Iterable[str]) -> Iterator[None]:
        """Subtract what `apply` counts within, drift of these types included, from what was counted before."""
        counts, self.counts = self.counts, Counts()
        encoders = [self.kinds[name].encoder for name in entity_types if name in self.kinds]
        drifts = [encoder.begin_drift() for encoder in encoders]
        try:
            yield
        finally:
            counted, self.counts = self.counts, counts
            counts.subtract(counted)
            for encoder, drift in zip(encoders, drifts, strict=True):
                encoder.end_drift(drift)

    def refuse_frame(self, raw: bytes, detail: str) -> Refused:
        """Count and keep a frame that cannot be read exactly although that is needed."""
        self.counts.refused["too_deep"] += 1
        return Refused(None, None, None, "too_deep", detail, raw)

    def apply(self, rows: Iterable[Row], *, exact: bool = False) -> Found:
        """Compare rows with the state and move the (uncommitted) state along.

        Args:
            exact: the rows were read with exact numbers, so none needs to be read again.

        Raises:
            Inexact: a number may have lost digits in the fast JSON reader; roll back, read the frame exactly, and
                apply it again.
        """
        found = Found([], [], [])
        for entity_type, event_type, entities, list_name, snapshot in rows:
            kind = self.kinds.get(entity_type)
            if kind is None:
                self._set_aside(found, entity_type, event_type, entities, list_name, snapshot, exact)
            elif snapshot:
                kind.listed = kind.listed or list_name is not None
                self._upserts(kind, None, entities, INITIAL if self._initial else RECONCILE, exact, found)
            elif event_type == "Deleted":
                for entity in entities:
                    self._deleted(kind, entity, exact, found)
            else:
                self._upserts(kind, event_type, entities, LIVE, exact, found)
        return found

    def _upserts(
        self, kind: Kind, event_type: str | None, entities: list[Any], snapshot: str, exact: bool, found: Found
    ) -> None:
        """Live Created and Updated, or rows of a snapshot."""
        events: list[Event] = []
        for entity in entities:
            try:
                read = kind.read[len(entity)](entity)
            except UNUSUAL:
                read = self._read(kind, event_type, entity, snapshot, exact, found)
                if not read:
                    continue
            if snapshot is LIVE or not self._leave_out(kind, read):
                events.append((kind, read, entity, event_type))
        passed = len(entities) - len(events)
        if snapshot is LIVE:
            self.counts.events += passed
        else:
            self.counts.snapshot_rows += passed
        found.changes += self.publish((events,), snapshot, found.refused, self._undo)[0]

    def publish(  # noqa: C901, PLR0912 - hot, so it is one loop
        self, frames: Iterable[Sequence[Event]], snapshot: str, refused: list[Refused], undo: Undo | None
    ) -> list[list[Change]]:
        """Move the state along with what was read of some frames, and say what changed with each; hot.

        Args:
            refused: for what is too large.
            undo: the state's, in case this has to be taken back; None if it will not be.
        """
        counts, accounts, most = self.counts, self._accounts, self.max_value_bytes
        divisor, mine, live = self._divisor, self._remainder, snapshot is LIVE
        published: list[list[Change]] = []
        for events in frames:
            changes: list[Change] = []
            published.append(changes)
            if live:
                counts.events += len(events)
            else:
                counts.snapshot_rows += len(events)
            for kind, read, entity, event_type in events:
                value, ts_ms, number, owner, reference, user_id = read
                if live:
                    if number not in kind.live:
                        kind.live.add(number)
                        if undo is not None:
                            self._live_undo.append((kind.live, number))
                    if owner is not None:
                        if owner % divisor == mine:
                            self._live_owned = True
                        else:  # belongs to another shard; it is published all the same, and counted
                            self._live_foreign = True
                            counts.foreign_live += 1
                table = kind.table
                old = table.get(number)
                if old is None:
                    before, op = None, READ if snapshot is INITIAL else CREATE
                else:
                    before, op = old[0], UPDATE
                    if before == value and (self._deduplicate or not live):
                        counts.duplicates += 1
                        continue
                if len(value) > most:
                    self._too_large(refused, kind, entity, event_type, number, len(value))
                    continue
                if kind.parent is not None:
                    parent = kind.parent.get(reference)
                    reference = None if parent is None else parent[1]
                elif old is not None and reference == old[1]:
                    reference = old[1]  # one integer for all versions: none of long life among those that go
                if user_id is None and kind.user_field is None:
                    account = accounts.get(reference)
                    user_id = None if account is None else account[2]
                if undo is not None:
                    undo.append((table, number, old))
                table[number] = (value, reference, user_id)
                changes.append((kind.name, number, op, before, value, ts_ms, reference, user_id, snapshot))
        return published

    def _read(
        self, kind: Kind, event_type: str | None, entity: Any, snapshot: str, exact: bool, found: Found
    ) -> Read | tuple[()]:
        """What `Kind.read` gives, of an entity that is not usual; nothing if it has been refused or set aside."""
        if snapshot is not LIVE and isinstance(entity, dict) and type(entity.get("id")) is int:
            kind.seen.add(entity["id"])  # also if it cannot be encoded: it is there
        try:
            value, ts_ms = kind.encoder.encode(entity, exact)
        except Unencodable as error:
            if snapshot is LIVE and error.reason == "no_id" and kind.name in SYSTEM_SIGNALS:
                self._set_aside(found, kind.name, event_type, [entity], None, False, exact)
            else:
                _must_be_whole(entity, exact)
                self._refuse(found.refused, kind, entity, event_type, error.reason, str(error))
            return ()
        owner, reference = entity.get(kind.owner_field), entity.get(kind.parent_field or kind.account_field)
        owner = owner if type(owner) is int else None  # whatever its size, its remainder counts
        return value, ts_ms, entity["id"], owner, _long(reference), _long(entity.get(kind.user_field))

    def owners(self, kind: Kind, entity: Any) -> tuple[int | None, int | None]:
        """Owning account and user as far as the entity and the published state tell."""
        account_id = _long(entity.get(kind.parent_field or kind.account_field))
        if kind.parent is not None and account_id is not None:
            parent = kind.parent.get(account_id)
            account_id = None if parent is None else parent[1]
        if kind.user_field is not None:
            return account_id, _long(entity.get(kind.user_field))
        account = None if account_id is None else self._accounts.get(account_id)
        return account_id, None if account is None else account[2]

    def _leave_out(self, kind: Kind, read: Read) -> bool:
        """Whether a snapshot row is not to be published; which is counted."""
        value, _, number, owner, _, _ = read
        kind.seen.add(number)
        if number not in kind.live:
            return self._skip_foreign(owner)
        self.counts.beaten += 1
        published = kind.table.get(number)
        self.counts.beaten_different += published is None or published[0] != value
        return True

    def _deleted(self, kind: Kind, entity: Any, exact: bool, found: Found) -> None:
        """The body may be full or a stub; only the id counts (protocol section 9.1)."""
        self.counts.events += 1
        given = entity.get("id") if isinstance(entity, dict) else None
        number = _long(given)
        if number is None:
            _must_be_whole(entity, exact)
            reason = "not_an_object" if not isinstance(entity, dict) else "no_id" if given is None else "id_not_int64"
            self._refuse(found.refused, kind, entity, "Deleted", reason, f"a Deleted {kind.name} needs an int64 id")
            return
        if number not in kind.live:
            kind.live.add(number)
            self._live_undo.append((kind.live, number))
        old = kind.table.pop(number, None)
        if old is None:
            self.counts.unknown_deletes += 1
            return
        self._undo.append((kind.table, number, old))
        before, account_id, user_id = old
        found.changes.append((kind.name, number, DELETE, before, None, None, account_id, user_id, LIVE))

    def is_foreign(self, owner: Any) -> bool:
        """Whether this is an owner of another shard, and nothing in this session disproves that there are such."""
        foreign = type(owner) is int and owner % self._divisor != self._remainder
        return foreign and not self._live_foreign and self._foreign != "publish"

    def _skip_foreign(self, owner: Any) -> bool:
        """Whether to skip a snapshot row because it belongs to another shard."""
        if type(owner) is not int:
            return False
        remainder = owner % self._divisor
        self._snapshot_remainders.add(remainder)
        if remainder == self._remainder:
            return False
        self.counts.foreign_snapshot += 1
        proven = self._live_owned and not self._live_foreign and len(self._snapshot_remainders) > 1
        skipped = self._foreign == "skip" or (self._foreign == "auto" and proven)
        self.counts.foreign_skipped += skipped
        return skipped

    def _too_large(
        self, refused: list[Refused], kind: Kind, entity: Any, event_type: str | None, number: int, size: int
    ) -> None:
        detail = f"{kind.name} {number} has {size} bytes, more than kafka.max_record_bytes"
        self._refuse(refused, kind, entity, event_type, "too_large", detail)

    def _refuse(
        self, refused: list[Refused], kind: Kind, entity: Any, event_type: str | None, reason: str, detail: str
    ) -> None:
        self.counts.refused[reason] += 1
        number = entity.get("id") if isinstance(entity, dict) else None
        raw = any_depth_dumps(entity).encode()
        refused.append(Refused(kind.name, _long(number), event_type, reason, detail, raw))

    def _set_aside(
        self,
        found: Found,
        entity_type: str,
        event_type: str | None,
        entities: list[Any],
        list_name: str | None,
        snapshot: bool,
        exact: bool,
    ) -> None:
        _must_be_whole(entities, exact)
        names = self.counts.unmapped
        names[entity_type if entity_type in names or len(names) < MAX_NAMES else OTHERS] += len(entities)
        found.unmapped += [Unmapped(entity_type, event_type, list_name, snapshot, entity) for entity in entities]


def _long(value: Any) -> int | None:
    """An id, if it can be one."""
    return value if type(value) is int and -(1 << 63) <= value < 1 << 63 else None


def _must_be_whole(raw: Any, exact: bool) -> None:
    """What is kept as it came must not have been rounded by the fast reader (raises Inexact)."""
    if not exact:
        refuse_rounded(raw)
