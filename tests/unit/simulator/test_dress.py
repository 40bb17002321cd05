from __future__ import annotations

from typing import Any

import orjson
import pytest

from bridge.simulator.dress import dress
from bridge.simulator.options import Options

ORDER: dict[str, Any] = {"id": 15, "timestamp": "2026-08-18T13:35:01.123Z", "ordStatus": "Working", "price": 2.0}


@pytest.mark.parametrize(
    ("quirk", "expected"),
    [
        ("missing_ms", {"timestamp": "2026-08-18T13:35:01Z"}),
        ("integer_doubles", {"price": 2}),
        ("nulls", {"ocoId": None, "parentId": None, "linkedId": None, "spreadDefinitionId": None}),
        ("unknown_symbols", {"ordStatus": "WorkingElsewhere"}),
        ("unknown_fields", {"simLabel": "label of 15", "simDetail": {"z": [1, 2.5, None], "a": {"deep": True}}}),
    ],
)
def test_each_quirk_changes_just_its_own(quirk: str, expected: dict[str, Any]) -> None:
    assert orjson.loads(dress("order", ORDER, Options())) == ORDER
    dressed = dress("order", ORDER, Options().changed({quirk: True}))
    assert orjson.loads(dressed) == ORDER | expected
    assert quirk != "integer_doubles" or b'"price":2}' in dressed


def test_quirks_strike_the_same_entity_every_time_and_leave_others_alone() -> None:
    other = ORDER | {"id": 16}
    assert orjson.loads(dress("order", other, Options(missing_ms=True, unknown_symbols=True))) == other


def test_a_value_is_never_overwritten_by_null() -> None:
    assert orjson.loads(dress("order", ORDER | {"ocoId": 9}, Options(nulls=True)))["ocoId"] == 9
