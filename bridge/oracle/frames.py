"""Does what came in one frame of the wire stand in one frame of the records? Pure.

`source.frame` is what the bridge says about itself. The ledger knows what was written in one frame; where a record can
have come from one delivery only, both must agree.
"""

from __future__ import annotations

from bridge.oracle.expectation import Expected
from bridge.oracle.records import Kind, Record
from bridge.oracle.report import Report

Wire = tuple[int, int]
"""Socket and frame."""


class WireFrames:
    """Collects which record came from which frame of which socket."""

    def __init__(self) -> None:
        self._records: dict[Wire, dict[tuple[int, int], Record]] = {}

    def note(self, expected: Expected, record: Record) -> None:
        """A record was found to show what a socket was sent."""
        origin, source = expected.origin, record.source
        if origin is None or source is None or not origin.frame or not expected.must or origin.kind != Kind.EVENT:
            return
        frames = self._records.setdefault((origin.session, origin.frame), {})
        frames.setdefault((source.epoch, source.frame), record)

    def judge(self, report: Report) -> None:
        """Blames every frame of the wire that was torn."""
        for (session, frame), found in self._records.items():
            if len(found) > 1:
                record = list(found.values())[-1]
                text = f"frame {frame} of socket {session} came as one and stands in frames {sorted(found)}"
                report.blame(
                    "frame_wrong", text, type=record.entity_type, id=record.id, partition=record.partition,
                    offset=record.offset, source=repr(record.source),
                )  # fmt: skip
