"""Compares everything that arrives with the published state, and says what changed.

Rules held here: content equal to the committed one is not published again; a live event beats a snapshot row of the
same key within a session; `c` for a key that is new, `u` for one that is known, whatever the wire calls it; a
`Deleted` of an unknown key publishes nothing but keeps later snapshot parts from resurrecting the key; what cannot be
encoded is handed back whole, never dropped; foreign rows are counted, and skipped only when the session itself proves
that its snapshot is not sharded (invariant 1).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeAlias

from bridge.changes.state import PublishedState, Table
from bridge.entities.catalogue import Lifecycle
from bridge.entities.change import CREATE, DELETE, INITIAL, LIVE, READ, RECONCILE, UPDATE, Change, Refused, Unmapped
from bridge.entities.encoder import Encoder
from bridge.entities.exact import any_depth_dumps, refuse_rounded
from bridge.errors import Unencodable

Row: TypeAlias = tuple[str, str | None, list[Any], str | None, bool]
"""Entity type, event type (None in a snapshot), entities, snapshot list name, whether it is a snapshot row."""

Foreign = Literal["auto", "publish", "skip"]

SYSTEM_SIGNALS = frozenset({"OtherEnvAdminAlertSignal"})
"""Types whose id stands inside a wrapper (protocol section 9.4): without an id they are unmapped, not refused."""

OTHERS = "(others)"
MAX_NAMES = 1000
"""Distinct unknown type names that are counted by name; a hostile server must not make us grow."""


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


@dataclass(slots=True)
class Kind:
    """All the reconciler needs of one entity type.

    Attributes:
        owner_field: the entity's own field whose value modulo divisor is the shard, if it has one.
        account_field: its own field that names the owning account.
        user_field: its own field that names the owning user.
        parent_field, parent: the field that points to the entity that knows the account, and that type's table.
        lifecycle: what it means that a key is absent from a snapshot.
        live, seen: keys met live, and in snapshot rows, since the session began.
        listed: whether the snapshot has brought the type's list, be it empty.
    """

    name: str
    encoder: Encoder
    table: Table
    owner_field: str | None
    account_field: str | None
    user_field: str | None
    parent_field: str | None
    parent: Table | None
    lifecycle: Lifecycle = Lifecycle.REFERENCE
    live: set[int] = field(default_factory=set)
    seen: set[int] = field(default_factory=set)
    listed: bool = False


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
        self._state, self._kinds = state, kinds
        self._accounts = state.tables.get("account", {})
        self._divisor, self._remainder, self._foreign = divisor, remainder, foreign
        self._deduplicate, self._max_value_bytes = deduplicate, max_value_bytes
        self._initial = True
        self._snapshot_remainders: set[int] = set()
        self._live_owned = self._live_foreign = False

    def open_session(self, *, initial: bool) -> None:
        """A new socket session begins.

        Args:
            initial: no snapshot has ever been completed for this shard, so new rows are `r`.
        """
        self._initial = initial
        for kind in self._kinds.values():
            kind.live.clear()
            kind.seen.clear()
            kind.listed = False
        self._snapshot_remainders.clear()
        self._live_owned = self._live_foreign = False

    @contextmanager
    def counting_down(self, entity_types: Iterable[str]) -> Iterator[None]:
        """Subtract what `apply` counts within, drift of these types included, from what was counted before."""
        counts, self.counts = self.counts, Counts()
        encoders = [self._kinds[name].encoder for name in entity_types if name in self._kinds]
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
        found = Found()
        for entity_type, event_type, entities, list_name, snapshot in rows:
            kind = self._kinds.get(entity_type)
            if kind is None:
                self._set_aside(found, entity_type, event_type, entities, list_name, snapshot, exact)
            elif snapshot:
                kind.listed = kind.listed or list_name is not None
                for entity in entities:
                    self._snapshot_row(kind, entity, exact, found)
            elif event_type == "Deleted":
                for entity in entities:
                    self._deleted(kind, entity, exact, found)
            else:
                for entity in entities:
                    self._upsert(kind, event_type, entity, exact, found)
        return found

    def _upsert(self, kind: Kind, event_type: str | None, entity: Any, exact: bool, found: Found) -> None:
        """A live Created or Updated; hot."""
        self.counts.events += 1
        try:
            value, ts_ms = kind.encoder.encode(entity, exact)
        except Unencodable as error:
            if error.reason == "no_id" and kind.name in SYSTEM_SIGNALS:
                self._set_aside(found, kind.name, event_type, [entity], None, False, exact)
            else:
                _must_be_whole(entity, exact)
                self._refuse(found, kind, entity, event_type, error.reason, str(error))
            return
        number = entity["id"]
        if number not in kind.live:
            kind.live.add(number)
            self._state.live_undo.append((kind.live, number))
        if kind.owner_field is not None:
            self._check_owner(entity.get(kind.owner_field))
        self._publish(kind, event_type, entity, number, value, ts_ms, LIVE, found)

    def _publish(
        self,
        kind: Kind,
        event_type: str | None,
        entity: dict[str, Any],
        number: int,
        value: bytes,
        ts_ms: int | None,
        snapshot: str,
        found: Found,
    ) -> None:
        """Record the change if there is one; hot."""
        table = kind.table
        old = table.get(number)
        if old is None:
            before, op = None, READ if snapshot is INITIAL else CREATE
        else:
            before, op = old[0], UPDATE
            if before == value and (self._deduplicate or snapshot is not LIVE):
                self.counts.duplicates += 1
                return
        if len(value) > self._max_value_bytes:
            detail = f"{kind.name} {number} has {len(value)} bytes, more than kafka.max_record_bytes"
            self._refuse(found, kind, entity, event_type, "too_large", detail)
            return
        account_id, user_id = self.owners(kind, entity, number)
        self._state.undo.append((table, number, old))
        table[number] = (value, account_id, user_id)
        found.changes.append((kind.name, number, op, before, value, ts_ms, account_id, user_id, snapshot))

    def owners(self, kind: Kind, entity: dict[str, Any], number: int) -> tuple[int | None, int | None]:
        """Owning account and user as far as the entity and the published state tell; hot."""
        account_id = user_id = None
        if kind.parent_field is not None and kind.parent is not None:
            reference = number if kind.parent_field == "id" else entity.get(kind.parent_field)
            if type(reference) is int:
                parent = kind.parent.get(reference)
                if parent is not None:
                    account_id = parent[1]
        elif kind.account_field is not None:
            owner = entity.get(kind.account_field)
            account_id = owner if type(owner) is int and -(1 << 63) <= owner < 1 << 63 else None
        if kind.user_field is not None:
            owner = entity.get(kind.user_field)
            user_id = owner if type(owner) is int and -(1 << 63) <= owner < 1 << 63 else None
        elif account_id is not None:
            account = self._accounts.get(account_id)
            if account is not None:
                user_id = account[2]
        return account_id, user_id

    def _snapshot_row(self, kind: Kind, entity: Any, exact: bool, found: Found) -> None:
        self.counts.snapshot_rows += 1
        if isinstance(entity, dict) and type(entity.get("id")) is int:
            kind.seen.add(entity["id"])  # also if it cannot be encoded: it is there
        try:
            value, ts_ms = kind.encoder.encode(entity, exact)
        except Unencodable as error:
            _must_be_whole(entity, exact)
            self._refuse(found, kind, entity, None, error.reason, str(error))
            return
        number = entity["id"]
        if number in kind.live:
            self.counts.beaten += 1
            published = kind.table.get(number)
            if published is None or published[0] != value:
                self.counts.beaten_different += 1
            return
        if kind.owner_field is not None and self._skip_foreign(entity.get(kind.owner_field)):
            return
        self._publish(kind, None, entity, number, value, ts_ms, INITIAL if self._initial else RECONCILE, found)

    def _deleted(self, kind: Kind, entity: Any, exact: bool, found: Found) -> None:
        """The body may be full or a stub; only the id counts (protocol section 9.1)."""
        self.counts.events += 1
        number = entity.get("id") if isinstance(entity, dict) else None
        if type(number) is not int or not -(1 << 63) <= number < 1 << 63:
            _must_be_whole(entity, exact)
            reason = "not_an_object" if not isinstance(entity, dict) else "no_id" if number is None else "id_not_int64"
            self._refuse(found, kind, entity, "Deleted", reason, f"a Deleted {kind.name} needs an int64 id")
            return
        if number not in kind.live:
            kind.live.add(number)
            self._state.live_undo.append((kind.live, number))
        old = kind.table.pop(number, None)
        if old is None:
            self.counts.unknown_deletes += 1
            return
        self._state.undo.append((kind.table, number, old))
        before, account_id, user_id = old
        found.changes.append((kind.name, number, DELETE, before, None, None, account_id, user_id, LIVE))

    def _check_owner(self, owner: Any) -> None:
        """A live event that belongs to another shard is published all the same, and counted."""
        if type(owner) is int:
            if owner % self._divisor == self._remainder:
                self._live_owned = True
            else:
                self._live_foreign = True
                self.counts.foreign_live += 1

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

    def _refuse(self, found: Found, kind: Kind, entity: Any, event_type: str | None, reason: str, detail: str) -> None:
        self.counts.refused[reason] += 1
        number = entity.get("id") if isinstance(entity, dict) else None
        known = number if type(number) is int and -(1 << 63) <= number < 1 << 63 else None
        raw = any_depth_dumps(entity).encode()
        found.refused.append(Refused(kind.name, known, event_type, reason, detail, raw))

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


def _must_be_whole(raw: Any, exact: bool) -> None:
    """What is kept as it came must not have been rounded by the fast reader (raises Inexact)."""
    if not exact:
        refuse_rounded(raw)
