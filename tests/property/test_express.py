"""Frames taken straight, in Python and compiled, against the same frames read, compared and written step by step."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from contextlib import suppress
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.app import implementation
from bridge.app.express import ABSENT_BYTES, PlainExpress
from bridge.app.reading import frame_reader
from bridge.app.shards import kinds
from bridge.changes.resend import Past
from bridge.changes.state import PublishedState
from bridge.entities.catalogue import CATALOGUE, Lifecycle
from bridge.entities.drift import Drift
from bridge.entities.encoder import Encoder
from bridge.entities.exact import Inexact
from bridge.entities.schemas import value_schema, wire_fields
from bridge.errors import Unencodable
from bridge.kafka.control import Control
from bridge.kafka.framing import SingleObject
from bridge.kafka.names import TopicNames
from bridge.kafka.statelog import Head
from bridge.shard.frames import Frames
from bridge.shard.notes import Frame
from bridge.shard.transaction import Transaction
from bridge.source import forward
from tests.implementations import ENCODERS, ENVELOPES, RECONCILERS, RECORDS
from tests.packed import records_of
from tests.property.test_entities import json_values
from tests.property.test_implementations import entity
from tests.property.wire import seeded
from tests.unit.kafka.scene import ORIGIN, STATE, type_bytes

TYPES = ("order", "fill", "fillFee", "position", "account", "cashBalance", "productSession", "user", "orderVersion")
QUIET_MS, ROLLING_MS = 1_700_040_000_000, 1_700_000_000_000
ARRIVED_US = 1_700_000_000_123_456


class Steps:
    """Takes nothing straight, so that every frame goes step by step: what all others must be equal to."""

    def take(self, *_: Any) -> tuple[int, int]:
        return 0, 0

    def take_read(self, *_: Any) -> tuple[bool, int]:
        return False, 0


WAYS: dict[str, Any] = {"plain": PlainExpress}
if implementation.EXPRESS is not PlainExpress:
    WAYS["compiled"] = implementation.EXPRESS
LAST = [*WAYS][-1]


class Side:
    """One shard from frames to a transaction, in one of the ways, or step by step in Python.

    Args:
        read: frames are read before they are taken.
    """

    def __init__(self, way: str = "steps", *, read: bool = False, **options: Any) -> None:
        number, self.read = int(way == "compiled"), read
        self.met, self.encoders = Drift(), {name: ENCODERS[number](name, value_schema(name)) for name in TYPES}
        self.state = PublishedState(CATALOGUE)
        self.kinds = kinds(self.state, self.encoders, "modAccountId")
        self.reconciler = RECONCILERS[number](self.state, self.kinds, divisor=4, remainder=1, **options)
        envelopes = ENVELOPES[number](ORIGIN, 7, {name: type_bytes(name) for name in CATALOGUE}, STATE)
        self.past = Past(self.state, [name for name, kind in self.kinds.items() if kind.lifecycle is Lifecycle.SESSION])
        self.straight = WAYS[way](self.reconciler, envelopes, self.past) if way in WAYS else Steps()
        self.frames = Frames(
            state=self.state,
            reconciler=self.reconciler,
            reader=implementation.READER if number else frame_reader(),
            envelopes=envelopes,
            control=Control(TopicNames("p"), SingleObject()),
            past=self.past,
            met=self.met,
            express=self.straight,
            shard=1,
            divisor=4,
        )
        self.records, self.head = RECORDS[number], Head(epoch=7)
        self.most = 0

    def take(self, raws: list[bytes], now_ms: int) -> Transaction:
        """As socket and writer do; what is no event is the session's business, so nothing comes of it here."""
        transaction = Transaction(replace(self.head), defaultdict(self.records, {STATE: self.records()}))
        at = 0
        while at < len(raws):
            taken = 0 if self.read else self.frames.take_unread(raws, at, at + 1, ARRIVED_US, transaction, now_ms)
            self.most = max(self.most, taken)
            if not taken and (messages := forward.events(raws[at])) is not None:
                self.frames.take(Frame(at + 1, raws[at], messages, ARRIVED_US), transaction, now_ms)
            at += taken or 1
        self.head = transaction.head
        return transaction

    def told(self, transaction: Transaction) -> Any:
        """All that is written, and all that is remembered."""
        r = self.reconciler
        return (
            {topic: records_of(records) for topic, records in transaction.batches.items()},
            (transaction.head, transaction.frames, transaction.changes, transaction.oldest_us > 0),
            sorted(self.state),
            {name: (kind.live, kind.seen) for name, kind in self.kinds.items()},
            (r.counts, r._live_owned, r._live_foreign),
            self.past.notes,
            {name: encoder.drift for name, encoder in self.encoders.items()},
        )


# Frames


def number_texts(r: random.Random) -> str:
    """A number in some notation, right or wrong."""
    digits = "".join(r.choice("0123456789") for _ in range(r.choice((1, 2, 5, 9, 15, 16, 17, 18, 19, 20, 25))))
    whole = r.choice(("", "-")) + r.choice((digits, digits.lstrip("0") or "0"))
    behind = r.choice(("", "", ".", ".0", "." + digits[:3], "." + digits, ".000000000000000000001"))
    return whole + behind + r.choice(("", "", "", "e3", "E-2", "e+0", "e22", "e-30", "e400", "e", "e99999999"))


TEXTS = (
    '"x"',
    '"Buy"',
    '"\\u00e9"',
    '"é\U0001f600"',
    '"a\\"b"',
    '"\\/"',
    '""',
    '"' + "é" * 9 + "abcdefgh" + '"',
    '"\x7f"',
)
LITERALS = ("null", "true", "false", "nul", "[]", "{}", '{"year":2026,"month":2,"day":29}', '{"hour":9,"minute":5}', "")


def odd_text(r: random.Random) -> str:
    """JSON, or nearly."""
    return r.choice((number_texts(r), number_texts(r), r.choice(TEXTS), r.choice(LITERALS)))


def entity_text(r: random.Random, made: dict[str, Any]) -> str:
    """An entity as text: members in any order, at times one of them twice, unknown, or odd."""
    members = [(name, json.dumps(value, ensure_ascii=r.random() < 0.1)) for name, value in made.items()]
    if r.random() < 0.15 and members:
        place = r.randrange(len(members))
        members[place] = members[place][0], odd_text(r)
    if r.random() < 0.05 and members:
        members.append((r.choice(members)[0], odd_text(r)))
    if r.random() < 0.05:
        members.append((r.choice(("new", "idd", "i")), r.choice(("null", "5", '"x"'))))
    r.shuffle(members)
    blank = r.choice(("", "", "", " ", "\n\t"))
    return "{" + f",{blank}".join(f'{blank}"{name}"{blank}:{blank}{text}{blank}' for name, text in members) + "}"


EVENT_TYPES = ("Created", *("Updated",) * 8, "Deleted", 5)
MORE = (
    ("more", '{"a":[1,"x",{}]}'),
    ("entityType", '"fill"'),
    ("entity", '{"id":1}'),
    ("eventType", '"Updated"'),
)
"""Members that an event should not have, or not twice."""


def message_text(r: random.Random) -> str:
    """One message, nearly always an event."""
    name = r.choice(TYPES)
    made = entity(r, value_schema(name)) if r.random() < 0.2 else usual(r, name)
    body = [
        ("entityType", json.dumps(name if r.random() < 0.97 else "stranger")),
        ("eventType", json.dumps(r.choice(EVENT_TYPES))),
        ("entity", entity_text(r, made)),
    ]
    if r.random() < 0.1:
        body.append(r.choice(MORE))
    if r.random() < 0.2:
        r.shuffle(body)
    data = "{" + ",".join(f'"{key}":{text}' for key, text in body) + "}"
    message = [("e", '"props"' if r.random() < 0.98 else r.choice(('"shutdown"', "5"))), ("d", data)]
    if r.random() < 0.05:
        message.append(r.choice((("s", "200"), ("e", '"props"'), ("x", "[1,{}]"))))
    if r.random() < 0.1:
        r.shuffle(message)
    return "{" + ",".join(f'"{key}":{text}' for key, text in message) + "}"


def usual(r: random.Random, name: str) -> dict[str, Any]:
    """An entity that is usual but for what it belongs to; few ids, so that keys come again."""
    made = {
        field: r.randint(1, 6) if field == "id" or field.endswith("Id") else value
        for field, value in entity(r, value_schema(name)).items()
        if type(value) is not int or abs(value) < 2**53
    }
    return made | {"id": r.randint(1, 5)}


def frame_text(r: random.Random) -> bytes:
    """A frame; at times some of its bytes are others."""
    raw = ("a[" + ",".join(message_text(r) for _ in range(r.choice((1, 1, 2, 5)))) + "]").encode("utf-8", "replace")
    if r.random() < 0.05:
        return raw + r.choice((b" ", b"\n", b"x", b"]", b"\x00"))
    if r.random() < 0.1:
        at = r.randrange(len(raw))
        raw = (
            raw[:at]
            + r.choice((b"", b"\x00", b"\xff", b"\xc3", b'"', b"}", b" ", b"\\", b"]x", b"\xed\xa0\x80"))
            + raw[at + r.choice((0, 1)) :]
        )
    return raw


FRAMES = st.integers(0, 2**32).map(lambda seed: [frame_text(seeded(f"{seed} {n}")) for n in range(12)])
OPTIONS = st.fixed_dictionaries(
    {"max_value_bytes": st.sampled_from([60, 100_000]), "deduplicate": st.sampled_from([True, True, False])}
)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("read", [False, True])
@given(first=FRAMES, second=FRAMES, options=OPTIONS)
def test_the_same_is_written_and_remembered(
    way: str, read: bool, first: list[bytes], second: list[bytes], options: dict[str, Any]
) -> None:
    steps, straight = Side(**options), Side(way, read=read, **options)
    for raws, now_ms in ((first, QUIET_MS), (second, ROLLING_MS), (second + first, QUIET_MS + 86_400_000)):
        assert steps.told(steps.take(raws, now_ms)) == straight.told(straight.take(raws, now_ms))


@pytest.mark.parametrize("way", WAYS)
def test_of_a_key_that_changes_often_the_same_is_remembered(way: str) -> None:
    steps, straight = Side(max_value_bytes=1000), Side(way, max_value_bytes=1000)
    text = 'a[{"e":"props","d":{"entityType":"order","eventType":"Updated","entity":{"id":1,"accountId":%d}}}]'
    raws = [(text % number).encode() for number in range(40)]
    assert steps.told(steps.take(raws, QUIET_MS)) == straight.told(straight.take(raws, QUIET_MS))
    assert (steps.most, straight.most) == (1, 40)


@pytest.mark.parametrize("way", WAYS)
def test_a_value_that_is_too_large_is_refused_as_ever(way: str) -> None:
    steps, straight = Side(max_value_bytes=700), Side(way, max_value_bytes=700)
    text = 'a[{"e":"props","d":{"entityType":"user","eventType":"Updated","entity":{"id":1,"email":"%s"}}}]'
    raws = [(text % ("x" * length)).encode() for length in (10, 200, 690, 720, 9000)]
    assert steps.told(steps.take(raws, QUIET_MS)) == straight.told(straight.take(raws, QUIET_MS))
    assert straight.reconciler.counts.refused["too_large"] > 0


@pytest.mark.parametrize("way", WAYS)
def test_what_is_usual_is_taken_many_frames_at_once(way: str) -> None:
    side, r = Side(way, max_value_bytes=100_000), seeded(1)
    bodies = [
        {"e": "props", "d": {"entityType": name, "eventType": "Updated", "entity": usual(r, name)}}
        for name in TYPES
        for _ in range(20)
    ]
    plain = [raw for body in bodies if b"\\" not in (raw := b"a[" + orjson.dumps(body) + b"]") and b"e-" not in raw]
    side.reconciler.apply = None  # type: ignore[assignment,method-assign] # the way step by step
    transaction = side.take(plain, QUIET_MS)
    assert transaction.frames == len(plain) > 100
    assert side.most > 20


def test_what_has_been_read_goes_straight_in_python() -> None:
    side = Side("plain", read=True, max_value_bytes=100_000)
    side.reconciler.apply = None  # type: ignore[assignment,method-assign] # the way step by step
    text = b'a[{"e":"props","d":{"entityType":"order","eventType":"Updated","entity":{"id":1}}}]'
    assert side.take([text], QUIET_MS).changes == 1


def test_a_value_is_never_twice_as_long_as_its_frame() -> None:
    r = seeded(2)
    for name in CATALOGUE:
        encoder, fields = STEPS[name], wire_fields(value_schema(name))
        assert len(fields) < ABSENT_BYTES
        for _ in range(50):
            made = entity(r, value_schema(name))
            for some in (made, {"id": made.get("id", 1)}):
                with suppress(Unencodable, Inexact):
                    assert len(encoder.encode(some)[0]) < 2 * len(json.dumps(some)) + ABSENT_BYTES


# Values


def spoken(text: str) -> bytes | None:
    """What becomes of a fill with this field; None if the way straight leaves it."""
    side = SIDE
    raw = b'a[{"e":"props","d":{"entityType":"fill","eventType":"Updated","entity":{"id":1,' + text.encode() + b"}}}]"
    transaction = Transaction(Head(), defaultdict(side.records, {STATE: side.records()}))
    side.state.tables["fill"].clear()
    taken, _ = side.straight.take([raw], 0, 1, ARRIVED_US, QUIET_MS, 0, transaction.batches)
    return side.state.tables["fill"][1][0] if taken else None


SIDE = Side(LAST, max_value_bytes=10**6)
STEPS = {name: Encoder(name, value_schema(name)) for name in CATALOGUE}
NUMBERS = st.integers(0, 2**32).map(lambda seed: number_texts(seeded(seed)))


@given(NUMBERS | st.floats().map(repr) | st.floats(-1e9, 1e9).map(repr) | st.integers(-(10**17), 10**17).map(str))
@example("-0")
@example("-0.0")
@example("0e5")
@example("9007199254740993")
@example("9007199254740992.0")
@example("4503599627370496.5")
@example("123456789012345.6e-22")
def test_a_number_is_what_the_json_reader_says(text: str) -> None:
    for field in ("price", "qty", "orderId"):
        made = spoken(f'"{field}":{text}')
        if made is not None:
            assert made == STEPS["fill"].encode({"id": 1, field: orjson.loads(text)})[0]


@pytest.mark.parametrize(
    ("text", "usual"),
    [
        ("1.5", True),
        ("-12345.25", True),
        ("0.1", True),
        ("1e3", True),
        ("100000001.5", True),
        ("12.340", True),
        ("7", True),
    ],
)
def test_usual_prices_are_not_left_to_python(text: str, usual: bool) -> None:
    assert (spoken(f'"price":{text}') is not None) == usual


BYTES = st.lists(
    st.sampled_from(
        [
            *(b"a", b"abcdefgh", b'\\"', b"\\", b"\x1f", b"\x00", b"\xff", b"\x80", b"\xc3", b"\xe2\x82", b"\xc0\xaf"),
            *("é".encode(), "\u0800".encode(), "\U0010ffff".encode(), b"\xed\xa0\x80"),
            *(b"\xf4\x90\x80\x80", b"\xe0\x80\x80", b"\xf0\x80\x80\x80"),
        ]
    ),
    max_size=12,
).map(b"".join)


@given(BYTES | st.binary(max_size=20))
def test_a_text_is_what_the_json_reader_says(text: bytes) -> None:
    raw = (
        b'a[{"e":"props","d":{"entityType":"contract","eventType":"Updated","entity":{"id":1,"name":"' + text + b'"}}}]'
    )
    known = forward.events(raw)
    plain, _ = implementation.READER.events(raw)
    assert known is not None or not plain
    if b"\\" not in text and b'"' not in text:
        assert plain == (known is not None)


@given(json_values | st.text(), st.sampled_from(["", " ", "\n"]), st.booleans())
def test_whether_a_frame_holds_nothing_but_events_is_never_said_wrongly(value: Any, blank: str, real: bool) -> None:
    inner = json.dumps({"e": "props", "d": value} if real else value).encode()
    raw = b"a[" + blank.encode() + inner + blank.encode() + b"]" + blank.encode()
    plain, _ = implementation.READER.events(raw)
    assert not plain or forward.events(raw) is not None


@pytest.mark.parametrize(
    "raw", [b"", b"a", b"a[", b"a[]", b"h", b"o", b"c[1]", b'a[{"e":"props"}', b'a[{"e":"props"}]]', b"a[[]]"]
)
def test_what_is_cut_off_or_no_event_is_not_vouched_for(raw: bytes) -> None:
    assert implementation.READER.events(raw) == (False, None)


@pytest.mark.skipif("compiled" not in WAYS, reason="the accelerator was not built, or SYNCBRIDGE_PURE is set")
def test_objects_that_are_no_frames_are_errors_of_ours_and_no_crash() -> None:
    express = SIDE.straight
    good: tuple[Any, ...] = ([b"a[]"], 0, 1, 1, 1, 0, defaultdict(SIDE.records))
    assert express.take(*good) == (0, 0)
    for place, odd in ((0, (b"a[]",)), (1, -1), (4, True), (4, 1.0), (6, {STATE: []}), (6, []), (2, 2**64)):
        with pytest.raises((TypeError, OverflowError, KeyError)):
            express.take(*good[:place], odd, *good[place + 1 :])
    assert express.take([5, None], *good[1:]) == (0, 0)


@pytest.mark.parametrize("way", WAYS)
def test_frames_without_end_leave_nothing_behind(way: str) -> None:
    import gc
    import sys

    raws = [frame_text(seeded(n)) for n in range(300)]
    side = Side(way, max_value_bytes=100_000)
    for _ in range(3):
        side.take(raws, QUIET_MS)
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(20):
        side.take(raws, QUIET_MS)
    gc.collect()
    assert sys.getallocatedblocks() - before < 3000
