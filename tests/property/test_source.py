"""The contract of the source's pure half: any bytes are understood or end the session, and rows lose nothing."""

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from bridge.source.events import Ended
from bridge.source.forward import carries_data, messages
from bridge.source.refusals import SessionLimits
from bridge.source.rows import Rows, Unmapped, rows
from bridge.source.session import Session
from bridge.source.states import State
from tests.unit.source.driving import PLAN, TOKEN, frame, run_timers

scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=8)
)
json = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
)
types = st.sampled_from(["order", "fill", "position", "newThing", "OtherEnvAdminAlertSignal"])
entities = st.fixed_dictionaries({"id": st.integers(1, 50)}, optional={"accountId": st.integers(1, 9), "x": json})
changes = st.fixed_dictionaries(
    {"entityType": types, "entity": entities | st.lists(entities, max_size=4)},
    optional={"eventType": st.sampled_from(["Created", "Updated", "Deleted", "Archived"])},
)
lists = st.dictionaries(
    st.sampled_from(["orders", "fills", "users", "novelties"]), st.none() | st.lists(entities, max_size=4), max_size=4
)
wellformed = st.one_of(
    st.fixed_dictionaries({"e": st.just("props"), "d": changes | st.lists(changes, max_size=3)}),
    st.fixed_dictionaries(
        {"i": st.integers(0, 3), "s": st.just(200), "d": lists | st.lists(changes | lists, max_size=3)}
    ),
)
odd = st.one_of(
    st.fixed_dictionaries(
        {"i": json, "s": st.sampled_from([200, 401, 408, 423, 429, 500]) | json}, optional={"d": json}
    ),
    st.fixed_dictionaries({"e": st.sampled_from(["props", "shutdown", "clock", "md"]) | json}, optional={"d": json}),
    st.fixed_dictionaries(
        {
            "i": st.integers(0, 3),
            "s": st.just(200),
            "d": st.fixed_dictionaries({"p-ticket": json, "p-time": json}, optional={"p-captcha": json}),
        }
    ),
    json,
)
frames = st.one_of(
    st.sampled_from([b"o", b"h", b"c", b'c[3000,"Go away!"]', b'a[{"s":200,"i":0}]', b"a[]", b"a", b""]),
    st.lists(wellformed | odd, max_size=4).map(lambda found: frame(*found)),
    st.binary(max_size=40),
    st.binary(max_size=40).map(lambda raw: b"a[" + raw),
    st.lists(odd, max_size=2).map(lambda found: frame(*found)[:-3]),
)
steps = st.one_of(
    frames,
    st.floats(0, 40).map(lambda seconds: seconds),
    st.sampled_from(["allow", "pause", "resume", "closed"]),
)


def step(session: Session, what: bytes | float | str, now: float) -> float:
    match what:
        case bytes():
            found = session.receive(what, now)
            assert found is None or len(found) > 0
        case float():
            run_timers(session, now + what)
            now += what
        case "allow":
            session.allow_sync(now)
        case "pause":
            session.pause(now)
        case "resume":
            session.resume(now)
        case _:
            session.closed(1006, "", now)
    return now


@given(st.lists(steps, max_size=25))
def test_any_bytes_at_any_time_are_understood_or_end_the_session(script: list[bytes | float | str]) -> None:
    session = Session(PLAN, TOKEN, now=0.0, limits=SessionLimits(remembered_types=8))
    now, ended, syncs = 0.0, 0, 0
    session.receive(b"o", now)
    for what in script:
        now = step(session, what, now)
        syncs += sum(text.startswith("user/syncrequest") for text in session.data_to_send())
        ended += sum(isinstance(event, Ended) for event in session.events())
        assert not session.pending
        assert (session.state is State.ENDED) == (session.lost is not None) == (ended == 1)
        assert len(session.snapshot.counts) <= 8
        assert len(session.snapshot.null_lists) <= 8
    assert syncs <= session.limits.penalties + 1


@given(st.lists(wellformed, max_size=6), st.data())
def test_however_messages_are_cut_into_frames_the_consumer_sees_the_same(found: list[Any], data: st.DataObject) -> None:
    """Apart from who is called a snapshot part, which depends on what came before in time."""
    cut = data.draw(st.integers(0, len(found)))

    def seen(*parts: list[Any]) -> list[Any]:
        session = Session(PLAN, TOKEN, now=0.0)
        session.receive(b"o", 0.0)
        session.receive(b'a[{"s":200,"i":0}]', 0.0)
        session.allow_sync(0.0)
        session.receive(b'a[{"s":200,"i":1,"d":{"users":[]}}]', 0.0)
        return [message for part in parts for message in session.receive(frame(*part), 0.0) or []]

    assert seen(found) == seen(found[:cut], found[cut:]) == seen(*([message] for message in found))


@given(st.lists(wellformed | odd, max_size=5))
def test_reading_a_frame_again_gives_the_same_messages(found: list[Any]) -> None:
    session = Session(PLAN, TOKEN, now=0.0)
    for raw in (b"o", b'a[{"s":200,"i":0}]'):
        session.receive(raw, 0.0)
    session.allow_sync(0.0)
    session.receive(b'a[{"s":200,"i":1,"d":{"users":[]}}]', 0.0)
    raw = frame(*found)

    handed_on = session.receive(raw, 0.0) or []

    assert orjson.dumps(messages(session.rewritten or raw)) == orjson.dumps(handed_on)
    assert len(messages(session.rewritten or raw, exact=True)) == len(handed_on)


@given(wellformed)
def test_rows_lose_no_entity_and_keep_the_order(message: dict[str, Any]) -> None:
    found = [entity for item in rows(message) if isinstance(item, Rows) for entity in item.entities]

    assert found == list(_entities(message["d"]))
    assert not any(isinstance(item, Unmapped) for item in rows(message))


def _entities(data: Any) -> list[Any]:
    if isinstance(data, list):
        return [entity for part in data for entity in _entities(part)]
    if "entityType" in data:
        entity = data["entity"]
        return entity if isinstance(entity, list) else [entity]
    return [entity for entities in data.values() for entity in entities or []]


@given(json | odd)
def test_rows_accept_any_json_and_drop_nothing_but_null(message: Any) -> None:
    found = list(rows(message))

    data = message.get("d") if isinstance(message, dict) else message
    if carries_data(message) and not _is_void(data):
        assert found


def _is_void(data: Any) -> bool:
    if isinstance(data, dict):
        return all(value is None for value in data.values())
    return data is None or (isinstance(data, list) and all(_is_void(part) for part in data))
