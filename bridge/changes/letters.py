"""Dead letters that are tried once more, after what kept them from being encoded has been mended. Pure.

A letter is old: its key may have changed since. Whoever sends it therefore says which content of the key it is newer
than, by that content's hash; if the key has another one now, the letter is superseded and publishes nothing. It is no
sign of life of the key in the present session either, so a later row of the snapshot is not beaten by it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from bridge.changes.kind import Kind
from bridge.changes.reconciler import Reconciler
from bridge.changes.state import PublishedState
from bridge.entities.change import CREATE, RETRIED, UPDATE, Change
from bridge.errors import Unencodable

PUBLISHED, UNCHANGED, SUPERSEDED, UNENCODABLE = "published", "unchanged", "superseded", "unencodable"


@dataclass(frozen=True, slots=True)
class Letter:
    """An entity that was refused.

    Attributes:
        entity: read with exact numbers.
        newer_than: hash of the key's content that this one follows, None if the key had none.
    """

    entity_type: str
    entity: Any
    newer_than: str | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a letter.

    Attributes:
        word: `published`; `unchanged`, its content is what stands there; `superseded`, the key has another content than
            the letter follows; `unencodable`, still.
        detail: a sentence, if there is more to say.
        content: hash of the key's content now, None if it has none or there is no key.
    """

    word: str
    detail: str = ""
    content: str | None = None


class Retrial:
    """Tries letters of one shard.

    Args:
        max_value_bytes: a larger Value is refused.

    Attributes:
        counts: outcomes since the process started.
    """

    def __init__(
        self, state: PublishedState, kinds: Mapping[str, Kind], reconciler: Reconciler, max_value_bytes: int
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._state, self._kinds, self._reconciler = state, kinds, reconciler
        self._max_value_bytes = max_value_bytes

    def content(self, entity_type: str, number: int) -> str | None:
        """Hash of a key's published content; None if it has none, or the type is unknown."""
        kind = self._kinds.get(entity_type)
        entry = kind.table.get(number) if kind is not None else None
        return None if entry is None else sha256(entry[0]).hexdigest()

    def retry(self, letter: Letter) -> tuple[list[Change], Outcome]:
        """Publish it if it can be encoded now and its key is as the letter says; the state moves along."""
        changes, outcome = self._judge(letter)
        self.counts[outcome.word] += 1
        return changes, outcome

    def _judge(self, letter: Letter) -> tuple[list[Change], Outcome]:
        kind = self._kinds.get(letter.entity_type)
        if kind is None:
            return [], Outcome(UNENCODABLE, f"{letter.entity_type} is no entity type")
        try:
            value, ts_ms = kind.encoder.encode(letter.entity, True)
        except Unencodable as error:
            return [], Outcome(UNENCODABLE, f"{error.reason}: {error}")
        if len(value) > self._max_value_bytes:
            return [], Outcome(UNENCODABLE, f"too_large: {len(value)} bytes, more than kafka.max_record_bytes")
        number = letter.entity["id"]
        now = self.content(kind.name, number)
        if now == sha256(value).hexdigest():
            return [], Outcome(UNCHANGED, content=now)
        if now != letter.newer_than:
            return [], Outcome(SUPERSEDED, "the key has changed since", now)
        return [self._change(kind, letter.entity, number, value, ts_ms)], Outcome(
            PUBLISHED, content=sha256(value).hexdigest()
        )

    def _change(self, kind: Kind, entity: dict[str, Any], number: int, value: bytes, ts_ms: int | None) -> Change:
        old = kind.table.get(number)
        account_id, user_id = self._reconciler.owners(kind, entity)
        self._state.undo.append((kind.table, number, old))
        kind.table[number] = (value, account_id, user_id)
        op, before = (CREATE, None) if old is None else (UPDATE, old[0])
        return (kind.name, number, op, before, value, ts_ms, account_id, user_id, RETRIED)
