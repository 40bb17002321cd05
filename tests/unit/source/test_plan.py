import json
from typing import Any

import pytest

from bridge.errors import ConfigurationError
from bridge.source.plan import SyncPlan


def test_a_sharded_plan_is_the_protocols_example() -> None:
    plan = SyncPlan(entity_types=("user", "order"), expression="modAccountId", divisor=4, remainder=1)

    assert plan.body() == (
        '{"splitResponses":true,"entityTypes":["user","order"],'
        '"shardingExpression":{"expressionType":"modAccountId","divisor":4,"remainder":1}}'
    )


def test_a_retry_adds_the_ticket_and_nothing_else() -> None:
    plan = SyncPlan(entity_types=("order",))

    assert json.loads(plan.body("b1a2")) == json.loads(plan.body()) | {"p-ticket": "b1a2"}


def test_users_accounts_and_the_unexplained_parameters_are_passed_through() -> None:
    users = SyncPlan(users=(15460,), cutoff_timestamp="2026-08-18T13:35:01.123Z", full_org_snapshot=False)
    accounts = SyncPlan(accounts=(25, 26), entity_types=("fill",), split_responses=False)

    assert json.loads(users.body()) == {
        "splitResponses": True,
        "users": [15460],
        "cutoffTimestamp": "2026-08-18T13:35:01.123Z",
        "fullOrgSnapshot": False,
    }
    assert json.loads(accounts.body()) == {"splitResponses": False, "accounts": [25, 26], "entityTypes": ["fill"]}


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"users": (1,), "expression": "modUserId"}, "source.users"),
        ({"users": (1,), "entity_types": ("order",)}, "source.users"),
        ({"accounts": (1,), "entity_types": ("order",), "expression": "modAccountId"}, "source.accounts"),
        ({}, "source.entity_types"),
        ({"accounts": (1,)}, "source.entity_types"),
        ({"entity_types": ("order", "")}, "source.entity_types"),
        ({"entity_types": ("order",), "expression": "modOrderId"}, "sharding.expression"),
        ({"entity_types": ("order",), "divisor": 4}, "sharding.expression"),
        ({"entity_types": ("order",), "expression": "modAccountId", "divisor": 0}, "sharding.divisor"),
        ({"entity_types": ("order",), "expression": "modAccountId", "divisor": -1}, "sharding.divisor"),
        ({"entity_types": ("order",), "expression": "modAccountId", "divisor": True}, "sharding.divisor"),
        ({"entity_types": ("order",), "expression": "modAccountId", "divisor": 4, "remainder": 4}, "0 to 3"),
        ({"entity_types": ("order",), "expression": "modAccountId", "divisor": 4, "remainder": -1}, "0 to 3"),
        ({"users": (0,)}, "source.users"),
        ({"users": (2**63,)}, "source.users"),
        ({"entity_types": ("order",), "accounts": (True,)}, "source.accounts"),
        ({"entity_types": ("order",), "cutoff_timestamp": "yesterday"}, "yesterday"),
    ],
)
def test_what_the_protocol_forbids_is_refused_locally(parameters: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        SyncPlan(**parameters)
