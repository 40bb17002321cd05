from __future__ import annotations

from bridge.oracle.records import Gap, Kind
from tests.unit.oracle.scene import SECOND, Scene, content, scene

LATER = 60 * SECOND
ORDER = ("order", 600)


def interrupted() -> tuple[Scene, int, int]:
    """A socket of shard 0 ends and another follows; beginning and end of the time between."""
    made = scene()
    made.end_session(0)
    start = made.now
    made.now += 5 * SECOND
    made.new_session(0)
    return made, start, made.now


def wrong(made: Scene, *gaps: Gap, after: int = LATER) -> set[str]:
    report = made.judged(announced=gaps, now_us=made.now + after)
    return {fault for fault, count in report.wrong.items() if count}


def test_a_gap_that_is_announced_is_right() -> None:
    made, start, end = interrupted()
    assert wrong(made, Gap(0, start, end)) == set()
    assert wrong(made, Gap(0, start - 9 * SECOND, end + 9 * SECOND)) == set()


def test_a_time_without_a_socket_that_nobody_tells_of_is_wrong() -> None:
    made, start, end = interrupted()
    for gaps in ([], [Gap(0, start + 2 * SECOND, end)], [Gap(0, start, end - 2 * SECOND)]):
        assert wrong(made, *gaps) == {"gap_unannounced"}
    assert wrong(made, Gap(1, start, end)) == {"gap_unannounced", "gap_invented"}
    offence = made.judged(announced=(), now_us=made.now + LATER).offences[0]
    assert (offence["partition"], offence["from_us"], offence["to_us"]) == (0, start, end)


def test_a_gap_in_the_middle_of_a_session_is_invented() -> None:
    made, start, end = interrupted()
    made.now += 9 * SECOND
    told = Gap(0, start, end), Gap(0, made.now - 2 * SECOND, made.now)
    assert wrong(made, *told) == {"gap_invented"}
    offence = made.judged(announced=told, now_us=made.now + LATER).offences[0]
    assert (offence["from_us"], offence["to_us"]) == (made.now - 2 * SECOND, made.now)


def test_where_nobody_has_read_the_gaps_they_are_not_judged() -> None:
    made, _, _ = interrupted()
    assert made.judged(now_us=made.now + LATER).ok


def test_a_gap_need_not_be_told_before_its_snapshot_can_be_complete() -> None:
    made, _, _ = interrupted()
    assert wrong(made, after=SECOND) == set()
    made.end_session(0)
    assert wrong(made) == set()


def test_sockets_that_overlap_leave_no_hole() -> None:
    made = scene()
    made.new_session(0)
    assert wrong(made) == set()


def test_before_the_first_record_there_is_no_gap() -> None:
    made = Scene()
    made.end_session(0)
    made.now += 5 * SECOND
    made.new_session(0)
    made.happen(ORDER, content(id=600), 4)
    assert wrong(made) == set()


def test_what_was_sent_to_the_lost_socket_may_be_missing_in_an_announced_gap() -> None:
    made = scene()
    sent = made.now + SECOND
    made.happen(ORDER, content(id=600, ordStatus="Canceled"), 4, published=False)
    made.now += 60 * SECOND
    made.end_session(0)
    made.new_session(0)
    made.happen(ORDER, content(id=600, ordStatus="Odd"), 4)
    assert wrong(made, Gap(0, sent, made.now)) == set()
    assert wrong(made, Gap(0, sent + 1, made.now)) == {"lost"}


def test_the_socket_that_ends_the_gap_has_no_excuse() -> None:
    made, start, _ = interrupted()
    made.happen(ORDER, content(id=600, ordStatus="Canceled"), 4, published=False)
    made.happen(ORDER, content(id=600, ordStatus="Odd"), 4, kind=Kind.EVENT)
    assert wrong(made, Gap(0, start, made.now)) == {"lost"}
