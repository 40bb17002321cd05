"""What the broker sends otherwise than the schemas say, each told once. Pure."""

from __future__ import annotations

from typing import Final

Met = tuple[str, str, str]
"""Entity type, name as in `unmapped` (empty for the type itself), kind of drift."""
UNKNOWN_TYPE: Final = "unknown_type"


class Drift:
    """Remembers what has been met; one for all encoders of a process.

    Attributes:
        news: what was met for the first time since somebody took it; the hot path only asks whether there is any.
    """

    LIMIT = 1000
    """So much is told; a hostile server must not make us grow."""

    def __init__(self) -> None:
        self.news: list[Met] = []
        self._known: set[Met] = set()

    def note(self, entity_type: str, name: str, kind: str) -> None:
        """This was met."""
        met = (entity_type, name, kind)
        if met not in self._known and len(self._known) < self.LIMIT:
            self._known.add(met)
            self.news.append(met)

    def take(self) -> list[Met]:
        """The news, in the order in which they were met; they are no news any more."""
        news = self.news[:]
        self.news.clear()
        return news
