"""Could a reader see a part of a frame for longer than the moment that Kafka needs? Pure.

The partitions of one transaction become readable some milliseconds apart, so a look may find a frame in part. If a
later look still does, it was not committed as one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence

from bridge.oracle.expectation import Rules
from bridge.oracle.records import Mark, Record
from bridge.oracle.report import Report

Place = tuple[str, int]
Frame = tuple[int, int, int]
"""Partition, epoch and the `seq` of the last envelope."""


def atomicity(report: Report, records: Sequence[Record], marks: Sequence[Mark], rules: Rules) -> None:
    """Blames every frame that was readable in part for longer than `rules.readable_us`.

    Args:
        report: where to blame.
        records: all committed records of the entity topics.
        marks: the looks of a polling reader, in order of time.
        rules: how to judge.
    """
    if len(marks) < 2:
        return
    ends = _ends(records, marks)
    frames: dict[Frame, list[Record]] = defaultdict(list)
    for record in records:
        if record.source is not None:
            frames[record.partition, record.source.epoch, record.source.frame_last].append(record)
    for frame in frames.values():
        seen = [_first(ends[r.entity_type, r.partition], r.offset) for r in frame]
        begin, end = min(seen), max(seen)  # in all looks from `begin` up to but not including `end` a part is missing
        if begin < end and marks[end - 1].at_us - marks[begin].at_us > rules.readable_us:
            last = frame[seen.index(end)]
            seconds = (marks[end - 1].at_us - marks[begin].at_us) / 1_000_000
            report.blame(
                "frame_wrong", f"for {seconds:.1f} s a part of the frame could be read without this record",
                type=last.entity_type, id=last.id, partition=last.partition, offset=last.offset,
            )  # fmt: skip


def _ends(records: Sequence[Record], marks: Sequence[Mark]) -> dict[Place, list[int]]:
    """How far each place could be read, look by look; a place that a look does not know could not be read at all."""
    places = {(r.entity_type, r.partition) for r in records}
    return {place: [mark.ends.get(place, 0) for mark in marks] for place in places}


def _first(ends: list[int], offset: int) -> int:
    """The first look that could read an offset; the number of looks if none could."""
    return bisect_right(ends, offset)
