from __future__ import annotations

from typing import Any

import pytest

from bridge.entities.decoder import decode, re_encode, to_wire
from bridge.entities.encoder import Encoder
from bridge.entities.exact import RawNumber
from bridge.entities.schemas import value_schema

FILL: dict[str, Any] = {
    "id": 7,
    "orderId": 600000000123,
    "timestamp": "2016-11-04T00:02:36.626Z",
    "tradeDate": {"year": 2026, "month": 8, "day": 18, "hour": 17},
    "action": "Short",
    "price": 7760.25,
    "active": True,
    "external": False,
    "a/b": {"x": [1, None]},
    "/c": 1e300,
    "huge": RawNumber("1e999"),
}


@pytest.mark.parametrize("version", [1, 2, None])
def test_the_wire_form_comes_back_from_every_version(version: int | None) -> None:
    schema = value_schema("fill", version)
    data, _ = Encoder("fill", schema).encode(FILL, exact=True)
    assert to_wire(decode(data, schema), schema) == FILL


def test_the_avro_form_holds_plain_integers() -> None:
    schema = value_schema("fill")
    value = decode(Encoder("fill", schema).encode(FILL, exact=True)[0], schema)
    assert (value["timestamp"], value["tradeDate"], value["qty"]) == (1478217756626, 20683, None)
    assert value["unmapped"]["action"] == '"Short"'


def test_a_nested_record_comes_back() -> None:
    entity = {"id": 1, "adminAlertSignal": {"timestamp": "2026-08-21T00:00:00.000Z", "text": 5, "x": {"y": 1}}}
    schema = value_schema("OtherEnvAdminAlertSignal")
    assert to_wire(decode(Encoder("OtherEnvAdminAlertSignal", schema).encode(entity)[0], schema), schema) == entity


def test_a_product_session_comes_back() -> None:
    entity = {"id": 1, "openTime": {"hour": 17, "minute": 0}, "stopTime": {"hour": 25, "minute": 0}}
    schema = value_schema("productSession")
    assert to_wire(decode(Encoder("productSession", schema).encode(entity)[0], schema), schema) == entity


def test_bytes_of_another_schema_are_refused() -> None:
    data, _ = Encoder("fill", value_schema("fill", 2)).encode({"id": 7})
    with pytest.raises(ValueError, match="another schema"):
        decode(data + b"\0", value_schema("fill", 2))
    with pytest.raises(EOFError):
        decode(b"", value_schema("fill", 2))


def test_a_new_version_takes_over_what_was_unmapped() -> None:
    old = Encoder("fill", value_schema("fill", 1))
    new = Encoder("fill", value_schema("fill", 2))
    before, _ = old.encode(FILL, exact=True)
    assert decode(before, old.schema)["unmapped"]["external"] == "false"
    after = re_encode(before, old.schema, new)
    assert after == new.encode(FILL, exact=True)[0]
    assert decode(after, new.schema)["external"] is False
    assert "external" not in decode(after, new.schema)["unmapped"]


def test_going_back_to_an_older_version_loses_nothing() -> None:
    old = Encoder("fill", value_schema("fill", 1))
    new = Encoder("fill", value_schema("fill", 2))
    data, _ = new.encode(FILL, exact=True)
    assert re_encode(data, new.schema, old) == old.encode(FILL, exact=True)[0]


def test_a_record_without_unmapped_values_only_grows_at_its_end() -> None:
    entity = {"id": 7, "price": 1.5}
    one = Encoder("fill", value_schema("fill", 1)).encode(entity)[0]
    two = Encoder("fill", value_schema("fill", 2)).encode(entity)[0]
    assert two == one + b"\0"  # one new optional field
