from __future__ import annotations

from typing import Any

import pytest

from bridge.cli.drift import refused
from bridge.entities.decoder import decode, re_encode
from bridge.entities.encoder import Encoder
from bridge.entities.exact import exact_loads
from bridge.entities.proposals import MOST_SYMBOLS, Proposal, Seen, extended, propose
from bridge.entities.schemas import value_schema

ORDER = value_schema("order")
DAY = {"year": 2026, "month": 11, "day": 21}


def seen(*values: Any) -> Seen:
    found = Seen()
    for value in values:
        found.add(value)
    return found


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([True, False], "boolean"),
        ([1, -(2**63)], "int64"),
        ([1, 2.5], "double"),
        ([2**63], "double"),
        ([2**63 + 1], None),
        (["2026-11-21T10:00:00Z"], "date-time"),
        (["2026-11-21T10:00:00Z", "x"], "string"),
        ([DAY], "TradeDate"),
        ([{"hour": 9, "minute": 30}], "TradeTime"),
        ([DAY, {"hour": 9, "minute": 30}], None),
        ([1, "1"], None),
        ([True, 1], None),
        ([[1]], None),
        ([{"a": 1}], None),
    ],
)
def test_a_new_field_gets_the_narrowest_type_that_holds_all_values(values: list[Any], expected: str | None) -> None:
    found = propose("order", ORDER, "venue", seen(*values))
    assert (found.add, found.type, found.count) == ("field" if expected else None, expected, len(values))


@pytest.mark.parametrize(
    ("name", "values", "why"),
    [
        ("/tradeDate/x", [1], "it stands inside another field"),
        ("de-facto", [1], "no field of a schema can have this name"),
        ("accountId", ["5"], "a released field keeps its type"),
        ("ordStatus", [5], "a released field keeps its type"),
        ("ordStatus", [str(n) for n in range(MOST_SYMBOLS)], "a released field keeps its type"),
    ],
)
def test_what_cannot_be_added_says_why(name: str, values: list[Any], why: str) -> None:
    found = propose("order", ORDER, name, seen(*values))
    assert (found.add, found.why) == (None, why)


def test_new_symbols_are_added_to_their_enum() -> None:
    found = propose("order", ORDER, "ordStatus", seen("Thawed", "Frozen", "Thawed"))
    assert (found.add, found.enum, found.symbols) == ("symbols", "OrdStatus", ("Frozen", "Thawed"))


def test_what_is_proposed_holds_the_values_and_can_be_read_by_everybody() -> None:
    entity = {"id": 7, "ordStatus": "Frozen", "venue": "X", "beta": 2.5, "odd": [1], "day": DAY}
    old = Encoder("order", ORDER)
    data = old.encode(entity)[0]
    unmapped = decode(data, ORDER)["unmapped"]
    proposals = [propose("order", ORDER, name, seen(exact_loads(text))) for name, text in unmapped.items()]
    assert refused("order", proposals) == []

    new = Encoder("order", extended(ORDER, proposals, "new"))
    value = decode(re_encode(data, ORDER, new), new.schema)

    assert value["unmapped"] == {"odd": "[1]"}
    assert (value["ordStatus"], value["venue"], value["beta"], value["day"]) == ("Frozen", "X", 2.5, 20_778)


def test_a_proposal_that_readers_would_not_survive_is_found() -> None:
    """None is ever made; this one changes the type of a field that there is."""
    broken = Proposal("order", "accountId", 1, "field", type="string")
    assert refused("order", [broken])
