"""The judgement."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

FAULTS = (
    "lost", "duplicated", "out_of_order", "wrong_partition", "invented", "before_wrong", "op_wrong", "seq_wrong",
    "frame_wrong", "source_wrong", "deletes_wrong", "state_differs", "gap_unannounced", "gap_invented",
    "certificate_wrong", "undecodable", "truth_wrong",
)  # fmt: skip
"""What can be wrong, in the order in which a report shows it."""

MAX_OFFENCES = 100


@dataclass(slots=True)
class Report:
    """What was sent, what was committed, and what is wrong with it.

    Attributes:
        events_sent: live events written to sockets, repetitions and withheld ones not counted.
        sockets: how many were judged, and how many asked for another sharding and were not.
        records_committed: envelopes and tombstones on the entity topics.
        certificates: how many of the bridge's own were looked at.
        latency_ms: `p50` and `p99` from the simulator's write to a polling reader; None if nobody polled.
        wrong: counts by the words of `FAULTS`.
        offences: the first of the offending records, each with what is wrong.
    """

    events_sent: int = 0
    records_committed: int = 0
    certificates: int = 0
    sockets: tuple[int, int] = (0, 0)
    latency_ms: dict[str, float | None] = field(default_factory=lambda: {"p50": None, "p99": None})
    wrong: Counter[str] = field(default_factory=Counter)
    offences: list[dict[str, Any]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not any(self.wrong.values())

    def blame(self, fault: str, sentence: str, **facts: Any) -> None:
        """Counts a fault and keeps it, as long as there is room."""
        self.wrong[fault] += 1
        if len(self.offences) < MAX_OFFENCES:
            self.offences.append({"fault": fault, "what": sentence, **facts})

    def as_json(self) -> dict[str, Any]:
        """One flat object."""
        return {
            "events_sent": self.events_sent, "records_committed": self.records_committed,
            "certificates": self.certificates,
            "sockets": self.sockets[0], "sockets_ignored": self.sockets[1],
            **{fault: self.wrong[fault] for fault in FAULTS},
            "latency_ms": self.latency_ms, "ok": self.ok, "offences": self.offences,
        }  # fmt: skip


def percentile(values: list[float], share: float) -> float | None:
    """The value below which a share of the values lies; None if there are none."""
    if not values:
        return None
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)
