from __future__ import annotations

from itertools import product

import pytest

from bridge.entities.codegen import Generator, unsuitable
from bridge.entities.reference import Reference
from bridge.entities.schemas import value_schema
from bridge.entities.values import Misfit


def test_absent_fields_cost_nothing_but_constants() -> None:
    source = Generator(value_schema("order")).source(("admin", "id", "accountId"))
    assert source == (
        "def encode(entity):\n"
        "    try:\n"
        "        v0, v1, v2, = members(entity)\n"
        "    except KeyError:\n"
        "        return other(entity)\n"
        "    if not type(v1) is type(v2) is int:\n"
        "        unsuitable()\n"
        "    return join((\n"
        "        ids[v1],\n"
        "        longs[v2],\n"
        r"        (b'\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x01\x00\x00\x00' if v0 is True"
        r" else b'\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00' if v0 is False else unsuitable()),"
        "\n    )), None\n"
    )


def test_neighbouring_doubles_are_packed_by_one_call() -> None:
    source = Generator(value_schema("cashBalance")).source(("id", "realizedPnL", "amount"))
    assert source is not None
    assert "pack_xxxxBdBdxxxx(2, v2, 2, v1) if type(v2) is type(v1) is float and v2 * v2 + v1 * v1 < " in source


@pytest.mark.parametrize("odd", [True, "1", None, 2.0**53, -(2.0**60), 1e200, 2**53 + 1, [1.0], float("nan")])
def test_a_double_that_may_be_none_is_refused_whatever_stands_beside_it(odd: object) -> None:
    encode = Generator(value_schema("cashBalance")).compile(("id", "amount", "realizedPnL"))
    for beside in (0.5, 7):
        for one, other in ((odd, beside), (beside, odd)):
            if odd == 2.0**53:  # the last that is exact
                assert encode({"id": 1, "amount": one, "realizedPnL": other})
            else:
                with pytest.raises(Misfit):
                    encode({"id": 1, "amount": one, "realizedPnL": other})


def test_every_combination_of_booleans_has_its_bytes() -> None:
    names = ("id", "admin", "archived", "external")
    together, reference = Generator(value_schema("order")).compile(names), Reference(value_schema("order"))
    for flags in product((True, False), repeat=3):
        entity = dict(zip(names, (5, *flags), strict=True))
        assert together(entity)[0] == reference.write(reference.split(entity))
    with pytest.raises(Misfit):
        together({"id": 5, "admin": True, "archived": 0, "external": False})


def test_integers_of_some_fields_are_given_too() -> None:
    shape, generator = ("accountId", "id", "timestamp", "admin"), Generator(value_schema("order"))
    encode = generator.compile(shape, ("id", "accountId", "admin", "contractId", None))
    entity = dict(zip(shape, (7, 5, "1970-01-01T00:00:00.007Z", True), strict=True))
    body, time = generator.compile(shape)(entity)
    assert encode(entity) == (body, time, 5, 7, None, None, None)
    assert time == 7


def test_an_entity_with_another_field_is_left_to_another_encoder() -> None:
    generator = Generator(value_schema("order"))
    for shape, entity in ((("id", "admin"), {"id": 1, "archived": True}), (("id",), {"accountId": 1})):
        assert generator.compile(shape, other=lambda entity: (b"other", entity))(entity) == (b"other", entity)
        with pytest.raises(Misfit):
            generator.compile(shape)(entity)


def test_the_order_of_arrival_does_not_change_the_bytes() -> None:
    generator = Generator(value_schema("order"))
    one = generator.compile(("id", "timestamp", "action"))
    other = generator.compile(("action", "id", "timestamp"))
    entity = {"id": 5, "timestamp": "1970-01-01T00:00:00.007Z", "action": "Buy"}
    assert one(entity) == other({"action": entity.pop("action"), **entity})


def test_a_nested_record_is_left_to_the_reference() -> None:
    generator = Generator(value_schema("OtherEnvAdminAlertSignal"))
    assert generator.compile(("id", "adminAlertSignal")) is unsuitable
    assert generator.compile(("id",))({"id": 1}) == (b"\2\0\0", None)
    with pytest.raises(Misfit):
        unsuitable(1, {})
