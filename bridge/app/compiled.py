"""Frames read in C, as rows or all the way to records. Only imported where the accelerator was built."""

from __future__ import annotations

from typing import Any

from bridge.app.reading import read_any
from bridge.changes.compiled import CompiledReconciler
from bridge.changes.reconciler import Reconciler, Row
from bridge.changes.resend import CONTENTS, Past
from bridge.entities.change import Unmapped
from bridge.kafka.compiled import CompiledEnvelopes
from bridge.kafka.envelope import Batches, Envelopes
from bridge.shard.frames import LARGE_FRAME_BYTES
from bridge.shard.notes import Frame
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


def only_events(raw: bytes) -> tuple[bool, list[Any] | None]:
    """As `bridge.app.reading.read_events`, but it keeps nothing, and vouches for nothing unusual."""
    return _native.only_events(raw), None


class CompiledExpress:
    """`bridge.shard.frames.Express` by what the shard's reconciler and envelopes are made of."""

    def __init__(self, reconciler: Reconciler, envelopes: Envelopes, past: Past) -> None:
        if not isinstance(reconciler, CompiledReconciler) or not isinstance(envelopes, CompiledEnvelopes):
            raise TypeError("reconciler and envelopes must be compiled")
        self._met = reconciler.met
        self._native = _native.Express(reconciler.live, envelopes.splicer, past.notes, CONTENTS, LARGE_FRAME_BYTES)

    def take(
        self, frames: list[bytes], start: int, number: int, received_us: int, now_ms: int, seq: int, batches: Batches
    ) -> tuple[int, int]:
        """As the Protocol's."""
        taken, seq, *met = self._native.take(frames, start, number, received_us, now_ms, seq, batches)
        self._met(*met)
        return taken, seq

    def take_read(self, frame: Frame, now_ms: int, seq: int, batches: Batches) -> tuple[bool, int]:  # noqa: ARG002
        """Never: the compiled reconciler is sooner where there are objects."""
        return False, seq
