"""Figures of several runs: median and range, as a table and as JSON."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table

from bridge.speed.choice import IMPLEMENTATION

Run = Mapping[str, float]
"""One run's figures by name."""


def summary(runs: Sequence[Run]) -> dict[str, Any]:
    """Median, least and most of each figure; with `j_us` among them also the cost in J."""
    names = runs[0].keys()
    table: dict[str, Any] = {name: spread([run[name] for run in runs]) for name in names}
    if "j_us" in table:
        table["J"] = spread([run["cpu_us"] / run["j_us"] for run in runs])
    return {"runs": len(runs), **table}


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median and range."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def machine() -> dict[str, Any]:
    """What was measured on, as far as it matters."""
    return {
        "python": platform.python_version(),
        "implementation": IMPLEMENTATION,
        "processor": platform.machine(),
        "cpus": os.cpu_count(),
        "date": time.strftime("%Y-%m-%d"),
    }


def table(figures: Mapping[str, Any]) -> Table:
    """All figures for people."""
    shown = Table("measure", "figure", "median", "min", "max", title=f"{IMPLEMENTATION} implementation")
    for row in _rows(figures, ()):
        shown.add_row(*row)
    return shown


def _rows(figures: Mapping[str, Any], place: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for name, figure in figures.items():
        if isinstance(figure, Mapping) and "median" in figure:
            yield " ".join(place), name, *(f"{figure[key]:,.2f}" for key in ("median", "min", "max"))
        elif isinstance(figure, Mapping) and name not in {"machine", "aims"}:
            yield from _rows(figure, (*place, name))
        elif isinstance(figure, float):
            yield " ".join(place), name, f"{figure:,.2f}", "", ""
