from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.oracle.records import Delivery, Kind
from tests.unit.oracle.scene import (
    ADDED,
    DELETION,
    FILLED,
    OPENED,
    PENDING,
    SECOND,
    TOMBSTONE,
    WORKING,
    Scene,
    content,
    scene,
)

ORDER = ("order", 600)


def wrong(made: Scene, **rules: object) -> set[str]:
    return {fault for fault, count in made.judged(**rules).wrong.items() if count}


def test_right_records_are_right() -> None:
    report = scene().judged()
    assert report.ok, report.offences
    assert report.events_sent == 9  # the contract goes to both shards
    assert report.records_committed == 10
    assert report.latency_ms == {"p50": 3.0, "p99": 3.0}


def test_an_empty_topic_is_no_proof() -> None:
    made = scene()
    made.records.clear()
    assert {"lost", "state_differs"} <= wrong(made)


def test_a_missing_event_is_lost() -> None:
    made = scene()
    del made.records[WORKING]
    report = made.judged()
    assert report.wrong["lost"] == 1
    assert any("Working" in offence["what"] for offence in report.offences)


def test_a_missing_last_event_is_lost_and_the_state_differs() -> None:
    made = scene()
    del made.records[FILLED]
    assert {"lost", "state_differs"} <= wrong(made)


def test_a_missing_key_is_lost() -> None:
    made = scene()
    del made.records[OPENED : ADDED + 1]
    assert {"lost", "state_differs"} <= wrong(made)


def test_a_missing_deletion_is_lost() -> None:
    made = scene()
    del made.records[DELETION : TOMBSTONE + 1]
    assert {"lost", "state_differs"} <= wrong(made)


def test_the_same_content_again_is_a_duplicate() -> None:
    made = scene()
    made.records.insert(FILLED + 1, made.records[FILLED])
    assert "duplicated" in wrong(made)


def test_an_older_content_after_a_newer_one_is_out_of_order() -> None:
    made = scene()
    made.records.append(made.records[PENDING])
    assert "out_of_order" in wrong(made)


def test_a_snapshot_row_that_overwrites_a_live_event_is_out_of_order() -> None:
    made = scene()
    stale = made.versions[2]
    made.now += SECOND
    made.show(stale, kind=Kind.SNAPSHOT)
    assert {"out_of_order", "state_differs"} <= wrong(made)


def test_a_content_that_never_was_is_invented() -> None:
    made = scene()
    made.publish(0, ORDER, content(id=600, ordStatus="Canceled"))
    assert "invented" in wrong(made)


def test_an_entity_that_never_was_is_invented() -> None:
    made = scene()
    made.publish(0, ("order", 999), content(id=999))
    assert wrong(made) == {"invented"}


def test_a_record_in_a_partition_whose_socket_never_showed_it_is_wrong() -> None:
    made = scene()
    made.publish(1, ORDER, made.versions[3].content)
    assert wrong(made) == {"wrong_partition"}


def test_an_entity_sent_on_the_wrong_socket_is_in_the_wrong_partition() -> None:
    """The partition is checked by arithmetic, not only by what the simulator did."""
    made = Scene()
    version = made.happen(("position", 8), content(id=8), 3, sent=False)
    made.deliveries.append(Delivery(made.session(0).id, version.number, made.now, Kind.EVENT))
    made.publish(0, version.key, version.content)
    assert "wrong_partition" in wrong(made)
    assert wrong(made, sharded=False) == set()


def test_rows_of_a_snapshot_that_is_not_sharded_may_be_published() -> None:
    made = Scene()
    version = made.happen(("position", 8), content(id=8), 3, sent=False)
    made.deliveries.append(Delivery(made.session(0).id, version.number, made.now, Kind.SNAPSHOT))
    made.publish(0, version.key, version.content, "true")
    assert made.judged().ok


def test_source_of_another_shard_is_a_wrong_partition() -> None:
    made = scene()
    made.spoil_source(WORKING, shard=1)
    assert wrong(made) == {"wrong_partition"}


@pytest.mark.parametrize(
    ("index", "before"),
    [(WORKING, content(id=600, ordStatus="Filled")), (WORKING, None), (PENDING, content(id=600)), (DELETION, None)],
)
def test_before_is_the_previous_content(index: int, before: bytes | None) -> None:
    made = scene()
    made.spoil(index, before=before)
    assert wrong(made) == {"before_wrong"}


@pytest.mark.parametrize(("index", "op"), [(PENDING, "u"), (WORKING, "c"), (WORKING, "r"), (DELETION, "u")])
def test_op_says_whether_the_key_was_known(index: int, op: str) -> None:
    made = scene()
    made.spoil(index, op=op)
    assert "op_wrong" in wrong(made)


def test_a_first_snapshot_row_is_right() -> None:
    made = Scene()
    made.happen(ORDER, content(id=600), 4, kind=Kind.SNAPSHOT)
    made.spoil(0, op="r")
    assert made.judged().ok


@pytest.mark.parametrize("seq", [1, 3, 70])
def test_seq_has_neither_gaps_nor_repetitions(seq: int) -> None:
    made = scene()
    made.spoil_source(WORKING, seq=seq, frame_last=seq)
    assert "seq_wrong" in wrong(made)


def test_seq_begins_at_the_beginning() -> None:
    made = scene()
    for index, record in enumerate(made.records):
        if record.source:
            made.spoil_source(index, seq=record.source.seq + 50, frame_last=record.source.seq + 50)
    assert wrong(made) == {"seq_wrong"}
    assert not wrong(made, from_start=False)


def test_epoch_does_not_fall() -> None:
    made = scene()
    made.spoil_source(PENDING, epoch=2)
    assert "seq_wrong" in wrong(made)


@pytest.mark.parametrize("last", [3, 99])
def test_frame_last_is_the_end_of_the_frame(last: int) -> None:
    made = scene()
    made.spoil_source(PENDING, frame_last=last)
    assert wrong(made) == {"frame_wrong"}


def test_a_frame_does_not_go_on_after_frame_last() -> None:
    """Both records agree with themselves; together they say that their frame ended twice."""
    made = scene()
    made.spoil_source(WORKING, frame=1)
    assert wrong(made) == {"frame_wrong"}
    made.spoil_source(PENDING, frame=0)
    made.spoil_source(WORKING, frame=0)
    assert wrong(made) == set()


def test_a_deletion_needs_a_tombstone() -> None:
    made = scene()
    del made.records[TOMBSTONE]
    assert wrong(made) == {"deletes_wrong"}


def test_a_deletion_that_never_was() -> None:
    made = scene()
    made.publish(1, ("position", 70), None)
    assert {"deletes_wrong", "state_differs"} <= wrong(made)


def test_a_tombstone_alone_must_say_that_it_archives() -> None:
    made = scene()
    made.tombstone(0, ORDER)
    assert "deletes_wrong" in wrong(made)


def test_archiving_what_the_world_has_archived_is_right() -> None:
    made = scene()
    made.happen(ORDER, None, 4, event="Archived", sent=False)
    assert made.judged().ok, "not archived yet is right, too"
    made.tombstone(0, ORDER, archived=True)
    assert made.judged().ok


def test_archiving_twice_is_wrong() -> None:
    made = scene()
    made.happen(ORDER, None, 4, event="Archived", sent=False)
    made.tombstone(0, ORDER, archived=True)
    made.tombstone(0, ORDER, archived=True)
    assert wrong(made) == {"deletes_wrong"}
    assert wrong(made, exactly_once=False) == set()


def test_what_the_session_roll_ends_is_archived_not_deleted() -> None:
    made = scene()
    made.happen(ORDER, None, 4, event="Archived", sent=False)
    made.publish(0, ORDER, None, "reconcile")
    assert wrong(made) == {"deletes_wrong"}


def test_archiving_what_lives_is_wrong() -> None:
    made = scene()
    made.tombstone(0, ORDER, archived=True)
    assert {"deletes_wrong", "state_differs"} <= wrong(made)


def test_equal_neighbours_count_once() -> None:
    made = scene()
    made.happen(ORDER, content(id=600, ordStatus="Filled"), 4)
    made.happen(ORDER, content(id=600, ordStatus="Filled"), 4, kind=Kind.AGAIN)
    assert made.judged().ok


def test_a_resent_older_content_may_be_published_or_not() -> None:
    for published in (True, False):
        made = scene()
        made.now += SECOND
        for version in (made.versions[2], made.versions[3]):
            made.show(version, kind=Kind.AGAIN, published=published)
        assert made.judged().ok, made.judged().offences


@pytest.mark.parametrize("archived", [True, False])
def test_what_is_sent_again_after_it_was_archived_may_come_back_and_be_archived_again(archived: bool) -> None:
    made = scene()
    made.happen(ORDER, None, 4, event="Archived" if archived else "Updated", sent=False)
    made.tombstone(0, ORDER, archived=True)
    made.now += SECOND
    made.show(made.versions[3], kind=Kind.AGAIN)
    made.tombstone(0, ORDER, archived=True)
    assert wrong(made) == (set() if archived else {"deletes_wrong", "out_of_order", "state_differs"})


def test_a_withheld_frame_is_not_missed_but_the_state_is() -> None:
    made = scene()
    made.happen(ORDER, content(id=600, ordStatus="Canceled"), 4, kind=Kind.WITHHELD, published=False)
    assert wrong(made) == {"state_differs"}


def test_a_gap_shows_its_end_state_only() -> None:
    made = scene()
    made.end_session(0)
    made.happen(ORDER, content(id=600, ordStatus="Working2"), 4, sent=False)
    final = made.happen(ORDER, content(id=600, ordStatus="Canceled"), 4, sent=False)
    made.new_session(0)
    made.show(final, kind=Kind.SNAPSHOT)
    assert made.judged().ok
    made.records.pop()
    assert wrong(made) == {"state_differs"}


def test_what_was_sent_just_before_the_end_may_be_missing() -> None:
    made = scene()
    made.happen(ORDER, content(id=600, ordStatus="Canceled"), 4, published=False)
    made.end_session(0)
    assert made.judged().ok
    assert wrong(made, uncertain_us=0) == {"lost", "state_differs"}


def test_a_client_that_closed_properly_has_what_was_sent_before() -> None:
    made = scene()
    made.happen(ORDER, content(id=600, ordStatus="Canceled"), 4, published=False)
    made.end_session(0, clean=True)
    assert wrong(made) == {"lost", "state_differs"}


def test_what_was_sent_in_an_announced_gap_may_be_missing() -> None:
    made = scene()
    made.happen(ORDER, content(id=600, ordStatus="Odd"), 4, published=False)
    begin = made.now
    made.happen(ORDER, content(id=600, ordStatus="Canceled"), 4)
    assert wrong(made) == {"lost"}
    assert made.judged(gaps=((0, begin, begin),)).ok
    assert not made.judged(gaps=((1, begin, begin),)).ok


def test_two_sockets_of_a_partition_show_one_history() -> None:
    made = scene()
    first = made.session(1)
    made.new_session(1)
    both = [made.happen(("position", 70), content(id=70, netPos=net), 5) for net in (4, 5, 6)]
    made.deliveries += [Delivery(first.id, version.number, made.now + 1, Kind.EVENT) for version in both]
    assert made.judged().ok
    del made.records[-2]
    assert "lost" in wrong(made)


def test_an_entity_that_vanished_in_a_gap_is_deleted_after_the_quiet_time() -> None:
    made = scene()
    made.end_session(1)
    made.happen(("position", 70), None, 5, sent=False)
    made.new_session(1)
    synced = made.now
    assert made.judged(now_us=synced + SECOND, delete_quiet_us=30 * SECOND).ok
    assert wrong(made, now_us=synced + 31 * SECOND, delete_quiet_us=30 * SECOND) == {"state_differs"}
    made.publish(1, ("position", 70), None, "reconcile")
    assert made.judged(now_us=synced + 31 * SECOND, delete_quiet_us=30 * SECOND).ok


def test_a_deletion_of_something_never_published_leaves_no_record() -> None:
    made = scene()
    made.happen(("userPlugin", 9), None, 4)
    assert made.judged().ok


def test_offences_are_bounded_and_counts_are_not() -> None:
    made = Scene()
    for number in range(300):
        made.happen(("order", number), content(id=number), 4, published=False)
    report = made.judged()
    assert report.wrong["lost"] == 300
    assert len(report.offences) == 100
    assert report.as_json()["lost"] == 300
    assert report.as_json()["ok"] is False


def test_an_unfinished_run_is_judged_by_what_is_there() -> None:
    made = Scene()
    made.happen(ORDER, content(id=600, ordStatus="PendingNew"), 4)
    made.happen(ORDER, content(id=600, ordStatus="Filled"), 4, published=False)
    assert wrong(made) == {"lost", "state_differs"}
    assert made.judged(complete=False).ok


def test_the_account_in_source_is_the_one_that_the_ledger_knows() -> None:
    made = scene()
    made.spoil_source(FILLED, account_id=4)
    assert made.judged().ok
    made.spoil_source(FILLED, account_id=5)
    assert wrong(made) == {"source_wrong"}


def test_an_account_that_stands_in_the_entity_must_stand_in_source() -> None:
    made = Scene()
    made.happen(ORDER, content(id=600, accountId=4), 4)
    assert wrong(made) == {"source_wrong"}
    made.spoil_source(0, account_id=4)
    assert made.judged().ok


def one_frame(**changes: int) -> Scene:
    """Two entities that came in one frame of the wire, and stand in one frame unless the second is changed."""
    made = Scene()
    for key in (ORDER, ("fill", 601)):
        made.happen(key, content(id=key[1]), 4)
    made.deliveries = [replace(delivery, frame=7) for delivery in made.deliveries]
    made.spoil_source(0, frame_last=2, frame=5)
    made.spoil_source(1, **{"frame": 5, **changes})
    return made


def test_what_came_in_one_frame_stands_in_one() -> None:
    assert wrong(one_frame()) == set()
    torn = one_frame(frame=6)
    torn.spoil_source(0, frame_last=1)
    report = torn.judged()
    assert report.wrong["frame_wrong"] == 1
    assert (report.offences[0]["type"], report.offences[0]["offset"]) == ("fill", 1)
    assert "came as one and stands in frames [(1, 5), (1, 6)]" in report.offences[0]["what"]
    assert wrong(torn, exactly_once=False) == set()


def test_what_can_have_come_from_several_frames_tells_nothing_of_any() -> None:
    torn = one_frame(frame=6)
    torn.spoil_source(0, frame_last=1)
    torn.now += SECOND
    torn.show(torn.versions[2], kind=Kind.AGAIN)
    assert wrong(torn) == set()


@pytest.mark.parametrize("said", ["true", "reconcile", "audit"])
def test_an_event_is_not_marked_as_a_row_of_a_snapshot(said: str) -> None:
    made = scene()
    made.spoil_source(WORKING, snapshot=said)
    assert wrong(made) == {"source_wrong"}


def test_a_row_of_a_snapshot_is_not_marked_as_an_event() -> None:
    made = Scene()
    made.happen(ORDER, content(id=600), 4, kind=Kind.SNAPSHOT)
    for said, right in (("true", True), ("reconcile", True), ("audit", True), ("false", False)):
        made.spoil_source(0, snapshot=said)
        assert made.judged().ok == right
    made.spoil(0, op="r")
    made.spoil_source(0, snapshot="reconcile")
    assert wrong(made) == {"source_wrong"}


def test_where_row_and_event_show_the_same_either_mark_is_right() -> None:
    made = scene()
    made.end_session(0)
    made.new_session(0)
    made.show(made.versions[3], kind=Kind.SNAPSHOT)
    made.spoil_source(FILLED, snapshot="reconcile")
    assert wrong(made) == set()


def test_an_inferred_deletion_is_marked_as_one() -> None:
    made = scene()
    made.end_session(1)
    made.happen(("position", 70), None, 5, sent=False)
    made.new_session(1)
    made.publish(1, ("position", 70), None, "false")
    assert wrong(made) == {"source_wrong"}


def test_sockets_of_another_sharding_are_counted_and_not_judged() -> None:
    made = scene()
    assert made.judged().sockets == (2, 0)
    made.sessions.append(replace(made.sessions[0], id=9, divisor=4))
    report = made.judged()
    assert (report.sockets, report.ok, report.as_json()["sockets_ignored"]) == ((2, 1), True, 1)
