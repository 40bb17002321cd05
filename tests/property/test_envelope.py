"""Whatever changes: the spliced bytes are what fastavro writes for the same content."""

from __future__ import annotations

import io
import random
from collections import defaultdict
from functools import cache
from typing import Any

import fastavro
from hypothesis import given
from hypothesis import strategies as st

from bridge.entities import schemas
from bridge.entities.catalogue import CATALOGUE
from bridge.entities.change import Change
from bridge.kafka.envelope import Batches, Envelopes, Origin
from bridge.kafka.packing import EncodedRecords
from bridge.kafka.statelog import StoredEntity, read_key, read_value
from tests.packed import records_of
from tests.property.wire import make_entity, seeded
from tests.unit.changes.scene import encoders
from tests.unit.kafka.scene import FINGERPRINT, STATE, type_bytes

LONGS = st.integers(-(2**63), 2**63 - 1)
OWNERS = st.none() | LONGS
TEXTS = st.text(st.characters(codec="utf-8"), max_size=200)
SEQS = st.integers(0, 2**62)


@cache
def parsed(name: str) -> Any:
    return fastavro.parse_schema(schemas.envelope_schema(name))


@cache
def parsed_value(name: str) -> Any:
    return fastavro.parse_schema(schemas.value_schema(name))


def encoded(name: str, r: random.Random) -> bytes:
    return encoders()[name].encode(make_entity(r, schemas.value_schema(name)), exact=True)[0]


def datum(name: str, value: bytes | None) -> Any:
    return None if value is None else fastavro.schemaless_reader(io.BytesIO(value), parsed_value(name), None)


@given(st.data(), st.sampled_from(sorted(CATALOGUE)), st.integers(0, 10**9), LONGS, OWNERS, OWNERS, OWNERS, SEQS, SEQS)
def test_spliced_envelope_is_the_one_fastavro_writes(
    data: st.DataObject,
    name: str,
    seed: int,
    number: int,
    ts_ms: int | None,
    account: int | None,
    user: int | None,
    seq: int,
    last: int,
) -> None:
    op, snapshot = data.draw(st.sampled_from("rcud")), data.draw(st.sampled_from(["true", "false", "reconcile"]))
    version, prefix, environment = (data.draw(TEXTS) for _ in range(3))
    shard, epoch, frame, now = (data.draw(SEQS) for _ in range(4))
    arrived = data.draw(st.integers(0, 2**53))
    r = seeded(seed)
    before = encoded(name, r) if op in "ud" else None
    after = None if op == "d" else encoded(name, r)
    change: Change = (name, number, op, before, after, ts_ms, account, user, snapshot)
    batches: Batches = defaultdict(EncodedRecords)
    origin = Origin(version, prefix, environment, shard, 4)
    used = Envelopes(origin, epoch, {name: type_bytes(name)}, STATE).add(
        [change], seq, last, frame, arrived, now, batches
    )
    assert used == seq + 1

    source = {
        "version": version, "connector": "tradovate", "name": prefix, "environment": environment,
        "ts_ms": arrived // 1000 if ts_ms is None else ts_ms, "snapshot": snapshot, "shard": shard, "divisor": 4,
        "epoch": epoch, "seq": seq + 1, "frame": frame, "frame_last": last, "account_id": account, "user_id": user,
        "received_us": arrived, "resend": False,
    }  # fmt: skip
    expected = io.BytesIO()
    content = {"before": datum(name, before), "after": datum(name, after), "source": source, "op": op, "ts_ms": now}
    fastavro.schemaless_writer(expected, parsed(name), content)
    (_, value), *tombstone = records_of(batches[f"p.{name}"])
    assert value == b"V:" + name.encode() + b":" + expected.getvalue()
    assert [v for _, v in tombstone] == ([None] if op == "d" else [])

    ((key, state),) = records_of(batches[STATE])
    assert read_key(key) == (name, number)
    assert (
        state is None if after is None else read_value(state or b"") == StoredEntity(FINGERPRINT, account, user, after)
    )


LIKE_CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["order", "fill"]),
        st.integers(1, 3),
        st.sampled_from(["c", "u", "d"]),
        st.sampled_from([None, b"old", b"older"]),
        st.sampled_from([None, b"new", b"newer"]),
        st.sampled_from([None, -1, 0, 1_772_366_400_123, 1_772_366_400_124]),
        st.sampled_from([None, 1, 2]),
        st.sampled_from([None, 1, 2]),
        st.sampled_from(["true", "false", "reconcile"]),
    ),
    max_size=8,
)
NEAR = st.sampled_from([0, 60, 8185, 16_380, 2**20 - 3, 2**27 - 2])


@given(st.lists(st.tuples(LIKE_CHANGES, st.sampled_from([0, 5, 7]), st.booleans()), max_size=4), NEAR)
def test_what_neighbours_have_in_common_is_as_if_each_were_alone(
    frames: list[tuple[list[Change], int, bool]], seq: int
) -> None:
    """By one that makes many, and by a new one for each change."""
    types = {name: type_bytes(name) for name in ("order", "fill")}
    origin = Origin("1", "p", "demo", 1, 4)
    one = Envelopes(origin, 3, types, STATE)
    together: Batches = defaultdict(EncodedRecords)
    apart: Batches = defaultdict(EncodedRecords)
    for number, (changes, now, resend) in enumerate(frames):
        last, arrived = seq + len(changes), 1_772_366_400_000_000 + number
        for at, change in enumerate(changes):
            new = Envelopes(origin, 3, types, STATE)
            new.add([change], seq + at, last, number, arrived, now, apart, resend=resend)
        seq = one.add(changes, seq, last, number, arrived, now, together, resend=resend)
    found, wanted = ({topic: records_of(records) for topic, records in made.items()} for made in (together, apart))
    assert {topic: records for topic, records in found.items() if records} == wanted
