import hashlib
from typing import Any

import pytest

from bridge.errors import SessionLost, Unread
from bridge.source.events import Authorized, Ended, Penalized, SnapshotComplete, SnapshotPart, SyncSent
from bridge.source.forward import messages
from bridge.source.messages import Penalty
from bridge.source.refusals import SessionLimits
from bridge.source.session import Session
from bridge.source.states import NEXT, Signal, State
from tests.unit.source.driving import GRANTED, PART, PLAN, TOKEN, frame, props, run_timers, session_in

NOW = 100.0


def lost(session: Session) -> SessionLost:
    """Why the session ended; it has told so exactly once and wants nothing any more."""
    assert session.lost is not None
    assert session.events()[-1] == Ended(session.lost)
    assert session.state is State.ENDED
    assert session.deadline() == float("inf")
    assert session.data_to_send() == []
    assert session.receive(frame(props()), NOW) is None
    assert not session.pending
    return session.lost


# The way to the stream


def test_a_whole_session_as_the_protocol_tells_it() -> None:
    session = Session(PLAN, TOKEN, now=NOW)

    assert session.receive(b"o", NOW) is None
    assert session.data_to_send() == [f"authorize\n0\n\n{TOKEN}"]
    assert session.receive(GRANTED, NOW) is None
    assert session.events() == [Authorized()]
    assert session.data_to_send() == []
    session.allow_sync(NOW + 1)
    assert session.data_to_send() == [f"user/syncrequest\n1\n\n{PLAN.body()}"]
    assert session.events() == [SyncSent(1, 1)]
    assert session.receive(b"h", NOW + 1) is None
    (part,) = session.receive(PART, NOW + 2) or []
    assert part["d"]["orders"] == [{"id": 1}]
    assert session.events() == [SnapshotPart({"user": 0, "order": 1}, ("fills",), late=False)]
    run_timers(session, NOW + 4)
    assert session.events() == [SnapshotComplete({"user": 0, "order": 1}, frozenset({"fills"}), 1)]
    assert session.receive(frame(props(1), props(2)), NOW + 5) == [props(1), props(2)]
    assert session.receive(b'a[{"e":"shutdown","d":{"reasonCode":"Maintenance"}}]', NOW + 6) is None
    assert lost(session).cause == "maintenance"


def test_a_permission_given_early_sends_the_syncrequest_with_the_acceptance() -> None:
    session = session_in(State.AUTHORIZING)

    session.allow_sync(NOW)
    assert not session.pending
    session.receive(GRANTED, NOW)

    assert session.data_to_send() == [f"user/syncrequest\n1\n\n{PLAN.body()}"]
    assert session.events() == [Authorized(), SyncSent(1, 1)]


def test_a_second_permission_sends_nothing() -> None:
    session = session_in(State.SYNCING)

    session.allow_sync(NOW)

    assert not session.pending


def test_nothing_is_asked_before_the_permission() -> None:
    session = session_in(State.AUTHORIZED)

    run_timers(session, NOW + 9)

    assert set(session.data_to_send()) == {"[]"}


def test_an_acceptance_under_another_id_is_none() -> None:
    session = session_in(State.AUTHORIZING)

    session.receive(b'a[{"s":200,"i":5}]', NOW)

    assert session.state is State.AUTHORIZING


@pytest.mark.parametrize(
    ("answer", "cause", "code", "wait_s"),
    [
        ('{"i":0,"s":401,"d":"Invalid access token"}', "unauthorized", 401, 0),
        ('{"i":0,"s":401,"d":"\\"Access is denied\\""}', "unauthorized", 401, 0),
        ('{"s":401}', "unauthorized", 401, 0),
        ('{"i":0,"s":200,"d":{"errorText":"Expired"}}', "unauthorized", 200, 0),
        ('{"i":0,"s":408}', "authorize_failed", 408, 5),
        ('{"i":0,"s":500,"d":"x"}', "authorize_failed", 500, 5),
        ('{"i":0,"s":429}', "rate_limited", 429, 3600),
        ('{"i":0,"s":423}', "rate_limited", 423, 3600),
        ('{"i":0,"s":200,"d":{"p-ticket":"t","p-time":15}}', "penalty", None, 15),
        ('{"i":0,"s":200,"d":{"p-captcha":true}}', "captcha", None, 3600),
    ],
)
def test_an_authorize_that_fails(answer: str, cause: str, code: int | None, wait_s: float) -> None:
    session = session_in(State.AUTHORIZING)

    session.receive(f"a[{answer}]".encode(), NOW)

    error = lost(session)
    assert (error.cause, error.code, error.wait_s) == (cause, code, wait_s)


@pytest.mark.parametrize("state", [State.SYNCING, State.SNAPSHOT, State.SYNCED])
@pytest.mark.parametrize(
    ("answer", "cause", "code", "wait_s"),
    [
        ('{"i":1,"s":401,"d":"Access is denied"}', "sync_refused", 401, 0),
        ('{"i":1,"s":400}', "sync_refused", 400, 0),
        ('{"i":1,"s":200,"d":{"errorText":"no right"}}', "sync_refused", 200, 0),
        ('{"i":1,"s":200,"d":{"violations":[1]}}', "sync_refused", 200, 0),
        ('{"i":1,"s":408}', "server_error", 408, 5),
        ('{"i":1,"s":503}', "server_error", 503, 5),
        ('{"i":7,"s":429}', "rate_limited", 429, 3600),
        ('{"i":1,"s":423}', "rate_limited", 423, 3600),
        ('{"i":1,"s":200,"d":{"p-ticket":"t","p-captcha":true}}', "captcha", None, 3600),
        ('{"i":1,"s":200,"d":{"p-ticket":"t","p-time":301}}', "penalty", None, 301),
        ('{"i":0,"s":401}', "unauthorized", 401, 0),
        ('{"i":1,"d":{}}', "sync_refused", None, 0),
    ],
)
def test_a_sync_that_fails(state: State, answer: str, cause: str, code: int | None, wait_s: float) -> None:
    session = session_in(state)

    session.receive(f"a[{answer}]".encode(), NOW)

    error = lost(session)
    assert (error.cause, error.code, error.wait_s) == (cause, code, wait_s)


# Penalties


def test_a_penalty_is_waited_for_and_the_ticket_sent_back_under_a_fresh_id() -> None:
    session = session_in(State.SYNCING)

    session.receive(b'a[{"i":1,"s":200,"d":{"p-ticket":"b1a2","p-time":3}}]', NOW)
    assert session.events() == [Penalized(Penalty("b1a2", 3.0, False, ""))]
    run_timers(session, NOW + 2.9)
    assert session.data_to_send() == ["[]"]
    run_timers(session, NOW + 3)

    assert session.data_to_send() == [f"user/syncrequest\n2\n\n{PLAN.body('b1a2')}"]
    assert session.events() == [SyncSent(2, 2)]


@pytest.mark.parametrize("request_id", [1, 2])
def test_the_answer_to_a_retry_is_taken_under_either_id(request_id: int) -> None:
    session = session_in(State.PENALIZED)
    run_timers(session, NOW + 3)

    found = session.receive(frame({"i": request_id, "s": 200, "d": {"orders": [{"id": 1}]}}), NOW + 4)

    assert found is not None
    assert session.state is State.SNAPSHOT


def test_a_snapshot_that_comes_during_a_penalty_cancels_the_retry() -> None:
    session = session_in(State.PENALIZED)

    session.receive(PART, NOW + 1)
    session.data_to_send()
    run_timers(session, NOW + 3.2)

    assert session.state is State.SYNCED
    assert "[]" in session.data_to_send()
    assert not any(isinstance(event, SyncSent) for event in session.events())


def test_penalties_without_end_end_the_session() -> None:
    session = session_in(State.SYNCING, limits=SessionLimits(penalties=2))
    now = NOW
    for attempt in (1, 2):
        session.receive(frame({"i": attempt, "s": 200, "d": {"p-ticket": "t", "p-time": 1}}), now)
        now += 1
        run_timers(session, now)

    session.receive(frame({"i": 3, "s": 200, "d": {"p-ticket": "t", "p-time": 1}}), now)

    assert (lost(session).cause, session.lost and session.lost.wait_s) == ("penalty", 1)


# The snapshot


def test_parts_may_come_in_any_number_with_events_between_them() -> None:
    session = session_in(State.SYNCING)

    found = session.receive(frame({"i": 1, "s": 200, "d": {"orders": [{"id": 1}]}}, props(1)), NOW)
    more = session.receive(frame(props(2), {"i": 1, "s": 200, "d": {"fills": [{"id": 5}]}}), NOW + 1.5)

    assert [*(found or []), *(more or [])] == [
        {"i": 1, "s": 200, "d": {"orders": [{"id": 1}]}},
        props(1),
        props(2),
        {"i": 1, "s": 200, "d": {"fills": [{"id": 5}]}},
    ]
    session.events()
    assert run_timers(session, NOW + 3.4) == [NOW + 2.5]
    assert session.events() == []
    run_timers(session, NOW + 3.5)
    assert session.events() == [SnapshotComplete({"order": 1, "fill": 1}, frozenset(), 2)]


def test_events_do_not_prolong_the_snapshot() -> None:
    session = session_in(State.SNAPSHOT)
    for tick in range(1, 20):
        session.receive(frame(props(tick)), NOW + tick / 10)

    run_timers(session, NOW + 2)

    assert session.state is State.SYNCED


def test_a_late_part_is_forwarded_and_said_to_be_late() -> None:
    session = session_in(State.SYNCED)

    found = session.receive(PART, NOW + 20)

    assert found == messages(PART)
    assert session.events() == [SnapshotPart({"user": 0, "order": 1}, ("fills",), late=True)]
    assert session.snapshot.parts == 2


def test_an_answer_without_data_is_a_snapshot_of_nothing() -> None:
    session = session_in(State.SYNCING)

    assert session.receive(b'a[{"i":1,"s":200}]', NOW) is None
    run_timers(session, NOW + 2)

    assert session.events()[-1] == SnapshotComplete({}, frozenset(), 1)


def test_arrays_after_the_first_answer_are_parts_of_the_snapshot() -> None:
    """Protocol section 8.1, variant B; every value and the order stay, also when the frame is read again."""
    session = session_in(State.SNAPSHOT)
    batch = {"e": "props", "d": {"entityType": "fill", "eventType": "Created", "entity": [{"id": 2}, {"id": 3}]}}

    found = session.receive(frame(props(1), batch), NOW + 1)

    part = {"i": 1, "s": 200, "d": [{"entityType": "fill", "entity": [{"id": 2}, {"id": 3}]}]}
    assert found == [props(1), part]
    assert session.rewritten is not None
    assert messages(session.rewritten) == found
    assert session.events() == [SnapshotPart({"fill": 2}, (), late=False)]
    session.receive(frame(props(1)), NOW + 1)
    assert session.rewritten is None


@pytest.mark.parametrize("state", [State.SYNCING, State.SYNCED])
def test_arrays_outside_the_snapshot_are_live(state: State) -> None:
    session = session_in(state)
    batch = {"e": "props", "d": {"entityType": "fill", "eventType": "Created", "entity": [{"id": 2}]}}

    assert session.receive(frame(batch), NOW) == [batch]
    assert session.rewritten is None


@pytest.mark.parametrize("event", ["Created", "Updated"])
def test_arrays_of_what_the_snapshot_has_told_already_are_live(event: str) -> None:
    """A live event may hold an array as well (protocol section 9.1); dropped as a part it would be lost."""
    session = session_in(State.SNAPSHOT)
    batch = {"e": "props", "d": {"entityType": "order", "eventType": event, "entity": [{"id": 1}]}}

    assert session.receive(frame(batch), NOW) == [batch]
    assert session.rewritten is None


@pytest.mark.parametrize("state", [State.SYNCING, State.PENALIZED])
def test_arrays_in_the_frame_of_the_first_answer_are_parts(state: State) -> None:
    session = session_in(state)
    batch = {"e": "props", "d": {"entityType": "order", "eventType": "Updated", "entity": [{"id": 2}]}}
    answer = {"s": 200, "i": 1, "d": {"orders": [{"id": 1}]}}

    found = session.receive(frame(answer, batch), NOW)

    part = {"entityType": "order", "entity": [{"id": 2}]}
    assert found == [answer, {"i": session.snapshot.parts // 2, "s": 200, "d": [part]}]
    assert session.snapshot.counts == {"order": 2}


def test_a_shutdown_in_the_frame_of_an_array_is_heard() -> None:
    session = session_in(State.SNAPSHOT)
    batch = {"e": "props", "d": {"entityType": "fill", "eventType": "Created", "entity": [{"id": 2}]}}

    found = session.receive(frame(batch, {"e": "shutdown", "d": {"reasonCode": "IPQuotaReached"}}), NOW)

    assert found == [{"i": 1, "s": 200, "d": [{"entityType": "fill", "entity": [{"id": 2}]}]}]
    assert lost(session).cause == "quota"


def test_the_memory_of_names_is_bounded() -> None:
    session = session_in(State.SYNCING, limits=SessionLimits(remembered_types=10))
    lists: dict[str, Any] = {f"made{n}ups": [1] for n in range(50)} | {f"null{n}": None for n in range(50)}

    for _ in range(3):
        session.receive(frame({"i": 1, "s": 200, "d": lists}), NOW)

    assert len(session.snapshot.counts) == 10
    assert len(session.snapshot.null_lists) == 10


# Data


@pytest.mark.parametrize("state", [State.SNAPSHOT, State.SYNCED])
@pytest.mark.parametrize(
    "message",
    [
        {"e": "clock", "d": '{"t":1}'},
        {"e": "props"},
        {"e": "props", "d": [{"entityType": "order", "entity": {"id": 1}}]},
        {"what": 1},
        "text",
        [1],
        7,
    ],
)
def test_what_is_not_understood_is_forwarded_in_its_place(state: State, message: Any) -> None:
    session = session_in(state)

    assert session.receive(frame(props(1), message, props(2)), NOW) == [props(1), message, props(2)]


def test_data_in_the_frame_of_a_shutdown_are_not_lost() -> None:
    session = session_in(State.SYNCED)

    found = session.receive(frame(props(1), {"e": "shutdown", "d": {"reasonCode": "X"}}, props(2)), NOW)

    assert found == [props(1), props(2)]
    assert lost(session).cause == "shutdown"


@pytest.mark.parametrize("raw", [b"a[]", b"a[null]", b"h"])
def test_frames_without_data_give_none(raw: bytes) -> None:
    session = session_in(State.SYNCED)

    assert session.receive(raw, NOW) is None
    assert session.lost is None
    assert not session.pending


def test_numbers_that_the_fast_reader_refuses_do_not_end_the_session() -> None:
    session = session_in(State.SYNCED)

    found = session.receive(b'a[{"e":"props","d":{"entityType":"order","entity":{"id":1e999}}}]', NOW)

    assert found is not None
    assert session.lost is None


# Endings


@pytest.mark.parametrize(
    ("data", "cause", "wait_s"),
    [
        ({"reasonCode": "Maintenance", "reason": "x"}, "maintenance", 30),
        ({"reasonCode": "ConnectionQuotaReached"}, "quota", 300),
        ({"reasonCode": "IPQuotaReached"}, "quota", 300),
        ({"reasonCode": "Something"}, "shutdown", 0),
        (None, "shutdown", 0),
    ],
)
@pytest.mark.parametrize("state", [state for state in State if state is not State.ENDED])
def test_a_shutdown_ends_the_session_in_every_state(state: State, data: Any, cause: str, wait_s: float) -> None:
    session = session_in(state)

    session.receive(frame({"e": "shutdown", "d": data}), NOW)

    error = lost(session)
    assert (error.cause, error.wait_s) == (cause, wait_s)


@pytest.mark.parametrize(("raw", "code"), [(b"c", None), (b'c[3000,"Go away!"]', 3000)])
def test_a_close_frame_ends_the_session(raw: bytes, code: int | None) -> None:
    session = session_in(State.SYNCED)

    session.receive(raw, NOW)

    assert (lost(session).cause, session.lost and session.lost.code) == ("go_away", code)


@pytest.mark.parametrize("raw", [b"", b"a", b"a{", b"a{}", b"x", b"[]", b'a[{"e":"props","d":{"entity', b"\xff\xfe"])
@pytest.mark.parametrize("state", [State.OPENING, State.AUTHORIZING, State.SYNCED])
def test_garbage_ends_the_session_and_is_kept(state: State, raw: bytes) -> None:
    session = session_in(state)

    assert session.receive(raw, NOW) is None

    error = lost(session)
    assert error.cause == "garbage"
    assert error.unread == Unread(raw, len(raw), hashlib.sha256(raw).hexdigest())


def test_kept_garbage_is_bounded() -> None:
    session = session_in(State.SYNCED, limits=SessionLimits(kept_raw_bytes=10))

    session.receive(b"x" * 1000, NOW)

    assert lost(session).unread == Unread(b"x" * 10, 1000, hashlib.sha256(b"x" * 1000).hexdigest())


def test_a_frame_over_the_limit_ends_the_session() -> None:
    session = session_in(State.SYNCED, limits=SessionLimits(frame_bytes=200))

    raw = frame(props(), props(), props(), props())
    session.receive(raw, NOW)

    error = lost(session)
    assert (error.cause, error.unread and error.unread.length) == ("oversized", len(raw))


@pytest.mark.parametrize(("code", "cause"), [(None, "dropped"), (1006, "dropped"), (1000, "closed"), (4001, "closed")])
def test_a_closed_connection_ends_the_session(code: int | None, cause: str) -> None:
    session = session_in(State.SYNCED)

    session.closed(code, "bye", NOW)

    assert (lost(session).cause, session.lost and session.lost.code) == (cause, code)


def test_the_first_reason_stands() -> None:
    session = session_in(State.SYNCED)

    session.receive(b"c", NOW)
    session.closed(1000, "", NOW)
    session.fail(SessionLost("stopped"))

    assert lost(session).cause == "go_away"


@pytest.mark.parametrize("state", [state for state in State if state not in {State.OPENING, State.ENDED}])
def test_a_second_greeting_is_a_breach_of_the_protocol(state: State) -> None:
    session = session_in(state)

    session.receive(b"o", NOW)

    assert lost(session).cause == "unexpected"


@pytest.mark.parametrize("state", [State.OPENING, State.AUTHORIZED])
def test_a_snapshot_that_nobody_asked_for_is_a_breach_of_the_protocol(state: State) -> None:
    session = session_in(state)

    session.receive(PART, NOW)

    assert lost(session).cause == "unexpected"


def test_the_table_leads_out_of_every_state_and_never_into_the_end() -> None:
    assert {state for state, _ in NEXT} == set(State) - {State.ENDED}
    assert {signal for _, signal in NEXT} == set(Signal)
    assert State.ENDED not in NEXT.values()


# Time


def test_heartbeats_every_two_and_a_half_seconds_from_the_greeting_on() -> None:
    session = session_in(State.OPENING)
    session.receive(b"o", NOW)
    session.data_to_send()
    session.receive(GRANTED, NOW)
    sent = []
    for tick in range(1, 400):
        now = NOW + tick / 4
        session.receive(b"h", now)
        sent += [at for at in run_timers(session, now) if "[]" in session.data_to_send()]

    assert sent == [NOW + 2.5 * n for n in range(1, 40)]


def test_heartbeats_are_never_sent_faster_after_a_late_one() -> None:
    session = session_in(State.SYNCED)
    first = session.deadline()

    session.handle_timer(first + 0.5)

    assert session.data_to_send() == ["[]"]
    assert session.deadline() == first + 3.0


@pytest.mark.parametrize("state", [State.AUTHORIZED, State.SYNCED])
def test_ten_seconds_without_a_byte_are_the_end(state: State) -> None:
    session = session_in(state)
    session.heard(NOW + 5)

    run_timers(session, NOW + 14.9)
    assert session.lost is None
    run_timers(session, NOW + 15)

    assert lost(session).cause == "idle"


@pytest.mark.parametrize(
    ("state", "after_s"), [(State.OPENING, 10.0), (State.AUTHORIZING, 10.0), (State.SYNCING, 30.0)]
)
def test_an_answer_that_does_not_come_is_the_end_though_heartbeats_do(state: State, after_s: float) -> None:
    session = session_in(state)
    now = NOW
    while now < NOW + after_s - 1:
        now += 1
        session.receive(b"h", now)
        run_timers(session, now)
    assert session.lost is None

    run_timers(session, NOW + after_s)

    assert lost(session).cause == f"{state.value}_timeout"


def test_opening_counts_from_the_upgrade() -> None:
    session = Session(PLAN, TOKEN, now=NOW)

    session.opened(NOW + 8)
    run_timers(session, NOW + 17)

    assert session.lost is None


def test_while_reading_is_paused_silence_is_not_judged_but_heartbeats_go_on() -> None:
    session = session_in(State.SNAPSHOT)

    session.pause(NOW + 1)
    session.pause(NOW + 2)
    run_timers(session, NOW + 60)
    assert session.lost is None
    assert session.events() == []
    assert session.data_to_send().count("[]") == 24

    session.resume(NOW + 61)
    run_timers(session, NOW + 61.9)
    assert session.events() == []
    run_timers(session, NOW + 62)
    assert [type(event) for event in session.events()] == [SnapshotComplete]
    run_timers(session, NOW + 70)
    assert lost(session).cause == "idle"


def test_a_process_that_stood_still_does_not_blame_the_server() -> None:
    session = session_in(State.SYNCED)

    session.handle_timer(NOW + 300)
    assert session.lost is None
    assert session.data_to_send() == ["[]"]
    run_timers(session, NOW + 320)

    assert lost(session).cause == "idle"


def test_an_early_timer_does_no_harm() -> None:
    session = session_in(State.SYNCED)
    deadline = session.deadline()

    session.handle_timer(deadline - 0.1)

    assert not session.pending
    assert session.deadline() == deadline


# Secrets


def test_the_token_is_neither_shown_nor_quoted() -> None:
    session = session_in(State.AUTHORIZING)
    assert TOKEN not in repr(session)

    session.receive(f'a[{{"i":0,"s":401,"d":"bad token {TOKEN}"}}]'.encode(), NOW)

    assert "***" in str(session.lost)
    assert TOKEN not in str(session.lost)


def test_the_token_is_cut_out_of_kept_garbage() -> None:
    session = session_in(State.SYNCED)

    session.receive(b"echo " + TOKEN.encode(), NOW)

    unread = lost(session).unread
    assert unread is not None
    assert (unread.raw, unread.length) == (b"echo ***", len(TOKEN) + 5)
