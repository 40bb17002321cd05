"""Another commit to measure against: its checkout, and what has changed since."""

from __future__ import annotations

import argparse
import atexit
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

FIGURES = ("cpu_us", "events_s", "p50_ms", "p99_ms", "core")


def checkout(commit: str) -> Path:
    """The files of a commit in a temporary folder, with its accelerator built; an argument type.

    Raises:
        argparse.ArgumentTypeError: there is no such commit, or it cannot be built.
    """
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    found = subprocess.run(["/usr/bin/env", "git", "archive", commit], capture_output=True, check=False)  # noqa: S603
    if found.returncode:
        raise argparse.ArgumentTypeError(found.stderr.decode().strip())
    with tarfile.open(fileobj=io.BytesIO(found.stdout)) as files:
        files.extractall(folder.name, filter="data")
    environment = {**os.environ, "PYTHONPATH": folder.name}
    built = subprocess.run(
        [sys.executable, "-P", "-m", "bridge.speed"], env=environment, capture_output=True, check=False
    )
    if built.returncode:
        raise argparse.ArgumentTypeError(f"the accelerator of {commit} cannot be built: {built.stderr.decode()}")
    return Path(folder.name)


def ratios(figures: Mapping[str, Any], place: str = "") -> Iterator[str]:
    """For each measure of both: how the median has changed since the base, and whether the ranges overlap."""
    if "base" in figures:
        yield from _each(place, figures["bridge"], figures["base"])
        return
    for name, content in figures.items():
        if isinstance(content, Mapping):
            yield from ratios(content, f"{place} {name}".strip())


def _each(place: str, new: Mapping[str, Any], old: Mapping[str, Any]) -> Iterator[str]:
    for name, figure in new.items():
        if isinstance(figure, Mapping) and "median" not in figure:
            yield from _each(f"{place} {name}", figure, old[name])
        elif name in FIGURES:
            ratio = figure["median"] / old[name]["median"]
            overlap = figure["min"] <= old[name]["max"] and old[name]["min"] <= figure["max"]
            yield f"{place} {name}: {ratio:.2f} of the base" + (" (the ranges overlap)" if overlap else "")
