"""Frames' rows read in C. Only imported where the accelerator was built."""

from __future__ import annotations

from typing import Any

from bridge.app.reading import read_any
from bridge.changes.reconciler import Row
from bridge.entities.change import Unmapped
from bridge.shard.reader import Reading
from bridge.speed import _native


def read_rows(messages: list[Any]) -> Reading:
    """As `bridge.app.reading.read_rows`."""
    known: list[Row] = []
    unknown: list[Unmapped] = []
    count = len(messages)
    at = _native.read_rows(messages, 0, known)
    while at < count:
        read_any(messages[at], known, unknown)
        at = _native.read_rows(messages, at + 1, known)
    return known, unknown
