from __future__ import annotations

from dataclasses import replace

from bridge.oracle.atomicity import atomicity
from bridge.oracle.expectation import Rules
from bridge.oracle.judge import judge
from bridge.oracle.records import Mark, Record, Source, Truth
from bridge.oracle.report import Report
from tests.unit.oracle.scene import SECOND

RULES = Rules(2)


def record(entity_type: str, offset: int, seq: int, last: int) -> Record:
    source = Source("false", 0, 2, 1, seq, 9, last, 0, False)
    return Record(entity_type, 0, offset, seq, "c", None, b"{}", source)


FRAME = [record("order", 5, 1, 2), record("fill", 7, 2, 2)]


def judged(records: list[Record], *ends: tuple[int, int]) -> Report:
    """Looks three seconds apart, each with the ends of the two topics."""
    marks = [Mark(n * 3 * SECOND, {("order", 0): o, ("fill", 0): f}) for n, (o, f) in enumerate(ends)]
    report = Report()
    atomicity(report, records, marks, RULES)
    return report


def test_a_frame_that_is_readable_as_a_whole_is_right() -> None:
    assert judged(FRAME, (5, 7), (6, 8), (6, 8), (6, 8)).ok


def test_one_look_may_find_a_frame_in_part() -> None:
    assert judged(FRAME, (5, 7), (6, 7), (6, 8), (6, 8)).ok
    assert judged(FRAME, (5, 7), (6, 7), (6, 7), (6, 8)).ok  # three seconds


def test_a_frame_that_stays_in_part_was_not_committed_as_one() -> None:
    report = judged(FRAME, (5, 7), (6, 7), (6, 7), (6, 7), (6, 8))
    assert report.wrong["frame_wrong"] == 1
    assert report.offences[0] | {"type": "fill", "id": 2, "partition": 0, "offset": 7} == report.offences[0]
    assert "for 6.0 s" in report.offences[0]["what"]


def test_a_part_that_was_never_seen_counts_to_the_last_look() -> None:
    assert not judged(FRAME, (5, 7), (6, 7), (6, 7), (6, 7)).ok


def test_what_nobody_saw_at_all_is_not_torn() -> None:
    assert judged(FRAME, (5, 7), (5, 7), (5, 7), (5, 7)).ok
    assert judged(FRAME, (6, 7)).ok


def test_a_topic_that_a_look_does_not_know_could_not_be_read() -> None:
    looks = [Mark(n * 3 * SECOND, {("order", 0): 6}) for n in range(4)]
    report = Report()
    atomicity(report, FRAME, looks, RULES)
    assert not report.ok


def test_frames_of_other_partitions_and_epochs_are_others() -> None:
    later = [replace(r, source=replace(r.source, epoch=2)) for r in FRAME[1:] if r.source]
    assert judged([FRAME[0], *later], (5, 7), (6, 7), (6, 7), (6, 7), (6, 8)).ok


def test_the_judge_looks_at_it() -> None:
    looks = [Mark(n * 3 * SECOND, {("order", 0): 6, ("fill", 0): 7}) for n in range(4)]
    truth = Truth({}, [], [])
    alone = judge(FRAME, truth, RULES)
    assert judge(FRAME, truth, RULES, looks).wrong["frame_wrong"] == alone.wrong["frame_wrong"] + 1
    lax = replace(RULES, exactly_once=False)
    assert judge(FRAME, truth, lax, looks).wrong["frame_wrong"] == 0
