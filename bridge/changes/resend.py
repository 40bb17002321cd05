"""Which events near the session roll are the session's own, sent once more (protocol section 14). Pure.

Nothing on the wire tells them apart. They are recognised by content: an event that gives a key a content it has had
before, or brings an archived key back. For that the hashes of the latest contents of every session-type key are kept,
and when it was seen last; of the changes themselves nothing is kept, because memory that is used again only much later
is slow.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import groupby
from typing import TypeAlias

from bridge.changes.roll import resend_window
from bridge.changes.state import PublishedState
from bridge.entities.change import LIVE, Change

CONTENTS = 16
"""Former contents that are remembered of each key."""


Notes: TypeAlias = tuple[dict[int, list[int]], dict[int, int]]
"""Of the keys of a type: hashes of former contents, and when they were seen last (epoch milliseconds)."""


class Past:
    """The past of session-type keys since the process started.

    Args:
        session_types: entity types that the roll archives.

    Attributes:
        notes: by type; for who notes by itself.
    """

    def __init__(self, state: PublishedState, session_types: Collection[str]) -> None:
        self._tables = {name: state.tables[name] for name in session_types}
        self.notes: dict[str, Notes] = {name: ({}, {}) for name in session_types}
        self._archived: dict[str, set[int]] = {name: set() for name in session_types}
        self._from_ms = self._to_ms = 0

    def is_quiet(self, now_ms: int) -> bool:
        """Whether nothing is sent again at this time, so that changes need only be noted; hot."""
        if now_ms < self._from_ms:
            return True
        if now_ms >= self._to_ms:
            self._forget()
            self._from_ms, self._to_ms = resend_window(now_ms)
        return now_ms < self._from_ms

    def runs(self, changes: list[Change], now_ms: int) -> Sequence[tuple[bool, list[Change]]]:
        """The changes of a frame in order, in runs that are sent again (True) and that are not; hot."""
        if self.is_quiet(now_ms):
            self.note(changes, now_ms)
            return ((False, changes),)
        return [(again, list(run)) for again, run in groupby(changes, lambda change: self._sort(change, now_ms))]

    def _sort(self, change: Change, now_ms: int) -> bool:
        again = self._is_again(change)
        self.note((change,), now_ms)
        return again

    def seen_since(self, entity_type: str, number: int, since_ms: int) -> bool:
        """Whether a key has been seen at this moment or later, as far as we know."""
        return self.notes[entity_type][1].get(number, since_ms - 1) >= since_ms

    def saw(self, entity_type: str, numbers: Iterable[int], now_ms: int) -> None:
        """These keys have been seen, though nothing of them changed."""
        self.notes[entity_type][1].update(dict.fromkeys(numbers, now_ms))

    def archived(self, keys: Iterable[tuple[str, int]]) -> None:
        """These have been archived; should they come back near the roll, they are sent again."""
        for entity_type, number in keys:
            self._archived[entity_type].add(number)

    def _forget(self) -> None:
        """The time near a roll is over: what is no longer published need not be remembered."""
        for name, table in self._tables.items():
            self._archived[name].clear()
            for noted in self.notes[name]:
                for number in [n for n in noted if n not in table]:
                    del noted[number]

    def _is_again(self, change: Change) -> bool:
        entity_type, number, after = change[0], change[1], change[4]
        if change[8] is not LIVE or after is None or entity_type not in self.notes:
            return False
        contents = self.notes[entity_type][0].get(number, ())
        return hash(after) in contents or number in self._archived[entity_type]

    def note(self, changes: Iterable[Change], now_ms: int) -> None:
        """Remember what was there before these, and that they were seen; hot."""
        notes = self.notes
        for change in changes:
            if change[0] not in notes:
                continue
            (known, seen_ms), number, before = notes[change[0]], change[1], change[3]
            seen_ms[number] = now_ms
            if before is None:
                continue
            contents = known.get(number)
            if contents is None:
                known[number] = [hash(before)]
            else:
                contents.append(hash(before))
                if len(contents) > CONTENTS:
                    del contents[0]
