from __future__ import annotations

import pytest

from bridge.entities.drift import Drift
from bridge.entities.encoder import Encoder
from bridge.entities.schemas import value_schema
from tests.implementations import ENCODERS


def test_what_is_met_is_news_once() -> None:
    drift = Drift()
    for _ in range(3):
        drift.note("order", "venue", "unknown_field")
    drift.note("order", "venue", "wrong_type")
    assert drift.take() == [("order", "venue", "unknown_field"), ("order", "venue", "wrong_type")]
    drift.note("order", "venue", "unknown_field")
    assert drift.news == []


def test_a_hostile_server_does_not_make_us_grow() -> None:
    drift = Drift()
    for number in range(2 * Drift.LIMIT):
        drift.note("order", str(number), "unknown_field")
    assert len(drift.take()) == Drift.LIMIT


@pytest.mark.parametrize("encoder", ENCODERS)
def test_encoders_tell_of_drift_and_of_nothing_else(encoder: type[Encoder]) -> None:
    met = Drift()
    order = encoder("order", value_schema("order"), met)
    order.encode({"id": 1, "action": "Buy", "accountId": None})
    assert met.news == []
    for _ in range(2):
        order.encode({"id": 1, "action": "Barter", "venue": "X"})
        order.encode({"id": 1, "venue": "X"})
    assert sorted(met.take()) == [("order", "action", "unknown_symbol"), ("order", "venue", "unknown_field")]


@pytest.mark.parametrize("encoder", ENCODERS)
def test_members_that_nobody_knows_are_told_in_their_order(encoder: type[Encoder]) -> None:
    """By a set's order every process would publish other records."""
    met, names = Drift(), [f"new{number}" for number in range(40)]
    date = {"year": 2026, "month": 11, "day": 21}
    encoder("fill", value_schema("fill"), met).encode({"id": 1, "tradeDate": date | dict.fromkeys(names, 1)})
    assert met.take() == [("fill", f"/tradeDate/{name}", "unknown_field") for name in names]
