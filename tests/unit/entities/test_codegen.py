from __future__ import annotations

import pytest

from bridge.entities.codegen import Generator, unsuitable
from bridge.entities.schemas import value_schema
from bridge.entities.values import Misfit


def test_absent_fields_cost_nothing_but_constants() -> None:
    source = Generator(value_schema("order")).source(("admin", "id", "accountId"))
    assert source == (
        "def encode(v0, v1, v2):\n"
        "    if not type(v1) is type(v2) is int:\n"
        "        unsuitable()\n"
        "    return join((\n"
        "        varint(v1),\n"
        "        longs[v2],\n"
        r"        b'\x00\x00\x00\x00\x00\x00\x00\x00\x00'," + "\n"
        r"        b'\x02\x01' if v0 is True else b'\x02\x00' if v0 is False else unsuitable()," + "\n"
        r"        b'\x00\x00\x00'," + "\n"
        "    )), None\n"
    )


def test_the_order_of_arrival_does_not_change_the_bytes() -> None:
    generator = Generator(value_schema("order"))
    one = generator.compile(("id", "timestamp", "action"))
    other = generator.compile(("action", "id", "timestamp"))
    assert one(5, "1970-01-01T00:00:00.007Z", "Buy") == other("Buy", 5, "1970-01-01T00:00:00.007Z")
    assert one(5, "1970-01-01T00:00:00.007Z", "Buy")[1] == 7


def test_a_nested_record_is_left_to_the_reference() -> None:
    generator = Generator(value_schema("OtherEnvAdminAlertSignal"))
    assert generator.compile(("id", "adminAlertSignal")) is unsuitable
    assert generator.compile(("id",))(1) == (b"\2\0\0", None)
    with pytest.raises(Misfit):
        unsuitable(1, {})
