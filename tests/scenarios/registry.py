"""What scenarios there are."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge.devkit.kafka import EmbeddedKafka

Figures = Mapping[str, Any]
"""What is printed of a scenario; plain values by name."""
Known = dict[str, "Scenario"]


@dataclass(frozen=True, slots=True)
class Ground:
    """Where a scenario is played.

    Attributes:
        kafka: a running cluster, shared with others; who kills brokers starts its own.
        prefix: for topics that nobody else uses.
        folder: for logs, empty.
        small: scaled down, for the tests that everybody runs: some seconds, and nothing that a slow machine breaks.
    """

    kafka: EmbeddedKafka
    prefix: str
    folder: Path
    small: bool


Play = Callable[[Ground], Awaitable[Figures]]
"""Plays it and returns its figures; raises AssertionError if it does not go as it must."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One scenario.

    Attributes:
        minutes: how long it takes at full size, roughly.
        paced: it judges how fast something is, so nothing else may be played beside it.
        small: it can be scaled down.
    """

    name: str
    what: str
    play: Play
    minutes: int
    paced: bool
    small: bool


_known: Known = {}


def scenario(name: str, what: str, *, minutes: int, paced: bool = False, small: bool = True) -> Callable[[Play], Play]:
    """Registers a function that plays a scenario.

    Args:
        name: a short word for the command line.
        what: one sentence.
        minutes, paced: see `Scenario`.
        small: whether it belongs to the tests that everybody runs, scaled down.
    """

    def register(play: Play) -> Play:
        assert name not in _known, f"two scenarios are called {name}"
        _known[name] = Scenario(name, what, play, minutes, paced, small)
        return play

    return register


def scenarios() -> Known:
    """All that the modules of this package register, by name."""
    folder = Path(__file__).parent
    for module in pkgutil.iter_modules([str(folder)]):
        if module.name != "__main__":
            importlib.import_module(f"tests.scenarios.{module.name}")
    return dict(sorted(_known.items()))


def line(name: str, figures: Figures) -> str:
    """Figures for people, on one line."""
    return f"{name}: " + ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in figures.items())
