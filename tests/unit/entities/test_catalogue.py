from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bridge.entities.catalogue import (
    BY_LIST,
    CATALOGUE,
    SNAPSHOT_TYPES,
    Expression,
    Lifecycle,
    join,
    lifecycle,
    nearest,
    type_of_list,
)

TABLE = json.loads((Path(__file__).parents[3] / "schemas" / "entities.json").read_text("utf-8"))


def hops(raw: list[list[str]] | None) -> tuple[tuple[str, ...], ...] | None:
    return None if raw is None else tuple(tuple(hop) for hop in raw)


def test_the_table_in_code_has_the_types_of_the_table_of_fields_in_the_same_order() -> None:
    assert list(CATALOGUE) == [row["name"] for row in TABLE["entities"]]
    assert len(CATALOGUE) == 61
    assert sum(len(row["fields"]) for row in TABLE["entities"]) == 600


@pytest.mark.parametrize("row", TABLE["entities"], ids=lambda row: str(row["name"]))
def test_a_row_says_what_the_table_of_fields_says(row: dict[str, Any]) -> None:
    known = CATALOGUE[row["name"]]
    timed = any(field["name"] == "timestamp" and field["type"] == "date-time" for field in row["fields"])
    assert known.list_name == row["list"]
    assert known.lifecycle.value == row["lifecycle"]
    assert known.account_join == hops(row["accountJoin"])
    assert known.user_join == hops(row["userJoin"])
    assert known.time_field == ("timestamp" if timed else None)


def test_every_hop_names_a_field_of_the_type_it_starts_from() -> None:
    fields = {row["name"]: {field["name"] for field in row["fields"]} for row in TABLE["entities"]}
    for row in CATALOGUE.values():
        for path in filter(None, (row.account_join, row.user_join)):
            here = row.name
            for field, target in path:
                assert field in fields[here], (row.name, here, field)
                here = target
        if row.user_join:
            assert row.user_join[-1][1] == "user"
        if row.account_join:
            assert row.account_join[-1][1] == "account"


def test_a_snapshot_lists_31_types_beginning_with_users() -> None:
    assert len(SNAPSHOT_TYPES) == len(BY_LIST) == 31
    assert SNAPSHOT_TYPES[:3] == ("user", "userProperty", "property")
    assert set(SNAPSHOT_TYPES) == {name for name in CATALOGUE if CATALOGUE[name].lifecycle is not Lifecycle.STREAM}


@pytest.mark.parametrize(
    ("name", "by_account", "by_user"),
    [
        ("order", Lifecycle.SESSION, Lifecycle.SESSION),
        ("position", Lifecycle.ENTITY, Lifecycle.ENTITY),
        ("contract", Lifecycle.REFERENCE, Lifecycle.REFERENCE),
        ("user", Lifecycle.REFERENCE, Lifecycle.ENTITY),
        ("userPlugin", Lifecycle.REFERENCE, Lifecycle.ENTITY),
        ("tradingPermission", Lifecycle.STREAM, Lifecycle.STREAM),
        ("organization", Lifecycle.STREAM, Lifecycle.STREAM),
        ("neverHeardOf", Lifecycle.STREAM, Lifecycle.STREAM),
    ],
)
def test_a_type_without_an_owner_in_force_is_reference(name: str, by_account: Lifecycle, by_user: Lifecycle) -> None:
    assert lifecycle(name, "modAccountId") is by_account
    assert lifecycle(name, Expression.USER) is by_user


def test_an_unknown_sharding_expression_is_refused() -> None:
    with pytest.raises(ValueError, match="modOrderId"):
        lifecycle("order", "modOrderId")
    with pytest.raises(ValueError, match="modOrderId"):
        join("neverHeardOf", "modOrderId")


def test_a_listed_type_is_found_by_table() -> None:
    assert {name: type_of_list(name) for name in BY_LIST} == {name: row.name for name, row in BY_LIST.items()}


@pytest.mark.parametrize(
    ("list_name", "expected"),
    [
        ("tradingPermissions", "tradingPermission"),
        ("someStatuses", "someStatus"),
        ("entries", "entry"),
        ("sheep", "sheep"),
        ("pie", "pie"),
        ("", ""),
    ],
)
def test_an_unknown_list_follows_the_rule_of_the_vendor(list_name: str, expected: str) -> None:
    assert type_of_list(list_name) == expected


def test_the_rule_of_the_vendor_agrees_with_the_table() -> None:
    for list_name, row in BY_LIST.items():
        probe = "x" + list_name  # not in the table, same ending
        assert type_of_list(probe) == "x" + row.name


@pytest.mark.parametrize(("typed", "meant"), [("odrer", "order"), ("CASHBALANCE", "cashBalance"), ("zzzzzz", None)])
def test_the_nearest_name_is_offered(typed: str, meant: str | None) -> None:
    assert nearest(typed, CATALOGUE) == meant
