"""Envelopes spliced, and records encoded, in C. Only imported where the accelerator was built."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bridge.kafka.envelope import Batches, Envelopes, Origin, Part, TypeBytes
from bridge.kafka.packing import BATCH_BYTES
from bridge.speed._native import Records as CompiledRecords
from bridge.speed._native import Splicer


class CompiledEnvelopes(Envelopes):
    """`Envelopes` that give the same records, sooner.

    Attributes:
        splicer: what they are made by.
    """

    def __init__(self, origin: Origin, epoch: int, types: Mapping[str, TypeBytes], state_topic: str) -> None:
        super().__init__(origin, epoch, types, state_topic)
        prefixes = {name: (t.topic, t.key, t.value, t.state_key, t.state_value) for name, t in types.items()}
        self.splicer = Splicer(prefixes, self._snapshot, self._source, state_topic)

    def add_frames(
        self,
        frames: Iterable[Part],
        seq: int,
        received_us: int,
        now_ms: int,
        batches: Batches,
        *,
        resend: bool = False,
    ) -> int:
        """As the base class's."""
        for frame, last, changes in frames:
            listed = changes if isinstance(changes, list) else list(changes)
            seq = self.splicer.add(listed, seq, last, frame, received_us, now_ms, batches, resend)
        return seq


def compiled_records() -> CompiledRecords:
    """Records of a topic, encoded as they come; what `CompiledEnvelopes` need in the batches they are given."""
    return CompiledRecords(BATCH_BYTES)
