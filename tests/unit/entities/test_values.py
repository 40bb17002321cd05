from __future__ import annotations

from typing import Any

import pytest

from bridge.entities import values
from bridge.entities.values import Misfit


@pytest.mark.parametrize(
    ("text", "millis"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2016-11-04T00:02:36.626Z", 1478217756626),
        ("2016-11-04T00:02:36.626+00:00", 1478217756626),
        ("2016-11-04T00:02:36.6Z", 1478217756600),
        ("2016-11-04T00:02:36.62600000Z", 1478217756626),
        ("2025-01-31T00:58:39Z", 1738285119000),
        ("1969-12-31T23:59:59.999Z", -1),
        ("0001-01-01T00:00:00.000Z", -62135596800000),
        ("9999-12-31T23:59:59.999Z", 253402300799999),
    ],
)
def test_a_moment_in_utc_becomes_its_milliseconds(text: str, millis: int) -> None:
    assert values.to_millis(text) == millis
    assert values.to_millis(values.from_millis(millis)) == millis


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("2016-11-04T00:02:36.6261Z", "inexact"),
        ("2016-11-04T00:02:36.626", "out_of_range"),  # no zone: local time of nobody knows where
        ("2016-11-04T00:02:36.626+01:00", "out_of_range"),
        ("2016-11-04 00:02:36.626Z", "out_of_range"),
        ("2016-11-04", "out_of_range"),
        ("2016-W44-5T00:02:36.626Z", "out_of_range"),
        ("20161104T00:02:36.626262Z", "out_of_range"),
        ("2016-02-30T00:02:36.626Z", "out_of_range"),
        ("2016-11-04T24:00:00.000Z", "out_of_range"),
        ("2016-12-31T23:59:60.000Z", "out_of_range"),
        ("2016-11-04T00:02:36.Z", "out_of_range"),
        ("2016-11-04T00:02:36,626Z", "out_of_range"),
        ("2016-11-04T00:02:36.626Z\n", "out_of_range"),
        ("٢٠١٦-11-04T00:02:36.626Z", "out_of_range"),
        ("0000-01-01T00:00:00.000Z", "out_of_range"),
        ("", "out_of_range"),
        (1478217756626, "wrong_type"),
        (True, "wrong_type"),
        (["2016-11-04T00:02:36.626Z"], "wrong_type"),
    ],
)
def test_any_other_moment_is_a_misfit(value: Any, kind: str) -> None:
    with pytest.raises(Misfit) as refused:
        values.to_millis(value)
    assert refused.value.kind == kind


@pytest.mark.parametrize("value", [0, -1, 2**63 - 1, -(2**63)])
def test_a_long_is_any_integer_of_64_bits(value: int) -> None:
    assert values.to_long(value) == value


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (2**63, "out_of_range"),
        (-(2**63) - 1, "out_of_range"),
        (1.0, "wrong_type"),
        (True, "wrong_type"),
        ("1", "wrong_type"),
        ([1], "wrong_type"),
    ],
)
def test_nothing_else_is_a_long(value: Any, kind: str) -> None:
    with pytest.raises(Misfit) as refused:
        values.to_long(value)
    assert refused.value.kind == kind


@pytest.mark.parametrize("value", [0, 7760, 7760.0, -12.5, 2**53, 2**60, 1e300, -0.0, 2**1023])
def test_a_double_is_what_a_double_holds_exactly(value: float) -> None:
    assert values.to_double(value) == value
    assert type(values.to_double(value)) is float


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (2**53 + 1, "inexact"),
        (10**400, "out_of_range"),
        (float("nan"), "inexact"),
        (float("inf"), "out_of_range"),
        (True, "wrong_type"),
        ("1.5", "wrong_type"),
    ],
)
def test_nothing_else_is_a_double(value: Any, kind: str) -> None:
    with pytest.raises(Misfit) as refused:
        values.to_double(value)
    assert refused.value.kind == kind


@pytest.mark.parametrize("value", [0, 1, "true", [True]])
def test_only_true_and_false_are_boolean(value: Any) -> None:
    assert values.to_boolean(False) is False
    with pytest.raises(Misfit, match="wrong_type"):
        values.to_boolean(value)


def test_a_string_needs_a_utf8_form() -> None:
    assert values.to_string("Zürich \U0001f600") == "Zürich \U0001f600"
    with pytest.raises(Misfit, match="out_of_range"):
        values.to_string("\ud800")
    with pytest.raises(Misfit, match="wrong_type"):
        values.to_string(5)


def test_a_symbol_must_be_known() -> None:
    assert values.to_symbol("Buy", ["Buy", "Sell"]) == "Buy"
    with pytest.raises(Misfit, match="unknown_symbol"):
        values.to_symbol("buy", ["Buy", "Sell"])
    with pytest.raises(Misfit, match="wrong_type"):
        values.to_symbol(1, ["Buy", "Sell"])


@pytest.mark.parametrize(
    ("day", "days"),
    [
        ({"year": 1970, "month": 1, "day": 1}, 0),
        ({"year": 2026, "month": 8, "day": 18}, 20683),
        ({"year": 1, "month": 1, "day": 1}, -719162),
        ({"year": 9999, "month": 12, "day": 31}, 2932896),
    ],
)
def test_a_trade_date_becomes_its_days(day: dict[str, int], days: int) -> None:
    assert values.to_days(day) == days
    assert values.from_days(days) == day


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"year": 2026, "month": 2, "day": 29}, "out_of_range"),
        ({"year": 2026, "month": 2**70, "day": 1}, "out_of_range"),
        ({"year": 2026, "month": 2}, "wrong_type"),
        ({"year": 2026, "month": 2, "day": None}, "wrong_type"),
        ({"year": 2026, "month": True, "day": 1}, "wrong_type"),
        ({"year": 2026, "month": 1.0, "day": 1}, "wrong_type"),
        ("2026-08-18", "wrong_type"),
        ([2026, 8, 18], "wrong_type"),
    ],
)
def test_any_other_date_is_a_misfit(value: Any, kind: str) -> None:
    with pytest.raises(Misfit) as refused:
        values.to_days(value)
    assert refused.value.kind == kind


def test_a_trade_time_becomes_its_milliseconds() -> None:
    assert values.to_time({"hour": 17, "minute": 5}) == 61_500_000
    assert values.from_time(61_500_000) == {"hour": 17, "minute": 5}
    for wrong in ({"hour": 24, "minute": 0}, {"hour": 0, "minute": 60}, {"hour": -1, "minute": 0}):
        with pytest.raises(Misfit, match="out_of_range"):
            values.to_time(wrong)
    with pytest.raises(Misfit, match="wrong_type"):
        values.to_time({"hour": 17})
