"""Is each time without a socket among the gaps that the bridge has announced, and each gap about one? Pure."""

from __future__ import annotations

from collections.abc import Iterable

from bridge.oracle.expectation import MARGIN_US, Expectations
from bridge.oracle.records import Gap, Record
from bridge.oracle.report import Report


def continuity(report: Report, expectations: Expectations, records: Iterable[Record]) -> None:
    """Blames every hole between two sockets of a partition that no gap covers, and every gap that holds no such hole.

    Only what lies after the first record of the partition can be a gap, and only a socket that has lived for a while
    can have told it.
    """
    rules = expectations.rules
    for gap in rules.announced or ():
        sockets = expectations.of_partition(gap.partition)
        moments = (moment for socket in sockets for moment in (socket.ended_us, socket.synced_us))
        if not any(gap.from_us - MARGIN_US <= moment <= gap.to_us + MARGIN_US for moment in moments):
            facts = {"partition": gap.partition, "from_us": gap.from_us, "to_us": gap.to_us}
            report.blame("gap_invented", "a gap is told of in which no socket ended or began", **facts)
    if rules.announced is None or rules.now_us is None or not rules.complete:
        return
    first: dict[int, int] = {}
    for record in records:
        if record.source is not None:
            first[record.partition] = min(record.source.received_us, first.get(record.partition, 1 << 62))
    for partition, began in first.items():
        newest = expectations.of_partition(partition)[-1:]
        if not newest or newest[0].ended_us or rules.now_us - newest[0].synced_us < rules.announce_us:
            continue
        gaps = [gap for gap in rules.announced if gap.partition == partition]
        for start, end in expectations.holes(partition):
            if start > began and not any(_covers(gap, start, end) for gap in gaps):
                facts = {"partition": partition, "from_us": start, "to_us": end}
                report.blame("gap_unannounced", "no gap tells of a time without a socket", **facts)


def _covers(gap: Gap, start: int, end: int) -> bool:
    return gap.from_us <= start and end - MARGIN_US <= gap.to_us
