from __future__ import annotations

from typing import Any

import pytest

from bridge.oracle.content import canonical, wire_form

DATE: dict[str, Any] = {"type": "int", "logicalType": "date"}
SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "Value",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "timestamp", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}]},
        {"name": "tradeDate", "type": ["null", DATE]},
        {"name": "opens", "type": ["null", {"type": "int", "logicalType": "time-millis"}]},
        {"name": "price", "type": ["null", "double"]},
        {
            "name": "inner",
            "type": ["null", {"type": "record", "name": "I", "fields": [{"name": "a", "type": ["null", "long"]}]}],
        },
        {"name": "unmapped", "type": {"type": "map", "values": "string"}},
    ],
}
EMPTY: dict[str, Any] = dict.fromkeys(f["name"] for f in SCHEMA["fields"]) | {"id": 7, "unmapped": {}}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": None, "b": 1}, {"b": 1}),
        ({"a": 7760.0}, {"a": 7760}),
        ({"a": "2026-08-18T13:35:01Z"}, {"a": "2026-08-18T13:35:01.000Z"}),
        ({"a": "2026-08-18T13:35:01.1Z"}, {"a": "2026-08-18T13:35:01.100Z"}),
        ({"b": {"y": 1, "x": [1.0]}, "a": 2}, {"a": 2, "b": {"x": [1], "y": 1}}),
    ],
)
def test_what_the_protocol_calls_equal_is_equal(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert canonical(one) == canonical(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1}, {"a": True}),
        ({"a": 1}, {"a": "1"}),
        ({"a": 1}, {"b": 1}),
        ({"a": 0.1}, {"a": 0.2}),
        ({"a": "2026-08-18T13:35:01.001Z"}, {"a": "2026-08-18T13:35:01.002Z"}),
        ({"a": "2026-08-18T13:35:01.123456Z"}, {"a": "2026-08-18T13:35:01.123Z"}),
        ({"a": []}, {}),
    ],
)
def test_what_differs_differs(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert canonical(one) != canonical(other)


def test_integers_of_any_size_are_exact() -> None:
    assert canonical({"a": 10**25}) != canonical({"a": 10**25 + 1})


def test_logical_types_return_to_their_form_on_the_wire() -> None:
    value = EMPTY | {"timestamp": 1_787_060_101_123, "tradeDate": 20_683, "opens": 61_200_000, "price": 2.5}
    assert wire_form(value, SCHEMA) == {
        "id": 7,
        "timestamp": "2026-08-18T13:35:01.123Z",
        "tradeDate": {"year": 2026, "month": 8, "day": 18},
        "opens": {"hour": 17, "minute": 0},
        "price": 2.5,
    }


def test_an_instant_before_1970_keeps_its_milliseconds() -> None:
    assert wire_form(EMPTY | {"timestamp": -1}, SCHEMA)["timestamp"] == "1969-12-31T23:59:59.999Z"


def test_unmapped_values_return_to_their_place() -> None:
    value = EMPTY | {
        "tradeDate": 20_683,
        "inner": {"a": None},
        "unmapped": {"new": "[1,2]", "/tradeDate/hour": "3", "/inner/b": '"x"', "/~1odd": "true"},
    }
    assert wire_form(value, SCHEMA) == {
        "id": 7,
        "tradeDate": {"year": 2026, "month": 8, "day": 18, "hour": 3},
        "inner": {"b": "x"},
        "new": [1, 2],
        "/odd": True,
    }


def test_a_date_that_no_calendar_has_comes_back_whole() -> None:
    value = EMPTY | {"unmapped": {"tradeDate": '{"year":2026,"month":13,"day":1}'}}
    assert wire_form(value, SCHEMA)["tradeDate"] == {"year": 2026, "month": 13, "day": 1}
