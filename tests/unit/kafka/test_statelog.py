from __future__ import annotations

import io
from typing import Any

import fastavro
import pytest

from bridge.entities import schemas
from bridge.entities.primitives import varint
from bridge.kafka.framing import Confluent, Framing, SingleObject
from bridge.kafka.statelog import (
    FRAMING_ID,
    HEAD_ID,
    HELD,
    Head,
    KeyFraming,
    StateCodec,
    StoredEntity,
    StoredHeld,
    is_of_entity,
    read_key,
    read_value,
)

STATE = "p.bridge.state"
FRAMINGS: list[Framing] = [SingleObject(), Confluent({f"{STATE}-key": 17, f"{STATE}-value": 1 << 24})]
HEADS = [
    Head(),
    Head(epoch=3, instance="näme", transaction=2**40, seq=2**62, session=7, snapshot_ms=1, alive_ms=None, clean=True),
    Head(epoch=1, instance="i" * 200, transaction=1, snapshot_ms=None, alive_ms=2**42),
]


def codec(framing: Framing) -> StateCodec:
    return StateCodec(
        framing.prefix(STATE, "key", schemas.control_schema("StateKey")),
        framing.prefix(STATE, "value", schemas.control_schema("State")),
    )


def by_fastavro(framing: Framing, schema: str, data: bytes) -> Any:
    """What any Avro reader makes of the record, without our own reader."""
    body = io.BytesIO(data[5 if isinstance(framing, Confluent) else 10 :])
    content = fastavro.schemaless_reader(body, fastavro.parse_schema(schemas.control_schema(schema)), None)
    assert body.read() == b""
    return content


@pytest.mark.parametrize("framing", FRAMINGS, ids=lambda framing: framing.name)
@pytest.mark.parametrize("head", HEADS)
def test_head_comes_back(framing: Framing, head: Head) -> None:
    key, value = codec(framing).head(head)
    assert read_key(key) == ("", HEAD_ID)
    assert not is_of_entity(key)
    assert read_value(value) == head
    assert by_fastavro(framing, "State", value)["content"]["instance"] == head.instance
    assert by_fastavro(framing, "StateKey", key) == {"entityType": "", "id": 0}


@pytest.mark.parametrize("framing", FRAMINGS, ids=lambda framing: framing.name)
@pytest.mark.parametrize(
    "known", [KeyFraming("single-object"), KeyFraming("registry", {"order": 1, "fill": 2**31 - 1})]
)
def test_key_framing_comes_back(framing: Framing, known: KeyFraming) -> None:
    key, value = codec(framing).framing(known)
    assert read_key(key) == ("", FRAMING_ID)
    assert not is_of_entity(key)
    assert read_value(value) == known
    assert by_fastavro(framing, "State", value)["content"]["key_schemas"] == known.key_schemas


@pytest.mark.parametrize("framing", FRAMINGS, ids=lambda framing: framing.name)
@pytest.mark.parametrize("account", [None, 0, -5, 2**63 - 1])
@pytest.mark.parametrize("user", [None, 2**20])
def test_entity_comes_back(framing: Framing, account: int | None, user: int | None) -> None:
    def optional(number: int | None) -> bytes:
        return b"\x00" if number is None else b"\x02" + varint(number)

    value = b"\x00\x01" * 100
    made = codec(framing)
    key = made.entity_key_prefix("orderStrategyLink") + varint(-(2**63))
    record = made.entity_value_prefix(b"8 bytes!") + optional(account) + optional(user) + varint(200) + value
    assert read_key(key) == ("orderStrategyLink", -(2**63))
    assert is_of_entity(key)
    assert read_value(record) == StoredEntity(b"8 bytes!", account, user, value)
    content = by_fastavro(framing, "State", record)["content"]
    assert content == {"schema": b"8 bytes!", "account_id": account, "user_id": user, "value": value}


@pytest.mark.parametrize("framing", FRAMINGS, ids=lambda framing: framing.name)
def test_held_deletion_comes_back_and_can_be_taken_out(framing: Framing) -> None:
    made = codec(framing)
    key, value = made.held("account", 2**40, 1_766_000_000_000)
    assert value is not None
    assert read_key(key) == (f"{HELD}account", 2**40)
    assert is_of_entity(key)
    assert read_value(value) == StoredHeld(1_766_000_000_000)
    assert by_fastavro(framing, "State", value)["content"] == {"since_ms": 1_766_000_000_000}
    assert made.held("account", 2**40, None) == (key, None)


def test_records_of_another_framing_can_still_be_read() -> None:
    """State is read before it is known how it was framed; the keys of the topics are what may not change."""
    for framing in FRAMINGS:
        assert read_value(codec(framing).head(HEADS[1])[1]) == HEADS[1]


@pytest.mark.parametrize("data", [b"", b"hello", b"\xc3\x02" + bytes(20)])
def test_what_is_in_no_framing_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="neither"):
        read_key(data)
    with pytest.raises(ValueError, match="neither"):
        read_value(data)


def test_an_entity_type_cannot_be_taken_for_the_head() -> None:
    made = codec(FRAMINGS[0])
    assert made.entity_key_prefix("order") + varint(HEAD_ID) != made.head(Head())[0]
