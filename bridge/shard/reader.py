"""How frames become rows, as shards see it. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from bridge.changes.audit import Audit
from bridge.changes.reconciler import Row
from bridge.entities.change import Unmapped

Reading: TypeAlias = tuple[list[Row], list[Unmapped]]


@dataclass(frozen=True, slots=True)
class Reader:
    """How frames are read; given by the composition root, so that shards need not know the wire.

    Attributes:
        messages: raw frame -> its messages; exactly, number by number, if told so.
        events: raw frame -> whether it is known to hold nothing but events, and its messages, if they have been read
            for that.
        rows: messages -> rows and what is not understood.
    """

    messages: Callable[[bytes, bool], list[Any]]
    events: Callable[[bytes], tuple[bool, list[Any] | None]]
    rows: Callable[[list[Any]], Reading]

    def watched(self, audit: Audit | None) -> Reader:
        """One that shows an audit all that it reads; this one itself, which loses no time with that, for none."""
        if audit is None:
            return self

        def rows(messages: list[Any]) -> Reading:
            found = self.rows(messages)
            audit.see(found[0])
            return found

        return replace(self, rows=rows)
