from __future__ import annotations

import pytest

from bridge.entities.catalogue import CATALOGUE, Expression
from bridge.entities.ownership import UNPROVEN, account_hop, direct_owner, shard_of, user_hop


@pytest.mark.parametrize(
    ("name", "by_account", "by_user"),
    [
        ("account", "id", "userId"),
        ("position", "accountId", None),
        ("executionReport", "accountId", None),
        ("accountRiskStatus", "id", None),
        ("fill", None, None),
        ("user", None, "id"),
        ("userPlugin", None, "userId"),
        ("tradingPermission", None, "userId"),
        ("userReadStatus", None, None),
        ("contract", None, None),
        ("neverHeardOf", None, None),
    ],
)
def test_the_owner_that_an_entity_carries_itself(name: str, by_account: str | None, by_user: str | None) -> None:
    assert direct_owner(name, "modAccountId") == by_account
    assert direct_owner(name, Expression.USER) == by_user


def test_an_unproven_owner_is_one_the_catalogue_would_name() -> None:
    for name, expression in UNPROVEN:
        row = CATALOGUE[name]
        path = row.account_join if expression is Expression.ACCOUNT else row.user_join
        assert path is not None
        assert len(path) == 1


@pytest.mark.parametrize(
    ("name", "account", "user"),
    [
        ("fill", ("orderId", "order"), ("orderId", "order")),
        ("commandReport", ("commandId", "command"), ("commandId", "command")),
        ("position", ("accountId", "account"), ("accountId", "account")),
        ("account", ("id", "account"), ("userId", "user")),
        ("chatMessage", None, ("chatId", "chat")),
        ("product", None, None),
        ("neverHeardOf", None, None),
    ],
)
def test_the_first_step_to_account_and_user(
    name: str, account: tuple[str, str] | None, user: tuple[str, str] | None
) -> None:
    assert account_hop(name) == account
    assert user_hop(name) == user


def test_following_first_steps_reaches_the_account_from_every_type_that_has_one() -> None:
    for name, row in CATALOGUE.items():
        here, steps = name, 0
        while here != "account" and (hop := account_hop(here)):
            here, steps = hop[1], steps + 1
        assert (here == "account") == (row.account_join is not None)
        assert steps <= 3


def test_the_shard_is_the_id_modulo_the_number_of_shards() -> None:
    assert [shard_of(owner, 3) for owner in (1, 2, 3, 600_000_000_123)] == [1, 2, 0, 0]
    assert shard_of(-1, 4) == 3  # in range, though ids are positive
    assert shard_of(0, 4) == 0
    with pytest.raises(ValueError, match="at least 1"):
        shard_of(7, 0)
