"""Which implementation of the hot path this process uses: C where it was built, else Python. Nobody else chooses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bridge.app import reading
from bridge.app.express import PlainExpress
from bridge.changes.reconciler import Reconciler
from bridge.changes.resend import Past
from bridge.entities.encoder import Encoder
from bridge.kafka.envelope import Envelopes, Records
from bridge.kafka.packing import EncodedRecords
from bridge.shard.frames import Express
from bridge.shard.reader import Reader, Reading
from bridge.source import scanner
from bridge.source.scanner import Cut
from bridge.speed.choice import COMPILED

ENCODER: type[Encoder] = Encoder
RECONCILER: type[Reconciler] = Reconciler
ENVELOPES: type[Envelopes] = Envelopes
RECORDS: Callable[[], Records] = EncodedRecords
READ_ROWS: Callable[[list[Any]], Reading] = reading.read_rows
READER: Reader = reading.frame_reader()
CUT: Cut = scanner.cut
EXPRESS: Callable[[Reconciler, Envelopes, Past], Express] = PlainExpress

if COMPILED:
    from bridge.app.compiled import CompiledExpress, only_events, read_rows
    from bridge.changes.compiled import CompiledReconciler
    from bridge.entities.compiled import CompiledEncoder
    from bridge.kafka.compiled import CompiledEnvelopes, compiled_records
    from bridge.speed import _native

    ENCODER, RECONCILER, ENVELOPES = CompiledEncoder, CompiledReconciler, CompiledEnvelopes
    READ_ROWS, RECORDS, EXPRESS = read_rows, compiled_records, CompiledExpress
    READER, CUT = reading.frame_reader(read_rows, only_events), _native.cut
