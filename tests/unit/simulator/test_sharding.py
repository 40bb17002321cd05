from __future__ import annotations

from typing import Any

import pytest

from bridge.simulator.options import Options
from bridge.simulator.sharding import RequestError, Subscription, subscription, wants
from bridge.simulator.store import Change

BY_ACCOUNT = Subscription(None, "modAccountId", 4, 1)
BY_USER = Subscription(None, "modUserId", 4, 1)


def change(entity_type: str, account: int | None, user: int | None, number: int = 99) -> Change:
    return Change(1, 0, entity_type, "Updated", number, account, user, b"{}")


def test_the_owner_decides() -> None:
    order = change("order", 5, 6)
    assert wants(BY_ACCOUNT, order, Options())
    assert not wants(BY_USER, order, Options())
    assert wants(BY_USER, change("order", 6, 5), Options())


def test_ids_beyond_32_bits_are_not_cut() -> None:
    assert wants(BY_ACCOUNT, change("order", (1 << 32) + 5, None), Options())
    assert wants(
        Subscription(None, "modAccountId", 7, ((1 << 32) + 5) % 7), change("order", (1 << 32) + 5, 1), Options()
    )


def test_the_own_id_decides_if_so_switched() -> None:
    options = Options(shard_by="own_id")
    assert not wants(BY_ACCOUNT, change("order", 5, 6, number=100), options)
    assert wants(BY_ACCOUNT, change("order", 4, 6, number=101), options)


@pytest.mark.parametrize(("reach", "seen"), [("all", [0, 1, 2, 3]), ("first", [0]), ("none", [])])
def test_reference_data_and_user_level_entities_reach_whom_they_are_told_to(reach: Any, seen: list[int]) -> None:
    shards = [Subscription(None, "modAccountId", 4, r) for r in range(4)]
    contract, user = change("contract", None, None), change("user", None, 5)
    assert [s.remainder for s in shards if wants(s, contract, Options(ownerless=reach, user_level="none"))] == seen
    assert [s.remainder for s in shards if wants(s, user, Options(user_level=reach, ownerless="none"))] == seen
    assert wants(BY_USER, user, Options(user_level="none"))


def test_the_snapshot_need_not_be_sharded() -> None:
    options = Options(snapshot_sharded=False)
    foreign = change("order", 4, 6)
    assert wants(BY_ACCOUNT, foreign, options, snapshot=True)
    assert not wants(BY_ACCOUNT, foreign, options)


def test_types_accounts_and_users_filter() -> None:
    order = change("order", 5, 6)
    assert not wants(Subscription(frozenset({"fill"})), order, Options())
    assert wants(Subscription(None, accounts=frozenset({5})), order, Options())
    assert not wants(Subscription(None, accounts=frozenset({4})), order, Options())
    assert not wants(Subscription(None, users=frozenset({5})), order, Options())
    assert wants(Subscription(None, users=frozenset({5})), change("contract", None, None), Options())


def test_a_body_is_read() -> None:
    body = {
        "entityTypes": ["order"],
        "shardingExpression": {"expressionType": "modUserId", "divisor": 3, "remainder": 2},
        "cutoffTimestamp": "2026-01-01T00:00:00Z",
    }
    assert subscription(body, Options()) == Subscription(frozenset({"order"}), "modUserId", 3, 2)


def test_the_default_of_entity_types_is_empty_for_organisations_only() -> None:
    assert subscription({}, Options()).types == frozenset()
    assert subscription({"users": [1]}, Options()).types is None
    assert subscription({}, Options(organisation=False)).types is None


SHARDS = {"expressionType": "modAccountId", "divisor": 2, "remainder": 0}


@pytest.mark.parametrize(
    "body",
    [
        {"users": [1], "shardingExpression": SHARDS},
        {"users": [1], "entityTypes": ["order"]},
        {"accounts": [1], "shardingExpression": SHARDS},
    ],
)
def test_forbidden_mixes(body: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match="exclude") as caught:
        subscription(body, Options())
    assert caught.value.mix
    subscription(body, Options(forbidden_mix="accept"))


@pytest.mark.parametrize(
    "body",
    [
        {"shardingExpression": SHARDS | {"divisor": 0}},
        {"shardingExpression": SHARDS | {"remainder": 2}},
        {"shardingExpression": SHARDS | {"remainder": -1}},
        {"shardingExpression": SHARDS | {"divisor": True}},
        {"shardingExpression": SHARDS | {"expressionType": "modOrderId"}},
        {"shardingExpression": "modAccountId"},
        {"entityTypes": "order"},
        {"users": ["1"]},
    ],
)
def test_nonsense_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(RequestError) as caught:
        subscription(body, Options())
    assert not caught.value.mix
