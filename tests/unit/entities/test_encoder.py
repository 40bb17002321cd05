from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from bridge.entities import encoder as encoder_module
from bridge.entities.decoder import decode
from bridge.entities.encoder import OTHER, Encoder
from bridge.entities.exact import Inexact, exact_loads
from bridge.entities.reference import Reference
from bridge.entities.schemas import value_schema
from bridge.errors import Unencodable

ORDER: dict[str, Any] = {
    "id": 600000000123,
    "accountId": 25,
    "contractId": 560901,
    "timestamp": "2016-11-04T00:02:36.626Z",
    "action": "Sell",
    "ordStatus": "PendingNew",
    "admin": False,
}


@pytest.fixture
def order() -> Encoder:
    return Encoder("order", value_schema("order"))


def by_reference(encoder: Encoder, entity: dict[str, Any]) -> bytes:
    reference = Reference(encoder.schema)
    return reference.write(reference.split(entity))


def read(encoder: Encoder, entity: Any, *, exact: bool = False) -> dict[str, Any]:
    """What stands in the bytes: the fields that are not null."""
    data, _ = encoder.encode(entity, exact)
    return {name: value for name, value in decode(data, encoder.schema).items() if value not in (None, {})}


def test_a_usual_entity_is_encoded_by_generated_code_with_its_own_time(order: Encoder) -> None:
    for _ in range(2):  # the first makes the encoder of the shape
        data, time = order.encode(ORDER)
        assert data == by_reference(order, ORDER)
        assert time == 1478217756626
    assert order.slow == 0
    assert not order.drift


def test_a_type_without_its_own_time_has_none() -> None:
    currency = Encoder("currency", value_schema("currency"))
    assert currency.encode({"id": 1, "name": "USD"})[1] is None


@pytest.mark.parametrize("timestamp", [None, "yesterday", 5, "2016-11-04T00:02:36.6261Z"])
def test_a_time_that_the_schema_does_not_hold_is_none(order: Encoder, timestamp: Any) -> None:
    assert order.encode({**ORDER, "timestamp": timestamp})[1] is None


def test_null_is_absent_everywhere(order: Encoder) -> None:
    with_nulls = {"venue": None, **ORDER, "parentId": None, "archived": None}
    for _ in range(2):
        assert order.encode(with_nulls) == order.encode(ORDER)
    assert order.slow == 0
    assert not order.drift


def test_unknown_fields_are_kept_and_do_not_slow_the_known_ones(order: Encoder) -> None:
    entity = {**ORDER, "venue": ["b", {"z": 1, "a": None}], "/x": 1.5, "B": "ü"}
    assert order.encode(entity)[0] == by_reference(order, entity)
    assert read(order, entity)["unmapped"] == {"/~1x": "1.5", "B": '"ü"', "venue": '["b",{"a":null,"z":1}]'}
    assert order.slow == 0
    assert order.drift == {("venue", "unknown_field"): 2, ("/~1x", "unknown_field"): 2, ("B", "unknown_field"): 2}


@pytest.mark.parametrize(
    ("field", "value", "text", "kind"),
    [
        ("action", "Short", '"Short"', "unknown_symbol"),
        ("action", 1, "1", "wrong_type"),
        ("action", ["Buy"], '["Buy"]', "wrong_type"),
        ("admin", 1, "1", "wrong_type"),
        ("admin", "true", '"true"', "wrong_type"),
        ("accountId", True, "true", "wrong_type"),
        ("accountId", 25.0, "25.0", "wrong_type"),
        ("accountId", "25", '"25"', "wrong_type"),
        ("accountId", 2**63, "9223372036854775808", "out_of_range"),
        ("parentId", 2**64 - 1, "18446744073709551615", "out_of_range"),
        ("timestamp", "2016-11-04T00:02:36.6261Z", '"2016-11-04T00:02:36.6261Z"', "inexact"),
        ("timestamp", 1478217756626, "1478217756626", "wrong_type"),
        ("timestamp", {"t": []}, '{"t":[]}', "wrong_type"),
    ],
)
def test_a_value_that_the_schema_cannot_hold_is_kept(
    order: Encoder, field: str, value: Any, text: str, kind: str
) -> None:
    order.encode(ORDER)  # the generated encoder exists and must refuse
    held = read(order, {**ORDER, field: value})
    assert field not in held
    assert held["unmapped"] == {field: text}
    assert order.drift == {(field, kind): 1}
    assert order.slow == 1


def test_an_integer_is_a_double_only_if_a_double_holds_it() -> None:
    fill = Encoder("fill", value_schema("fill"))
    assert read(fill, {"id": 1, "price": 7760}) == {"id": 1, "price": 7760.0}
    assert read(fill, {"id": 1, "price": 2**60}) == {"id": 1, "price": 2.0**60}
    assert read(fill, {"id": 1, "price": 2**53 + 1}) == {"id": 1, "unmapped": {"price": "9007199254740993"}}
    assert read(fill, {"id": 1, "price": True}) == {"id": 1, "unmapped": {"price": "true"}}


@pytest.mark.parametrize("raw", ["{}", '{"id":null}', '{"id":"5"}', '{"id":5.0}', '{"id":true}', "[]", "null", '"id"'])
def test_an_entity_without_a_usable_id_is_refused(order: Encoder, raw: str) -> None:
    order.encode({"id": 1})
    with pytest.raises(Unencodable):
        order.encode(json.loads(raw))
    assert order.slow == 0


@pytest.mark.parametrize("number", [0, -5, 2**63 - 1])
def test_any_64_bit_id_is_an_id(order: Encoder, number: int) -> None:
    assert read(order, {"id": number})["id"] == number


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        ('{"id":1,"accountId":18446744073709551616}', {"accountId": "18446744073709551616"}),
        ('{"id":1,"venue":{"a":[123456789012345678901]}}', {"venue": '{"a":[123456789012345678901]}'}),
        ('{"id":1,"venue":1e300}', {"venue": "1e+300"}),
        ('{"id":1,"timestamp":-9223372036854775809}', {"timestamp": "-9223372036854775809"}),
    ],
)
def test_a_number_that_may_be_rounded_asks_for_an_exact_reading(order: Encoder, raw: str, kept: dict[str, str]) -> None:
    with pytest.raises(Inexact):
        order.encode(orjson.loads(raw))
    assert not order.drift
    assert read(order, exact_loads(raw), exact=True) == {"id": 1, "unmapped": kept}


def test_a_large_double_is_a_double_once_it_was_read_exactly() -> None:
    fill = Encoder("fill", value_schema("fill"))
    with pytest.raises(Inexact):
        fill.encode(orjson.loads('{"id":1,"price":1e300}'))
    assert read(fill, exact_loads('{"id":1,"price":1e300}'), exact=True) == {"id": 1, "price": 1e300}
    assert read(fill, exact_loads('{"id":1,"price":1e999}'), exact=True) == {"id": 1, "unmapped": {"price": "1e999"}}


def test_an_id_beyond_64_bits_is_refused_whichever_way_it_was_read(order: Encoder) -> None:
    for raw in ('{"id":18446744073709551616}', '{"id":18446744073709551615}'):
        with pytest.raises(Unencodable) as refused:
            order.encode(orjson.loads(raw))
        assert refused.value.reason == "id_not_int64"


def test_a_trade_date_with_more_members_keeps_them() -> None:
    fill = Encoder("fill", value_schema("fill"))
    day = {"year": 1970, "month": 1, "day": 3, "hour": 17, "a/b": None}
    assert read(fill, {"id": 1, "tradeDate": day}) == {"id": 1, "tradeDate": 2, "unmapped": {"/tradeDate/hour": "17"}}
    assert fill.drift == {("/tradeDate/hour", "unknown_field"): 1}


def test_deep_nesting_is_refused_not_a_crash(order: Encoder) -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    for field in ("venue", "accountId", "timestamp"):
        with pytest.raises(Unencodable) as refused:
            order.encode({**ORDER, field: deep})
        assert refused.value.reason == "too_deep"
    while type(deep) is list:  # or the interpreter recurses when it frees it
        deep = deep[0]


def test_shapes_are_limited_and_what_comes_after_is_encoded_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_module, "SHAPES", 1)
    order = Encoder("order", value_schema("order"))
    assert order.encode(ORDER)[0] == by_reference(order, ORDER)
    assert order.slow == 0
    backwards = dict(reversed(ORDER.items()))
    assert order.encode(backwards) == order.encode(ORDER)
    assert order.slow == 0
    less = {name: value for name, value in ORDER.items() if name != "accountId"}
    assert order.encode(less)[0] == by_reference(order, less)
    assert order.slow == 1


def test_shapes_of_as_many_fields_are_told_apart(order: Encoder) -> None:
    one = {"id": 1, "accountId": 2, "admin": True}
    other = {"id": 1, "contractId": 2, "admin": True}
    unknown = {"id": 1, "accountID": 2, "admin": True}
    for entity in (one, one, other, one, unknown, other, one, dict(reversed(other.items()))):
        assert order.encode(entity)[0] == by_reference(order, entity)
    assert order.slow == 0
    assert set(order._shapes.known) >= {tuple(one), tuple(other)}
    assert order._shapes[len(one)] == order._shapes._by_names


def test_what_was_met_first_may_be_unusual_or_have_a_nested_record() -> None:
    name = "OtherEnvAdminAlertSignal"
    signal = Encoder(name, value_schema(name))
    nested = {"id": 1, "adminAlertSignal": {"id": 2}}
    assert signal.encode(nested)[0] == by_reference(signal, nested)
    order = Encoder("order", value_schema("order"))
    odd, usual = {"id": 1, "admin": 5}, {"id": 1, "admin": True}
    for entity in (odd, usual, usual, odd):
        assert order.encode(entity)[0] == by_reference(order, entity)
    assert order.slow == 2


def test_counted_names_are_limited(order: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_module, "DRIFTS", 2)
    for name in ("a", "b", "c", "d", "a"):
        order.encode({"id": 1, name: 1})
    assert order.drift == {("a", "unknown_field"): 2, ("b", "unknown_field"): 1, (OTHER, "unknown_field"): 2}
