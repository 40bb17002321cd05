"""One transaction of a shard, before it is written. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bridge.kafka.control import LifecycleEvent
from bridge.kafka.envelope import Archived, Batches
from bridge.kafka.statelog import Head


@dataclass(slots=True)
class Transaction:
    """One transaction, ready to be written.

    Attributes:
        head: where the shard stands when it is committed.
        batches: records by topic, the state topic's last.
        frames, changes: how many of each it holds.
        taken: bytes of the frames that were taken for it, whatever became of them.
        completed: snapshots completed in it.
        oldest_us: arrival of its oldest frame, 0 if it has none.
        archived: lone tombstones by topic; written before `batches`.
        judged: what is told about keys that were missing from a snapshot.
        answers: to be called when it is committed.
        ends: where its partitions ended before it, by topic; needed for a completed snapshot.
    """

    head: Head
    batches: Batches
    frames: int = 0
    changes: int = 0
    taken: int = 0
    completed: int = 0
    oldest_us: int = 0
    noted: bool = False
    archived: dict[str, Archived] = field(default_factory=dict)
    judged: list[LifecycleEvent] = field(default_factory=list)
    answers: list[Callable[[], None]] = field(default_factory=list)
    ends: Mapping[str, int] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Whether nothing but the head would be written, and no note asked for that (only duplicates came)."""
        return not self.noted and len(self.batches) == 1
