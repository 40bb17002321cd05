"""Spliced envelopes must be what an Avro library reads under the published schema."""

from __future__ import annotations

import io
from collections import defaultdict
from typing import Any

import fastavro
import pytest

from bridge.entities import schemas
from bridge.entities.change import Change
from bridge.kafka import envelope
from bridge.kafka.envelope import Batches, Envelopes, Origin, Record
from bridge.kafka.packing import EncodedRecords
from bridge.kafka.statelog import StoredEntity, read_key, read_value
from tests.packed import records_of
from tests.unit.changes.scene import encoders
from tests.unit.kafka.scene import FINGERPRINT, ORIGIN, STATE, type_bytes

RECEIVED_US, NOW_MS = 1_772_366_400_123_456, 1_772_366_400_130


def value(name: str, entity: dict[str, Any]) -> tuple[bytes, int | None]:
    return encoders()[name].encode(entity)


def written(*changes: Change, seq: int = 0, last: int | None = None, epoch: int = 3) -> dict[str, list[Record]]:
    batches: Batches = defaultdict(EncodedRecords)
    last = seq + len(changes) if last is None else last
    types = {name: type_bytes(name) for name in encoders()}
    Envelopes(ORIGIN, epoch, types, STATE).add(changes, seq, last, 9, RECEIVED_US, NOW_MS, batches)
    return {topic: records_of(records) for topic, records in batches.items()}


def read(name: str, framed: bytes | None) -> dict[str, Any]:
    """By fastavro under the shipped schema; logical types left as numbers, bytes left over refused."""
    assert framed is not None
    stream = io.BytesIO(framed.removeprefix(b"V:" + name.encode() + b":"))
    schema = fastavro.parse_schema(plain(schemas.envelope_schema(name)))
    envelope = fastavro.schemaless_reader(stream, schema, None)
    assert stream.read() == b""
    assert isinstance(envelope, dict)
    return envelope


def plain(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: plain(each) for key, each in node.items() if key != "logicalType"}
    return [plain(each) for each in node] if isinstance(node, list) else node


def full(name: str, **given: Any) -> dict[str, Any]:
    nulls = {field["name"]: None for field in schemas.value_schema(name)["fields"]}
    return {**nulls, "unmapped": {}, **given}


def source(**given: Any) -> dict[str, Any]:
    return {
        "version": "1.2.3",
        "connector": "tradovate",
        "name": "p",
        "environment": "demo",
        "ts_ms": RECEIVED_US // 1000,
        "snapshot": "false",
        "shard": 2,
        "divisor": 4,
        "epoch": 3,
        "seq": 1,
        "frame": 9,
        "frame_last": 1,
        "account_id": None,
        "user_id": None,
        "received_us": RECEIVED_US,
        "resend": False,
        **given,
    }


OLD, OLD_TIME = value("order", {"id": 7, "accountId": 5, "timestamp": "2026-03-01T12:00:00.250Z"})
NEW, _ = value("order", {"id": 7, "accountId": 5, "action": "Sell", "brandNew": {"a": 1}})
OLD_FIELDS = full("order", id=7, accountId=5, timestamp=OLD_TIME)
NEW_FIELDS = full("order", id=7, accountId=5, action="Sell", unmapped={"brandNew": '{"a":1}'})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            ("order", 7, "r", None, OLD, OLD_TIME, 5, 50, "true"),
            {
                "before": None,
                "after": OLD_FIELDS,
                "source": source(ts_ms=OLD_TIME, snapshot="true", account_id=5, user_id=50),
                "op": "r",
            },
        ),
        (
            ("order", 7, "c", None, NEW, None, 5, None, "false"),
            {"before": None, "after": NEW_FIELDS, "source": source(account_id=5), "op": "c"},
        ),
        (
            ("order", 7, "u", OLD, NEW, None, None, -1, "reconcile"),
            {
                "before": OLD_FIELDS,
                "after": NEW_FIELDS,
                "source": source(snapshot="reconcile", user_id=-1),
                "op": "u",
            },
        ),
        (
            ("order", 7, "d", OLD, None, None, 5, 50, "false"),
            {"before": OLD_FIELDS, "after": None, "source": source(account_id=5, user_id=50), "op": "d"},
        ),
    ],
)
def test_every_op_decodes_to_the_envelope_of_the_contract(change: Change, expected: dict[str, Any]) -> None:
    (key, envelope), *rest = written(change)["p.order"]
    assert key == b"K:order:\x0e"
    assert read("order", envelope) == {**expected, "ts_ms": NOW_MS}
    assert rest == ([(key, None)] if change[2] == "d" else [])


def test_field_order_is_that_of_the_contract() -> None:
    schema = schemas.envelope_schema("order")
    assert [field["name"] for field in schema["fields"]] == ["before", "after", "source", "op", "ts_ms"]
    (inner,) = [field["type"] for field in schema["fields"] if field["name"] == "source"]
    assert [field["name"] for field in inner["fields"]] == list(source())


def test_state_records_say_the_same_as_the_envelopes() -> None:
    batches = written(
        ("order", 7, "c", None, NEW, None, 5, None, "false"),
        ("order", 8, "d", OLD, None, None, 5, 50, "false"),
    )
    (key, content), (gone, tombstone) = batches[STATE]
    assert (read_key(key), read_key(gone), tombstone) == (("order", 7), ("order", 8), None)
    assert content is not None
    assert read_value(content) == StoredEntity(FINGERPRINT, 5, None, NEW)


def test_seq_counts_on_and_frame_last_names_the_end_of_the_frame() -> None:
    """A frame that is encoded in slices: the slice knows neither its beginning nor its end."""
    change: Change = ("order", 7, "u", OLD, NEW, None, None, None, "false")
    slices = [(40, 2), (42, 3)]
    found = []
    for seq, count in slices:
        envelopes = [read("order", v)["source"] for _, v in written(*[change] * count, seq=seq, last=45)["p.order"]]
        found += [(each["seq"], each["frame_last"]) for each in envelopes]
    assert found == [(41, 45), (42, 45), (43, 45), (44, 45), (45, 45)]


def test_add_returns_the_last_seq_used() -> None:
    envelopes = Envelopes(ORIGIN, 1, {"order": type_bytes("order")}, STATE)
    change: Change = ("order", 7, "u", OLD, NEW, None, None, None, "false")
    assert envelopes.add([change] * 3, 5, 8, 1, 1, 1, defaultdict(EncodedRecords)) == 8
    assert envelopes.add([], 8, 8, 1, 1, 1, defaultdict(EncodedRecords)) == 8


def test_records_of_several_frames_gather_by_topic_in_order() -> None:
    batches: Batches = defaultdict(EncodedRecords)
    envelopes = Envelopes(ORIGIN, 1, {name: type_bytes(name) for name in ("order", "fill")}, STATE)
    fill, _ = value("fill", {"id": 1})
    first: list[Change] = [
        ("order", 7, "c", None, OLD, None, None, None, "false"),
        ("fill", 1, "c", None, fill, None, None, None, "false"),
    ]
    envelopes.add(first, 0, 2, 1, 1, 1, batches)
    envelopes.add([("order", 7, "u", OLD, NEW, None, None, None, "false")], 2, 3, 2, 1, 1, batches)
    assert [read("order", v)["source"]["seq"] for _, v in records_of(batches["p.order"])] == [1, 3]
    assert [read("fill", v)["source"]["seq"] for _, v in records_of(batches["p.fill"])] == [2]
    assert len(batches[STATE]) == 3


def test_type_that_is_not_known_is_an_error_of_ours() -> None:
    with pytest.raises(KeyError):
        Envelopes(ORIGIN, 1, {}, STATE).add(
            [("order", 7, "c", None, OLD, None, None, None, "false")], 0, 1, 1, 1, 1, defaultdict(EncodedRecords)
        )


def test_memory_of_owners_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envelope, "MOST_OWNERS", 3)
    envelopes = Envelopes(ORIGIN, 1, {"order": type_bytes("order")}, STATE)
    batches: Batches = defaultdict(EncodedRecords)
    for owner in (None, 0, 1, 2, 3):
        change: Change = ("order", 7, "c", None, OLD, None, owner, owner, "false")
        envelopes.add([change], 0, 1, 1, 1, 1, batches)
        assert len(envelopes._optional) <= 3
    sources = [read("order", value)["source"] for _, value in records_of(batches["p.order"])]
    assert [(s["account_id"], s["user_id"]) for s in sources] == [(o, o) for o in (None, 0, 1, 2, 3)]


def test_origin_differs_by_shard() -> None:
    other = Origin("1.2.3", "p", "demo", 3, 4)
    batches: Batches = defaultdict(EncodedRecords)
    change: Change = ("order", 7, "c", None, OLD, None, None, None, "false")
    Envelopes(other, 1, {"order": type_bytes("order")}, STATE).add([change], 0, 1, 1, 1, 1, batches)
    assert read("order", records_of(batches["p.order"])[0][1])["source"]["shard"] == 3
