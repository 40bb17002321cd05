"""The implementations of the hot path that this machine has, for tests that run with each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from bridge.app import implementation
from bridge.app.reading import read_rows
from bridge.changes.reconciler import Reconciler
from bridge.entities.encoder import Encoder
from bridge.kafka.envelope import Envelopes, Records
from bridge.kafka.packing import EncodedRecords
from bridge.shard.reader import Reading
from bridge.source.scanner import Cut, cut

ENCODERS: Final[tuple[type[Encoder], ...]] = tuple(dict.fromkeys((Encoder, implementation.ENCODER)))
"""Python's first; it is the only one where the accelerator was not built."""
RECONCILERS: Final[tuple[type[Reconciler], ...]] = tuple(dict.fromkeys((Reconciler, implementation.RECONCILER)))
ENVELOPES: Final[tuple[type[Envelopes], ...]] = tuple(dict.fromkeys((Envelopes, implementation.ENVELOPES)))
RECORDS: Final[tuple[Callable[[], Records], ...]] = tuple(dict.fromkeys((EncodedRecords, implementation.RECORDS)))
READERS: Final[tuple[Callable[[list[Any]], Reading], ...]] = tuple(dict.fromkeys((read_rows, implementation.READ_ROWS)))
CUTS: Final[tuple[Cut, ...]] = tuple(dict.fromkeys((cut, implementation.CUT)))
