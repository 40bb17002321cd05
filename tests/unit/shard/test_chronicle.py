from __future__ import annotations

from bridge.entities.change import LIVE, RECONCILE, Change
from bridge.errors import Unread
from bridge.kafka.statelog import Head
from bridge.shard.chronicle import LATE_MS, Chronicle, drifted, garbage
from bridge.shard.notes import Alive, FrameUnread, Note, SessionEnded, SessionOpened, SnapshotCompleted, Stopped


def change(entity_type: str, snapshot: str) -> Change:
    return (entity_type, 1, "u", b"a", b"b", None, None, None, snapshot)


def test_the_first_session_of_all_ends_no_gap() -> None:
    chronicle, head = Chronicle(), Head()

    opened = chronicle.tell(Note(SessionOpened(), 100), head)
    completed = chronicle.tell(Note(SnapshotCompleted({"orders": 2}), 200), head)

    assert [e.event for e in opened + completed] == ["session_opened", "snapshot_completed"]
    assert completed[0].counts == {"orders": 2}
    assert (head.session, head.snapshot_ms, head.alive_ms) == (1, 200, 200)


def test_a_gap_runs_from_the_last_sign_of_life_to_the_next_complete_snapshot() -> None:
    chronicle, head = Chronicle(), Head(alive_ms=1_000, snapshot_ms=900)
    ended = SessionEnded("idle", 4000, "silent", alive_ms=1_500)

    (lost,) = chronicle.tell(Note(ended, 1_600), head)
    chronicle.tell(Note(SessionOpened(), 2_000), head)
    chronicle.count([change("order", RECONCILE), change("order", RECONCILE), change("fill", LIVE)])
    _, gap = chronicle.tell(Note(SnapshotCompleted(), 2_500), head)

    assert (lost.event, lost.cause, lost.code, lost.from_ms) == ("session_lost", "idle", 4000, 1_500)
    assert (gap.event, gap.cause, gap.from_ms, gap.to_ms) == ("gap", "idle", 1_500 - LATE_MS, 2_500)
    assert gap.counts == {"order": 2}
    assert chronicle.gap is None


def test_a_gap_stays_open_when_the_session_that_should_close_it_is_lost() -> None:
    chronicle, head = Chronicle(), Head(alive_ms=1_000)

    chronicle.tell(Note(SessionOpened(), 2_000), head)
    chronicle.tell(Note(SessionEnded("dropped", None, "", alive_ms=2_100), 2_200), head)
    chronicle.tell(Note(SessionOpened(), 3_000), head)
    events = chronicle.tell(Note(SnapshotCompleted(), 3_500), head)

    assert [(e.from_ms, e.to_ms) for e in events if e.event == "gap"] == [(1_000 - LATE_MS, 3_500)]


def test_while_a_gap_is_open_the_head_says_where_it_began() -> None:
    """Else a process that takes over in the middle of the snapshot would not know since when events are missing."""
    chronicle, head = Chronicle(), Head(alive_ms=1_000)

    chronicle.tell(Note(SessionOpened(), 2_000), head)
    chronicle.tell(Note(Alive(), 2_050), head)
    chronicle.tell(Note(SessionEnded("dropped", None, "", alive_ms=2_100), 2_200), head)
    assert head.alive_ms == 1_000

    successor = Chronicle()
    successor.tell(Note(SessionOpened(), 3_000), head)
    events = successor.tell(Note(SnapshotCompleted(), 3_500), head)
    assert [(e.from_ms, e.to_ms) for e in events if e.event == "gap"] == [(1_000 - LATE_MS, 3_500)]
    assert head.alive_ms == 3_500


def test_a_restart_is_a_gap_too() -> None:
    chronicle, head = Chronicle(), Head(alive_ms=1_000)

    chronicle.tell(Note(SessionOpened(), 2_000), head)
    events = chronicle.tell(Note(SnapshotCompleted(), 2_500), head)

    assert [e.cause for e in events if e.event == "gap"] == ["restart"]


def test_life_and_stop_move_the_head() -> None:
    chronicle, head = Chronicle(), Head()

    assert chronicle.tell(Note(Alive(), 700), head) == []
    assert [e.event for e in chronicle.tell(Note(Stopped(), 800), head)] == ["stopped"]
    assert (head.alive_ms, head.clean) == (700, True)


def test_the_frame_nobody_could_read_is_kept_and_is_no_event() -> None:
    chronicle, head = Chronicle(), Head(alive_ms=1)
    note = Note(FrameUnread("oversized", "too long", Unread(b"\x00\xff", 70, "ab")), 2)

    kept = garbage(note)

    assert kept is not None
    assert (kept.reason, kept.detail, kept.raw, kept.length, kept.sha256) == (
        "oversized", "too long", b"\x00\xff", 70, "ab",
    )  # fmt: skip
    assert (chronicle.tell(note, head), head) == ([], Head(alive_ms=1))
    assert garbage(Note(Alive(), 2)) is None


def test_drift_is_told_by_name_and_kind_in_words_that_can_be_written() -> None:
    news = [("order", "venue", "unknown_field"), ("\ud800" * 300, "", "unknown_type")]
    first, second = drifted(news, 5)
    assert (first.event, first.ts_ms, first.cause, first.reason) == ("drift", 5, "unknown_field", "order.venue")
    assert (second.cause, second.reason) == ("unknown_type", "?" * 200)
