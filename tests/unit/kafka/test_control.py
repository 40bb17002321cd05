from __future__ import annotations

import hashlib
import io
import json
from typing import Any

import fastavro
import orjson
import pytest

from bridge.entities import schemas
from bridge.entities.change import Refused, Unmapped
from bridge.kafka import control
from bridge.kafka.control import DETAIL_CHARACTERS, MOST_COUNTS, PART_BYTES, Control, LifecycleEvent, Position
from bridge.kafka.framing import SingleObject
from bridge.kafka.names import TopicNames

NAMES = TopicNames("p")
AT = Position(shard=2, divisor=4, epoch=3, seq=40, session=5, frame=9, received_us=1_772_366_400_123_456)
WHERE = {"shard": 2, "divisor": 4, "epoch": 3, "seq": 40, "frame": 9}


@pytest.fixture(scope="module")
def codec() -> Control:
    return Control(NAMES, SingleObject())


def read(schema: str, framed: bytes | None) -> dict[str, Any]:
    assert framed is not None
    written = schemas.control_schema(schema)
    assert framed[:10] == SingleObject().prefix("", "value", written)
    content = fastavro.schemaless_reader(io.BytesIO(framed[10:]), fastavro.parse_schema(written), None)
    assert isinstance(content, dict)
    return content


def letters(records: list[tuple[str, tuple[bytes, bytes | None]]]) -> list[dict[str, Any]]:
    assert {topic for topic, _ in records} == {NAMES.dead_letter}
    assert {read("ShardKey", key)["shard"] for _, (key, _) in records} == {2}
    return [read("DeadLetter", value) for _, (_, value) in records]


def refused(raw: bytes, **given: Any) -> Refused:
    return Refused(
        **{
            "entity_type": "order",
            "entity_id": 7,
            "event_type": "Updated",
            "reason": "no_id",
            "detail": "d",
            "raw": raw,
            **given,
        }
    )


def test_event_has_all_it_was_given_and_its_place(codec: Control) -> None:
    event = LifecycleEvent("gap", 1000, cause="idle", code=1006, reason="r", from_ms=10, to_ms=20, counts={"order": 3})
    topic, (key, value) = codec.event(event, AT)
    assert topic == NAMES.events
    assert read("ShardKey", key) == {"shard": 2}
    found = read("Event", value)
    times = {name: round(found.pop(name).timestamp() * 1000) for name in ("ts_ms", "from_ms", "to_ms")}
    assert times == {"ts_ms": 1000, "from_ms": 10, "to_ms": 20}
    assert found == {
        "event": "gap", "shard": 2, "divisor": 4, "epoch": 3, "seq": 40, "session": 5,
        "cause": "idle", "code": 1006, "reason": "r", "counts": {"order": 3},
        "certificate": None,
    }  # fmt: skip


def test_counts_under_wild_names_are_added_up(codec: Control) -> None:
    """Names of snapshot lists are the broker's: too many or too long they would make a record no topic takes."""
    counts = {f"list{i}": 1 for i in range(MOST_COUNTS + 5)} | {"x" * 10**6: 10, "\ud800": 100}
    _, (_, value) = codec.event(LifecycleEvent("snapshot_completed", 1, counts=counts), AT)
    found = read("Event", value)["counts"]
    assert found.pop("(others)") == 5 + 10 + 100
    assert found == {f"list{i}": 1 for i in range(MOST_COUNTS)}


def test_small_dead_letter_is_one_record(codec: Control) -> None:
    (letter,) = letters(codec.dead_letter(refused(b'{"a":1}'), AT))
    assert letter.pop("received_us").timestamp() * 1e6 == AT.received_us
    assert letter == {
        "reason": "no_id", "detail": "d", "entity_type": "order", "entity_id": 7, "event_type": "Updated",
        "topic": "p.order", "part": 0, "parts": 1, "sha256": hashlib.sha256(b'{"a":1}').hexdigest(), "length": 7,
        "raw": b'{"a":1}', **WHERE,
    }  # fmt: skip


@pytest.mark.parametrize("size", [0, 1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES + 7])
def test_parts_come_together_to_the_whole(codec: Control, size: int) -> None:
    raw = bytes(i * 31 % 251 for i in range(1000)) * (size // 1000 + 1)
    found = letters(codec.dead_letter(refused(raw[:size], entity_type=None), AT))
    assert [letter["part"] for letter in found] == list(range(found[0]["parts"]))
    assert all(len(letter["raw"]) <= PART_BYTES for letter in found)
    whole = b"".join(letter["raw"] for letter in found)
    assert whole == raw[:size]
    assert {letter["sha256"] for letter in found} == {hashlib.sha256(whole).hexdigest()}
    assert {(letter["length"], letter["topic"]) for letter in found} == {(size, None)}


def test_only_beyond_the_limit_something_is_cut_and_length_and_hash_say_so(
    codec: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "WHOLE_BYTES", PART_BYTES + 10)
    raw = b"x" * (PART_BYTES + 11)
    found = letters(codec.dead_letter(refused(raw), AT))
    assert sum(len(letter["raw"]) for letter in found) == PART_BYTES + 10
    assert found[0]["length"] == PART_BYTES + 11
    assert found[0]["sha256"] == hashlib.sha256(raw).hexdigest()


def test_of_a_frame_that_nobody_can_read_the_beginning_is_kept_under_the_length_of_the_whole(codec: Control) -> None:
    thing = Refused(None, None, None, "oversized", "x", b"", 70 << 20, "ab" * 32)

    (letter,) = letters(codec.dead_letter(thing, AT))

    assert (letter["raw"], letter["length"], letter["sha256"], letter["parts"]) == (b"", 70 << 20, "ab" * 32, 1)


def test_detail_is_a_sentence_not_a_book(codec: Control) -> None:
    (letter,) = letters(codec.dead_letter(refused(b"{}", detail="\ud800" + "x" * 10**6), AT))
    assert len(letter["detail"]) == DETAIL_CHARACTERS


@pytest.mark.parametrize("event_type", ["\ud800", "U" * 10**6])
def test_event_type_that_is_no_name_is_kept_beside_the_entity(codec: Control, event_type: str) -> None:
    found = letters(codec.dead_letter(refused(b'{"a":1}', event_type=event_type), AT))
    assert {letter["event_type"] for letter in found} == {None}
    whole = b"".join(letter["raw"] for letter in found)
    assert whole.startswith(b'{"entity":{"a":1},"eventType":"')
    assert hashlib.sha256(whole).hexdigest() == found[0]["sha256"]


def test_unmapped_thing_is_kept_as_canonical_json(codec: Control) -> None:
    thing = Unmapped("riskBudget", "Created", "riskBudgets", True, {"b": 2**70, "a": [1.5, None]})
    ((topic, (key, value)),) = codec.unmapped(thing, AT)
    assert topic == NAMES.unmapped
    assert read("TypeKey", key) == {"entityType": "riskBudget"}
    found = read("Unmapped", value)
    assert found.pop("received_us").timestamp() * 1e6 == AT.received_us
    assert found == {
        "entity_type": "riskBudget", "event_type": "Created", "list_name": "riskBudgets", "snapshot": True,
        "raw": f'{{"a":[1.5,null],"b":{2**70}}}', **WHERE,
    }  # fmt: skip


@pytest.mark.parametrize("character", ["x", "ü", "\U0001f600"])
def test_unmapped_thing_beyond_a_record_is_a_dead_letter(codec: Control, character: str) -> None:
    """Bytes count, not characters: a topic takes no more of them because they are emoji."""
    fits = character * ((PART_BYTES - 2) // len(character.encode()))
    ((topic, (_, value)),) = codec.unmapped(Unmapped("t", None, None, False, fits), AT)
    assert (topic, read("Unmapped", value)["raw"]) == (NAMES.unmapped, f'"{fits}"')
    first, second = letters(codec.unmapped(Unmapped("t", "Created", None, False, fits + "yyyyy"), AT))
    assert (first["reason"], first["event_type"], first["entity_type"]) == ("too_large", "Created", None)
    assert first["detail"].startswith("t: ")
    assert orjson.loads(first["raw"] + second["raw"]) == fits + "yyyyy"


@pytest.mark.parametrize(
    "thing",
    [
        Unmapped("\ud800", None, None, False, 1),
        Unmapped("T" * 10**6, None, None, False, 1),
        Unmapped("t", "E" * 300, None, False, 1),
        Unmapped("t", None, "\udfff", True, 1),
    ],
)
def test_unmapped_thing_under_a_wild_name_is_a_dead_letter_with_the_name(codec: Control, thing: Unmapped) -> None:
    found = letters(codec.unmapped(thing, AT))
    assert {letter["reason"] for letter in found} == {"bad_name"}
    whole = b"".join(letter["raw"] for letter in found)
    assert json.loads(whole) == thing._asdict()


def test_unmapped_thing_of_any_depth_is_kept(codec: Control) -> None:
    deep: Any = []
    for _ in range(2000):
        deep = [deep]
    ((_, (_, value)),) = codec.unmapped(Unmapped("t", None, None, False, deep), AT)
    assert read("Unmapped", value)["raw"] == "[" * 2001 + "]" * 2001
