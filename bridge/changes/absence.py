"""Which published keys a snapshot no longer holds, and whether that is evidence enough to say so. Pure.

After a disconnect vanished entities are simply absent, so absence is all there is; and it is weak evidence, because
nothing marks the end of a snapshot. Therefore: only types that were asked for and whose list was present count; it is
judged long after the last part; `entity` types are deleted under a brake; `session` types are archived only when the
session has rolled since they were last seen; `reference` and `stream` types are kept. A snapshot that lacks a list
which it should have is taken for cut off: it deletes, archives and releases nothing. What the brake holds is deleted
when the next complete snapshot agrees or somebody confirms it, and forgotten when the key appears again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from bridge.changes.held import HeldKeys
from bridge.changes.kind import Kind
from bridge.changes.resend import Past
from bridge.changes.roll import session_end
from bridge.changes.state import PublishedState
from bridge.entities.catalogue import Lifecycle
from bridge.entities.change import AUDIT, DELETE, RECONCILE, Change


@dataclass(frozen=True, slots=True)
class Brake:
    """How much of a type may vanish at once.

    Attributes:
        share: of the published keys of the type, 0 to 1.
        least: so many may always vanish, or small tables would always be held.
    """

    share: float
    least: int = 10

    def why(self, absent: int, published: int, *, empty: bool, incomplete: bool) -> str | None:
        """Why so many absent keys are not believed, None if they are; an empty list is never believed at once."""
        if incomplete:
            return "incomplete"
        if empty:
            return "empty_list"
        return "share" if absent > max(self.least, self.share * published) else None


@dataclass(slots=True)
class Verdict:
    """What the absence of keys of one type came to; state and held keys have moved along.

    Attributes:
        deleted: changes to publish.
        repaired: changes to publish because an audit has found them missing.
        archived: (entity type, id) of session entities that the roll has ended.
        held: (entity type, id) of keys that are held from now on.
        since_ms: when that was, epoch milliseconds.
        cause: why they are held, or who let go: `empty_list`, `share`, `incomplete`, `agreed`, `confirmed`,
            `discarded`, `appeared`; of what is repaired: `differed` or `vanished`.
        released: (entity type, id) of keys that are held no more, whatever became of them.
    """

    deleted: list[Change] = field(default_factory=list)
    repaired: list[Change] = field(default_factory=list)
    archived: list[tuple[str, int]] = field(default_factory=list)
    held: list[tuple[str, int]] = field(default_factory=list)
    since_ms: int = 0
    cause: str | None = None
    released: list[tuple[str, int]] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.deleted or self.repaired or self.archived or self.held or self.released)

    @property
    def changes(self) -> list[Change]:
        """All changes to publish."""
        return self.deleted or self.repaired


class Absence:
    """Judges the absence of keys, snapshot after snapshot.

    Args:
        held: what the brake holds.
        past: tells when session entities were seen last.
        requested: entity types that were asked for; others say nothing by being absent.

    Attributes:
        kinds: those of the requested types.
    """

    def __init__(
        self,
        state: PublishedState,
        held: HeldKeys,
        past: Past,
        kinds: Mapping[str, Kind],
        requested: Collection[str],
        brake: Brake,
    ) -> None:
        self._state, self._held, self._past, self._brake, self._all = state, held, past, brake, kinds
        self.kinds = [kind for name, kind in kinds.items() if name in requested]
        self._lacking: set[str] = set()

    def judge(self, last_seen_ms: int | None, now_ms: int) -> Iterator[Verdict]:
        """Verdicts type by type, so that others may run in between.

        Args:
            last_seen_ms: when the snapshot before this one was complete: no key was seen later than that except live.
            now_ms: when this one was.
        """
        ended_ms = session_end(now_ms)
        rolled = last_seen_ms is not None and last_seen_ms < ended_ms
        incomplete = self._incomplete(rolled=rolled)
        for kind in self.kinds:
            if not kind.listed or not kind.table:
                continue
            absent = [n for n in kind.table if n not in kind.seen and n not in kind.live]
            if kind.lifecycle is Lifecycle.ENTITY:
                yield from self.entities(kind, absent, now_ms, empty=not kind.seen, incomplete=incomplete)
            elif kind.lifecycle is Lifecycle.SESSION and rolled and not incomplete:
                yield from self.archive(kind, self.ended(kind, absent, ended_ms))

    def ended(self, kind: Kind, absent: Iterable[int], ended_ms: int) -> list[int]:
        """Those of the absent session entities that belong to a session which has ended by that time."""
        return [number for number in absent if not self._past.seen_since(kind.name, number, ended_ms)]

    def archive(self, kind: Kind, numbers: Collection[int]) -> Iterator[Verdict]:
        """Take session entities out of the state; the roll has ended them."""
        if numbers:
            yield Verdict(archived=[(kind.name, number) for number in numbers if self._take(kind, number)])

    def decide(self, *, confirm: bool, entity_type: str | None, numbers: Collection[int]) -> Iterator[Verdict]:
        """What somebody has decided about held keys: delete them, or forget that they were missing.

        Args:
            entity_type: None means all types.
            numbers: only these ids; none means all.
        """
        for name in self._held:
            if entity_type in (None, name):
                keys = list(self._held.of(name))
                chosen = [number for number in keys if not numbers or number in numbers]
                if chosen:
                    yield self._let_go(self._all[name], chosen, "confirmed" if confirm else "discarded")

    def appeared(self, audited: Mapping[str, Collection[int]] | None = None) -> Iterator[Verdict]:
        """Held keys that have been seen again, live or in a snapshot: they are held no more.

        Args:
            audited: look at these ids by type, which an audit has found, and at none else.
        """
        for name in self._held:
            kind = self._all[name]
            if audited is None:
                again = self._held.among(name, kind.live) | self._held.among(name, kind.seen)
            else:
                again = self._held.among(name, audited.get(name, ()))
            if again:
                yield self._let_go(kind, again, "appeared")

    def _incomplete(self, *, rolled: bool) -> bool:
        """Whether a list is missing that must have rows, and was not missing in the snapshot before either."""
        lacking = {
            kind.name
            for kind in self.kinds
            if kind.table and not kind.listed and not (rolled and kind.lifecycle is Lifecycle.SESSION)
        }
        fresh, self._lacking = lacking - self._lacking, lacking
        return bool(fresh)

    def entities(
        self,
        kind: Kind,
        absent: Collection[int],
        now_ms: int,
        *,
        empty: bool,
        incomplete: bool = False,
        audit: bool = False,
    ) -> Iterator[Verdict]:
        """What becomes of absent keys of a type that knows deletions: deleted, or held by the brake.

        Args:
            empty: the list was there but held nothing.
            incomplete: the snapshot lacks a list.
            audit: an audit says so: what is deleted at once is a repair.
        """
        word = AUDIT if audit else RECONCILE
        agreed = self._held.among(kind.name, absent)
        fresh = [number for number in absent if number not in agreed]
        why = self._brake.why(len(fresh), len(kind.table), empty=empty, incomplete=incomplete)
        if agreed and not incomplete:
            yield self._let_go(kind, agreed, "agreed", word)
        if fresh and why is not None:
            for number in fresh:
                self._held.hold(kind.name, number, now_ms)
            yield Verdict(held=[(kind.name, number) for number in fresh], since_ms=now_ms, cause=why)
        elif fresh:
            gone = [self._delete(kind, number, word) for number in fresh]
            yield Verdict(repaired=gone, cause="vanished") if audit else Verdict(deleted=gone)

    def _let_go(self, kind: Kind, numbers: Iterable[int], cause: str, word: str = RECONCILE) -> Verdict:
        """Hold no more; delete what is still published, if that is the cause."""
        verdict = Verdict(cause=cause)
        for number in numbers:
            self._held.release(kind.name, number)
            verdict.released.append((kind.name, number))
            if cause in ("agreed", "confirmed") and number in kind.table:
                verdict.deleted.append(self._delete(kind, number, word))
        return verdict

    def _delete(self, kind: Kind, number: int, word: str) -> Change:
        before, account_id, user_id = kind.table[number]
        self._take(kind, number)
        return (kind.name, number, DELETE, before, None, None, account_id, user_id, word)

    def _take(self, kind: Kind, number: int) -> bool:
        self._state.undo.append((kind.table, number, kind.table.pop(number)))
        return True
