from __future__ import annotations

from typing import Any

import pytest

from bridge.entities.reference import Reference, entity_id
from bridge.entities.schemas import value_schema
from bridge.errors import Unencodable

FILL = Reference(value_schema("fill"))


@pytest.mark.parametrize("number", [1, 0, -5, 2**63 - 1, -(2**63)])
def test_every_64_bit_integer_is_an_id(number: int) -> None:
    assert entity_id({"id": number}) == number


@pytest.mark.parametrize(
    ("entity", "reason"),
    [
        (None, "not_an_object"),
        (7, "not_an_object"),
        (["id"], "not_an_object"),
        ("id", "not_an_object"),
        ({}, "no_id"),
        ({"id": None}, "no_id"),
        ({"id": "7"}, "id_not_int64"),
        ({"id": 7.0}, "id_not_int64"),
        ({"id": True}, "id_not_int64"),
        ({"id": 2**63}, "id_not_int64"),
        ({"id": {"id": 7}}, "id_not_int64"),
    ],
)
def test_an_entity_without_a_usable_id_cannot_be_encoded(entity: Any, reason: str) -> None:
    with pytest.raises(Unencodable) as refused:
        FILL.split(entity)
    assert refused.value.reason == reason


def test_an_entity_is_taken_apart_by_its_schema() -> None:
    parts = FILL.split(
        {
            "price": 7760,
            "id": 3,
            "tradeDate": {"year": 1970, "month": 1, "day": 2, "hour": 5, "minute": None},
            "timestamp": "1970-01-01T00:00:01Z",
            "action": "Short",
            "qty": 1.0,
            "active": None,
            "venue": {"z": [2**70], "a": None},
            "/odd": False,
            "gone": None,
        }
    )
    assert parts.datum == {
        "price": 7760.0,
        "id": 3,
        "tradeDate": 1,
        "timestamp": 1000,
        "unmapped": {
            "/tradeDate/hour": "5",
            "/~1odd": "false",
            "action": '"Short"',
            "qty": "1.0",
            "venue": '{"a":null,"z":[1180591620717411303424]}',
        },
    }
    assert list(parts.datum["unmapped"]) == sorted(parts.datum["unmapped"])
    assert set(parts.drift) == {
        ("/tradeDate/hour", "unknown_field"),
        ("/~1odd", "unknown_field"),
        ("action", "unknown_symbol"),
        ("qty", "wrong_type"),
        ("venue", "unknown_field"),
    }


def test_a_wire_field_called_unmapped_is_an_unknown_field() -> None:
    assert FILL.split({"id": 3, "unmapped": {"a": "b"}}).datum["unmapped"] == {"unmapped": '{"a":"b"}'}


def test_a_nested_record_keeps_what_it_can() -> None:
    signal = Reference(value_schema("OtherEnvAdminAlertSignal"))
    parts = signal.split(
        {"id": 1, "adminAlertSignal": {"adminAlertId": 70, "text": 5, "x": {"y": 1}, "completed": None}}
    )
    assert parts.datum["adminAlertSignal"] == {"adminAlertId": 70}
    assert parts.datum["unmapped"] == {"/adminAlertSignal/text": "5", "/adminAlertSignal/x": '{"y":1}'}
    whole = signal.split({"id": 1, "adminAlertSignal": [1]})
    assert whole.datum == {"id": 1, "unmapped": {"adminAlertSignal": "[1]"}}


def test_a_name_without_a_utf8_form_cannot_be_kept() -> None:
    with pytest.raises(Unencodable) as refused:
        FILL.split({"id": 1, "\ud800": 1})
    assert refused.value.reason == "name_not_unicode"
