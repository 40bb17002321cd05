"""The compiled hot path against the one in Python: the same input, the same records, state, counts and errors."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.app.shards import kinds
from bridge.changes.reconciler import Reconciler, Row
from bridge.changes.state import PublishedState
from bridge.entities.catalogue import CATALOGUE
from bridge.entities.encoder import Encoder
from bridge.entities.exact import Inexact
from bridge.entities.schemas import value_schema
from bridge.entities.values import Misfit, to_days, to_millis, to_time
from bridge.errors import Unencodable
from bridge.kafka.envelope import Batches, Record, Records
from bridge.kafka.packing import BATCH_BYTES, CODECS, Packing
from tests.implementations import ENCODERS, ENVELOPES, READERS, RECONCILERS, RECORDS
from tests.packed import read as read_batches
from tests.property.test_entities import json_values
from tests.property.wire import Entity, make_entity, seeded
from tests.unit.kafka.scene import ORIGIN, STATE, type_bytes

pytestmark = pytest.mark.skipif(len(ENCODERS) == 1, reason="the accelerator was not built, or SYNCBRIDGE_PURE is set")

SEEDS = st.integers(0, 2**32)
TYPES = ("account", "order", "orderVersion", "fill", "fillFee", "position", "contract", "user", "cashBalance")
"""Every way to find an owner: own field, by the account, by a parent, itself, none."""
ALL = {each: {name: each(name, value_schema(name)) for name in CATALOGUE} for each in ENCODERS}


def outcome(encoder: Encoder, entity: Any, exact: bool = False) -> Any:
    try:
        return encoder.encode(entity, exact)
    except Unencodable as error:
        return error.reason, str(error)
    except Inexact as error:
        return str(error)


# Values

MOMENTS = st.from_regex(
    r"(19|20|00|99)[0-9]{2}-(0[0-9]|1[0-3])-([0-3][0-9])T([012][0-9]):([0-6][0-9]):([0-6][0-9])"
    r"(\.[0-9]{0,5}0{0,3})?(Z|\+00:00|)",
    fullmatch=True,
)
NEARLY = st.tuples(MOMENTS, st.integers(0, 30), st.sampled_from(["", "0", "Z", "٣", "\x00", "-", "\ud800"])).map(
    lambda parts: parts[0][: parts[1]] + parts[2] + parts[0][parts[1] + 1 :]
)
LIMITS = st.sampled_from([-(2**63) - 1, -(2**63), -1, 0, 1, 2, 9999, 10_000, 2**63 - 1, 2**63, 1.0, True, None, "1"])
PARTS = st.one_of(st.integers(-1, 62), st.integers(1890, 2110), LIMITS)


def converted(convert: Any, value: Any) -> bool:
    try:
        convert(value)
    except Misfit:
        return False
    return True


@given(MOMENTS | NEARLY)
def test_every_date_time_that_can_be_held_is_held_alike(text: str) -> None:
    pure, compiled = (ALL[each]["order"] for each in ENCODERS)
    entity = {"id": 1, "timestamp": text}
    assert outcome(pure, entity) == outcome(compiled, entity)
    assert (native(compiled, entity) is not None) == converted(to_millis, text)


@given(PARTS, PARTS, PARTS)
def test_every_date_and_time_of_day_that_can_be_held_is_held_alike(year: Any, month: Any, day: Any) -> None:
    date, time = {"year": year, "month": month, "day": day}, {"hour": month, "minute": day}
    for name, entity, convert in (
        ("fill", {"tradeDate": date}, to_days),
        ("productSession", {"openTime": time}, to_time),
    ):
        pure, compiled = (ALL[each][name] for each in ENCODERS)
        assert outcome(pure, {"id": 1, **entity}) == outcome(compiled, {"id": 1, **entity})
        (value,) = entity.values()
        assert (native(compiled, {"id": 1, **entity}) is not None) == converted(convert, value)


def native(encoder: Any, entity: Any) -> Any:
    """What the compiled part makes of an entity; None if it leaves it to Python."""
    return encoder.table.encode(entity)


class OddDict(dict[Any, Any]):
    def __eq__(self, other: object) -> bool:
        raise AssertionError

    __hash__ = None


class OddText(str):
    __slots__ = ()

    def __hash__(self) -> int:
        raise AssertionError

    def __eq__(self, other: object) -> bool:
        raise AssertionError


class OddNumber(int):
    def __index__(self) -> int:
        raise AssertionError

    def __float__(self) -> float:
        raise AssertionError


@pytest.mark.parametrize(
    "value",
    [
        OddDict(),
        OddText("Buy"),
        OddNumber(5),
        object(),
        b"Buy",
        (),
        [],
        {},
        True,
        1.0,
        float("nan"),
        float("inf"),
        2**64,
    ],
    ids=lambda value: type(value).__name__,
)
def test_objects_of_no_json_are_not_touched(value: Any) -> None:
    for encoders in ALL[ENCODERS[1]].values():
        fields = [field["name"] for field in encoders.schema["fields"]][:-1]
        assert native(encoders, value) is None
        assert native(encoders, {"id": value}) is None or type(value) is int
        for field in fields[1:]:
            assert native(encoders, {"id": 1, field: value}) is None or type(value) in (bool, float)


def test_a_key_that_is_no_text_is_unknown() -> None:
    order = ALL[ENCODERS[1]]["order"]
    for key in (1, None, b"id", ("id",), 2.5):
        assert native(order, {"id": 1, key: 1}) is None
        assert native(order, {"id": 1, key: None}) is not None


@pytest.mark.parametrize("name", sorted(CATALOGUE.keys() - {"OtherEnvAdminAlertSignal"}))
def test_what_is_usual_is_not_left_to_python(name: str) -> None:
    r, encoder = seeded(name), ALL[ENCODERS[1]][name]
    entities = [make_entity(r, encoder.schema, present=r.random()) for _ in range(60)]
    large = [e for e in entities if any(type(v) is int and abs(v) >= 2**53 for v in e.values())]
    done = [e for e in entities if native(encoder, e) is not None]
    assert len(done) + len(large) >= len(entities)


# Rows and messages


@st.composite
def rows(draw: st.DrawFn) -> Row:
    """One row, live, deleted or of a snapshot, whose entities are now and then odd."""
    name = draw(st.sampled_from([*TYPES, "stranger"]))
    schema = value_schema(name if name in CATALOGUE else "order")
    r = seeded(draw(SEEDS))
    entities: list[Any] = [entity(r, schema) for _ in range(draw(st.integers(0, 4)))]
    if draw(st.integers(0, 5)) == 0:
        entities.insert(0, draw(json_values))
    kind = draw(st.sampled_from(["Created", "Updated", "Updated", "Deleted", None, "snapshot", "snapshot", "part"]))
    if kind in ("snapshot", "part"):
        return name, None, entities, f"{name}s" if kind == "snapshot" else None, True
    return name, kind, entities, None, False


def entity(r: random.Random, schema: Any) -> Entity:
    """Few ids and owners, so that keys come again, are known to others, and belong to other shards."""
    made = make_entity(r, schema, present=0.3)
    for field in made:
        if field == "id" or field.endswith("Id"):
            made[field] = (
                r.choice((1, 2, 3, 4, 5, 9, -3, 2**63, 5.0, "5", None)) if r.random() < 0.3 else r.randint(1, 5)
            )
    if r.random() < 0.9:
        made["id"] = r.randint(1, 4)
    return made


class Side:
    """One implementation of reader, encoder and reconciler."""

    def __init__(self, number: int, **options: Any) -> None:
        self.state = PublishedState(CATALOGUE)
        known = kinds(self.state, ALL[ENCODERS[number]], "modAccountId")
        self.kinds = known
        self.reconciler: Reconciler = RECONCILERS[number](self.state, known, divisor=4, remainder=1, **options)

    def apply(self, frame: list[Row]) -> Any:
        try:
            return self.reconciler.apply(frame)
        except Inexact:
            self.state.rollback()
            return "inexact", self.reconciler.apply(frame, exact=True)

    def beliefs(self) -> Any:
        r = self.reconciler
        flags = r._initial, r._live_owned, r._live_foreign, r._snapshot_remainders
        memory = {name: (kind.live, kind.seen, kind.listed) for name, kind in self.kinds.items()}
        return sorted(self.state), self.state.undo, self.state.live_undo, flags, memory


STEPS = st.lists(st.lists(rows(), max_size=4) | st.sampled_from(["first session", "session"]), min_size=1, max_size=12)
OPTIONS = st.fixed_dictionaries(
    {
        "max_value_bytes": st.sampled_from([40, 100_000]),
        "deduplicate": st.booleans(),
        "foreign": st.sampled_from(["auto", "publish", "skip"]),
    }
)


@given(STEPS, OPTIONS)
def test_both_reconcilers_find_the_same_and_believe_the_same(steps: list[Any], options: dict[str, Any]) -> None:
    pure, compiled = Side(0, **options), Side(1, **options)
    for step in steps:
        if isinstance(step, str):
            for side in (pure, compiled):
                side.reconciler.open_session(initial=step == "first session")
        else:
            assert pure.apply(step) == compiled.apply(step)
        assert pure.beliefs() == compiled.beliefs()
        assert pure.reconciler.counts == compiled.reconciler.counts


MESSAGES = st.lists(
    st.one_of(
        json_values,
        st.fixed_dictionaries(
            {},
            optional={
                "e": st.sampled_from(["props", "props", "props", "shutdown", None, 5]),
                "d": json_values
                | st.fixed_dictionaries(
                    {},
                    optional={
                        "entityType": st.sampled_from(["order", "order", 5, None]),
                        "eventType": st.sampled_from(["Created", "Deleted", None, 5]),
                        "entity": json_values | st.just({"id": 5}),
                    },
                ),
                "i": st.integers(0, 3),
                "s": st.just(200),
            },
        ),
        st.builds(
            lambda kind, event, made: {"e": "props", "d": {"entityType": kind, "eventType": event, "entity": made}},
            st.sampled_from([*TYPES, 5, None]),
            st.sampled_from(["Created", "Updated", "Deleted", 5, None]),
            st.dictionaries(st.text(max_size=3), st.integers(), max_size=3) | st.sampled_from([[], 5, None]),
        ),
    ),
    max_size=6,
)


@given(MESSAGES)
def test_both_readers_read_the_same_rows(messages: list[Any]) -> None:
    pure, compiled = (read(messages) for read in READERS)
    assert compiled == pure


# Records

LONGS = st.integers(-(2**63), 2**63 - 1)
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(TYPES),
        LONGS,
        st.sampled_from(["r", "c", "u", "d"]),
        st.none() | st.binary(max_size=300),
        st.none() | st.binary(max_size=300),
        st.none() | LONGS,
        st.none() | LONGS,
        st.none() | LONGS,
        st.sampled_from(["true", "false", "reconcile", "audit"]),
    ),
    max_size=5,
)
COUNTERS = st.integers(0, 2**62)


@given(CHANGES, COUNTERS, COUNTERS, COUNTERS, COUNTERS, COUNTERS)
def test_both_splice_the_same_records(changes: Any, seq: int, last: int, frame: int, arrived: int, now: int) -> None:
    types = {name: type_bytes(name) for name in TYPES}
    made: list[tuple[int, list[tuple[str, list[bytes]]]]] = []
    for implementation, records in zip(ENVELOPES, RECORDS, strict=True):
        batches: Batches = defaultdict(records)
        used = implementation(ORIGIN, 7, types, STATE).add(changes, seq, last, frame, arrived, now, batches)
        made.append((used, [(topic, packed(some)) for topic, some in batches.items()]))
    assert made[0] == made[1]


def packed(records: Records, compression: str | None = None, *, transactional: bool = True) -> list[bytes]:
    """As a broker gets them."""
    packing = Packing(4_000_000_007, 3, transactional=transactional, compression=compression)
    found = list(packing.batches(records, 2**31 - 9_000_000, 1_772_366_400_130))
    assert sum(count for count, _ in found) == len(records)
    return [bytes(batch) for _, batch in found]


RAW = st.tuples(st.binary(max_size=40), st.none() | st.binary(max_size=600) | st.integers(0, 400_000).map(bytes))


@given(st.lists(RAW, max_size=12), st.integers(1, 200), st.sampled_from(sorted(CODECS, key=str)), st.booleans())
def test_both_pack_the_same_batches(some: list[Record], times: int, compression: Any, transactional: bool) -> None:
    """Also where one is full and the next begins; compressed bytes may differ, if only by the time in them."""
    small = [record for record in some if len(record[1] or b"") < 700] * times
    made = []
    for kind in (list, *RECORDS):
        records = kind()
        records.extend(some)
        for record in small:
            records.append(record)
        made.append(packed(records, compression, transactional=transactional))
    assert made[0] == made[-1] or compression is not None
    assert [batch[57:61] for batch in made[0]] == [batch[57:61] for batch in made[-1]], "as many in each"
    assert read_batches(made[-1]) == some + small


@pytest.mark.parametrize("key", [b"", b"k" * 5, b"k" * 63, b"k" * 64])
def test_both_find_a_batch_full_at_the_same_byte(key: bytes) -> None:
    counts = set()
    for size in range(BATCH_BYTES - 300, BATCH_BYTES - 100):
        made = [kind() for kind in RECORDS]
        for records in made:
            records.extend([(b"k", bytes(size)), (key, None), (key, b"v" * 60)])
        lengths = [len(packed(records)) for records in made]
        assert lengths[0] == lengths[-1]
        counts.add(lengths[0])
    assert counts == {1, 2}, "the sizes are around the limit"


@pytest.mark.parametrize("odd", [None, 5, (), (b"k",), (b"k", b"v", b"w"), ("k", b"v"), (b"k", "v"), [b"k", b"v"]])
def test_what_is_no_record_is_an_error_of_ours_and_no_crash(odd: Any) -> None:
    records = RECORDS[1]()
    with pytest.raises(TypeError):
        records.append(odd)
    with pytest.raises(TypeError):
        records.extend([(b"k", b"v"), odd])
    assert len(records) == 1
    with pytest.raises(IndexError):
        records.chunk(1)  # type: ignore[attr-defined]


GOOD = ("order", 1, "c", None, b"x", 1, 2, 3, "false")


@pytest.mark.parametrize("place", range(9))
@pytest.mark.parametrize("odd", [object(), None, 5, 2**64, "x", b"x", 1.5], ids=lambda odd: type(odd).__name__)
def test_a_change_that_is_none_is_an_error_of_ours_and_no_crash(place: int, odd: Any) -> None:
    change = (*GOOD[:place], odd, *GOOD[place + 1 :])
    envelopes = ENVELOPES[1](ORIGIN, 7, {"order": type_bytes("order")}, STATE)
    batches: Batches = defaultdict(RECORDS[1])
    try:
        envelopes.add([change], 0, 1, 1, 1, 1, batches)
    except (TypeError, KeyError, OverflowError):
        assert [len(records) for topic, records in batches.items() if topic == "p.order"] in ([], [0])
    else:
        assert len(batches["p.order"]) == 1 + (change[4] is None)


# Memory


def test_a_hundred_thousand_events_and_as_many_odd_ones_leave_nothing_behind() -> None:
    import gc
    import sys

    names = sorted(set(TYPES))
    frames = []
    for seed in range(60):
        r = seeded(seed)
        made = [(name, "Updated", [entity(r, value_schema(name)) for _ in range(10)], None, False) for name in names]
        frames.append([orjson.loads(orjson.dumps(row, default=str)) for row in made])
    side = Side(1, max_value_bytes=100_000)
    envelopes = ENVELOPES[1](ORIGIN, 7, {name: type_bytes(name) for name in CATALOGUE}, STATE)

    encoders = ALL[ENCODERS[1]]
    messages = [{"e": "props", "d": {"entityType": "order", "eventType": "Updated", "entity": {"id": 1}}}, {"e": 5}]

    def once() -> None:
        for frame in frames:
            READERS[1](messages)
            for name, *_, entities, _, _ in frame:
                assert [outcome(encoders[name], each, exact=True) for each in entities]
            found = side.reconciler.apply([tuple(row) for row in frame], exact=True)
            envelopes.add(found.changes, 0, 1, 1, 1, 1, defaultdict(RECORDS[1]))
            side.state.undo.clear()
            side.state.live_undo.clear()
            with pytest.raises(KeyError):
                envelopes.add([("nothing", *GOOD[1:])], 0, 1, 1, 1, 1, defaultdict(RECORDS[1]))

    for _ in range(3):
        once()
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(20):
        once()
    gc.collect()
    assert sys.getallocatedblocks() - before < 2000
