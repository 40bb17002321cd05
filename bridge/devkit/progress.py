"""How far a long step is, for people: a bar on a terminal, plain lines elsewhere, always on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

_LINES = 4


class Progress(Protocol):
    """Told by a long step how far it is."""

    @contextmanager
    def running(self, title: str, total: int) -> Iterator[None]:
        """Encloses the step, which has `total` parts."""

    def advance(self, name: str) -> None:
        """One part, called `name`, is done."""


class Lines:
    """A few plain lines, for logs of machines."""

    def __init__(self, out: TextIO) -> None:
        self._out, self._total, self._done = out, 0, 0

    @contextmanager
    def running(self, title: str, total: int) -> Iterator[None]:
        """Say what begins, and when it is complete."""
        self._total, self._done = total, 0
        self._say(title)
        yield
        self._say("fetched and verified")

    def advance(self, name: str) -> None:
        """Say something at every quarter only."""
        self._done += 1
        if self._done < self._total and self._done % max(1, self._total // _LINES) == 0:
            self._say(f"{self._done}/{self._total} ({name})")

    def _say(self, text: str) -> None:
        self._out.write(f"{text}\n")
        self._out.flush()


class Bar:
    """A bar on a terminal."""

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar, self._task = RichProgress(*columns, console=console), TaskID(0)

    @contextmanager
    def running(self, title: str, total: int) -> Iterator[None]:
        """Show the bar while the step runs."""
        with self._bar:
            self._task = self._bar.add_task(title, total=total)
            yield

    def advance(self, name: str) -> None:  # noqa: ARG002 - the bar shows numbers, the lines show names
        """Move the bar on."""
        self._bar.advance(self._task)


def progress_on_stderr() -> Progress:
    """A bar if stderr is a terminal, else plain lines."""
    return Bar(Console(stderr=True)) if sys.stderr.isatty() else Lines(sys.stderr)
