from __future__ import annotations

import json
from pathlib import Path

import orjson
import pytest

from bridge.simulator.options import Options
from bridge.simulator.store import Change
from bridge.simulator.world import Burst, World

NOW = 1_787_060_101_123
TABLE = Path(__file__).resolve().parents[3] / "schemas" / "entities.json"


REQUIRED = {
    "user": "name timestamp email status professional",
    "userProperty": "userId propertyId",
    "property": "name propertyType",
    "account": "name userId accountType clearingHouseId riskCategoryId autoLiqProfileId marginAccountType "
    "legalStatus timestamp",
    "marginSnapshot": "timestamp riskTimePeriodId initialMargin maintenanceMargin totalUsedMargin "
    "fullInitialMargin positionMargin totalUsedFullMargin",
    "cashBalance": "accountId timestamp tradeDate currencyId amount",
    "currency": "name",
    "position": "accountId contractId timestamp tradeDate netPos bought boughtValue sold soldValue prevPos",
    "fillPair": "positionId buyFillId sellFillId qty buyPrice sellPrice active",
    "order": "accountId timestamp action ordStatus admin",
    "contract": "name contractMaturityId timestamp",
    "contractMaturity": "productId expirationMonth expirationDate isFront",
    "product": "name currencyId productType description exchangeId contractGroupId status valuePerPoint "
    "priceFormatType priceFormat tickSize",
    "exchange": "name",
    "spreadDefinition": "timestamp spreadType uds",
    "command": "orderId timestamp commandType commandStatus",
    "commandReport": "commandId timestamp commandStatus",
    "executionReport": "commandId name accountId contractId timestamp orderId execType action",
    "orderVersion": "orderId orderQty orderType",
    "fill": "orderId contractId timestamp tradeDate action qty price active finallyPaired",
    "orderStrategy": "accountId timestamp contractId orderStrategyTypeId action status",
    "orderStrategyLink": "orderStrategyId orderId label",
    "userPlugin": "userId timestamp planPrice pluginName approval startDate paidAmount",
    "annualReview": "userId riskDisclosureNeeded archived status",
    "userPromoCode": "userId promoCodeId source",
    "contractGroup": "name",
    "orderStrategyType": "name enabled",
}
"""Fields that the published specification requires (the newest edition), by entity type."""


def traded(options: Options, steps: int) -> tuple[World, list[Change]]:
    world = World(options, NOW)
    changes = [c for frame in world.beginning for c in frame]
    for step in range(steps):
        changes += flat(world.step(NOW + step * 7))
    return world, changes


def flat(burst: Burst) -> list[Change]:
    return [change for frame in burst for change in frame]


def test_the_same_seed_and_times_make_the_same_world() -> None:
    assert traded(Options(accounts=20), 200)[1] == traded(Options(accounts=20), 200)[1]
    assert traded(Options(accounts=20), 200)[1] != traded(Options(accounts=20, seed=2), 200)[1]


def test_all_kinds_of_things_happen() -> None:
    world, changes = traded(Options(accounts=20, deletes=0.05), 1200)
    seen = {(c.entity_type, c.event) for c in changes}
    for entity_type in ("order", "fill", "position", "cashBalance", "marginSnapshot", "command", "accountRiskStatus"):
        assert (entity_type, "Updated") in seen, entity_type
    for entity_type in ("fillPair", "fillFee", "orderVersion", "commandReport", "executionReport"):
        assert (entity_type, "Created") in seen, entity_type
    assert {("orderStrategy", "Created"), ("orderStrategyLink", "Created"), ("orderStrategy", "Updated")} <= seen
    assert {("userAccountAutoLiq", "Deleted"), ("userAccountAutoLiq", "Created"), ("userProperty", "Deleted")} <= seen
    statuses = {order["ordStatus"] for order in world.store.table("order").values()}
    assert statuses >= {"Working", "Filled", "Canceled", "Rejected"}
    types = {version["orderType"] for version in world.store.table("orderVersion").values()}
    assert len(types) >= 6
    partial = {c.id for c in changes if c.entity_type == "fill" and c.event == "Created"}
    assert len(partial) > len({orjson.loads(c.json)["orderId"] for c in changes if c.entity_type == "fill"})


def test_every_invariant_holds_over_a_session_and_the_next() -> None:
    world, _ = traded(Options(accounts=15), 1500)
    assert world.check() == []
    archived, _ = world.roll(NOW + 20_000)
    assert {c.event for c in archived} == {"Archived"}
    assert not world.store.table("order")
    assert world.check() == []
    for step in range(800):
        world.step(NOW + 30_000 + step)
    assert world.check() == []


@pytest.fixture(scope="module")
def busy() -> World:
    """A world in the middle of its day; tests put back what they spoil."""
    return traded(Options(accounts=5), 400)[0]


@pytest.mark.parametrize(
    ("entity_type", "field", "text"),
    [
        ("position", "bought", "sums of the fills"),
        ("position", "netPos", "does not follow"),
        ("cashBalance", "amount", "does not follow"),
        ("cashBalance", "amountSOD", "does not follow"),
        ("cashBalance", "realizedPnL", "sum of the pairs"),
        ("fillFee", "commission", "does not follow from profits and fees"),
        ("fillPair", "qty", "its pairs are"),
        ("fillPair", "sellPrice", "sum of the pairs"),
        ("fill", "finallyPaired", "its pairs are"),
        ("fill", "qty", "is reported with"),
        ("fill", "orderId", "is no order"),
        ("executionReport", "cumQty", "its fills are"),
        ("marginSnapshot", "maintenanceMargin", "is more than initialMargin"),
        ("account", "userId", "is no user"),
    ],
)
def test_a_broken_invariant_is_found(busy: World, entity_type: str, field: str, text: str) -> None:
    assert busy.check() == []
    number, entity = next(iter(busy.store.table(entity_type).items()))
    busy.store.update(entity_type, number, **{field: entity[field] + 1_000_000})
    assert any(text in problem for problem in busy.check())
    busy.store.update(entity_type, number, **entity)
    assert busy.check() == []


def test_a_margin_without_a_position_is_found() -> None:
    world = World(Options(accounts=2), NOW)
    number = world.accounts[0].id
    world.store.update("marginSnapshot", number, initialMargin=5.0)
    assert world.check() == [f"marginSnapshot {number}: initialMargin 5.0 with 0 contracts held"]


def test_a_balance_outside_of_its_extremes_is_found() -> None:
    world = World(Options(accounts=2), NOW)
    number = world.accounts[0].id
    world.store.update("accountRiskStatus", number, minNetLiq=50_001.0)
    assert world.check() == [f"accountRiskStatus {number}: amount 50000.0 lies outside of minNetLiq and maxNetLiq"]


def test_a_bracket_of_which_both_sides_live_is_found() -> None:
    world, _ = traded(Options(accounts=5), 1000)
    orders = world.store.table("order")
    number = next(n for n, o in orders.items() if o["ordStatus"] == "Filled" and o.get("ocoId"))
    other = orders[number]["ocoId"]
    world.store.update("order", other, ordStatus="Working")
    assert world.check() == [f"order {number} is Filled, and yet order {other} is Working, not Canceled"]


def test_a_reference_to_nothing_is_found() -> None:
    world, _ = traded(Options(accounts=5), 300)
    world.store.put("orderVersion", {"id": 1, "orderId": 77, "orderQty": 1, "orderType": "Market"})
    assert world.check() == ["orderVersion 1: orderId 77 is no order", "orderVersion 1: id 1 is no command"]


def test_what_was_put_in_or_deleted_by_hand_is_nobodys_trade() -> None:
    world, _ = traded(Options(accounts=3, deletes=0.0), 200)
    account = world.accounts[0]
    world.place(NOW, "order", "Created", {"id": 5, "accountId": account.id})
    for entity_type, number in (("cashBalance", account.cash_id), ("order", next(iter(world.desk.working)))):
        world.place(NOW, entity_type, "Deleted", {"id": number})
    assert world.check() == []
    for step in range(300):
        world.step(NOW + step)
    assert world.store.get("cashBalance", account.cash_id) is None
    assert world.check() == []


def test_an_order_that_claims_to_be_filled_is_found() -> None:
    world, _ = traded(Options(accounts=5), 300)
    number = next(n for n, o in world.store.table("order").items() if o["ordStatus"] == "Canceled")
    world.store.update("order", number, ordStatus="Filled")
    assert any(f"order {number} is Filled" in problem for problem in world.check())


def test_the_steps_of_an_order_come_in_several_frames() -> None:
    world = World(Options(accounts=3, deletes=0.0), NOW)
    burst = next(b for b in (world.step(NOW) for _ in range(200)) if any(c.entity_type == "fill" for c in flat(b)))
    assert len(burst) >= 4
    first = [c.entity_type for c in burst[0]]
    assert first == ["order", "command", "orderVersion"]
    orders = [orjson.loads(c.json)["ordStatus"] for c in flat(burst) if c.entity_type == "order"]
    assert orders[:2] == ["PendingNew", "Working"]


def test_every_entity_is_what_the_specification_says() -> None:
    types = {t["name"]: t for t in json.loads(TABLE.read_text())["entities"]}
    symbols = {name: [s for v in e.values() for s in v] for name, e in json.loads(TABLE.read_text())["enums"].items()}
    kinds: dict[str, type | tuple[type, ...]] = {
        "int64": int, "int32": int, "double": (int, float), "boolean": bool, "string": str, "date-time": str,
        "enum": str, "object": dict,
    }  # fmt: skip
    _, changes = traded(Options(accounts=20), 600)
    assert {c.entity_type for c in changes} >= set(REQUIRED)
    for change in changes:
        fields = {f["name"]: f for f in types[change.entity_type]["fields"]}
        entity = orjson.loads(change.json)
        assert entity["id"] == change.id
        assert set(REQUIRED.get(change.entity_type, "").split()) <= set(entity), change
        for name, value in entity.items():
            assert isinstance(value, kinds[fields[name]["type"]]), (change.entity_type, name, value)
            assert "enum" not in fields[name] or value in symbols[fields[name]["enum"]], (change.entity_type, name)


def test_ids_and_accounts_are_as_large_as_the_real_ones() -> None:
    world, _ = traded(Options(accounts=200), 50)
    accounts = sorted(a.id for a in world.accounts)
    assert accounts[0] < 1 << 32 < accounts[-1]
    assert all(number > 600_000_000_000 for number in world.store.table("order"))
    assert len(accounts) == 200


def test_fills_may_precede_their_order_but_versions_of_one_entity_stay_in_order() -> None:
    world = World(Options(accounts=5, fill_before_order=True), NOW)
    early = False
    for step in range(300):
        changes = flat(world.step(NOW + step))
        last: dict[tuple[str, int], int] = {}
        created: list[str] = []
        for change in changes:
            assert last.get((change.entity_type, change.id), 0) < change.number
            last[change.entity_type, change.id] = change.number
            created.append(change.entity_type)
        early = early or ("fill" in created and "order" in created and created.index("fill") < created.index("order"))
    assert early
    assert world.check() == []


def test_an_entity_of_the_callers_making() -> None:
    world = World(Options(accounts=5), NOW)
    account = world.accounts[0]
    [[change]] = world.place(NOW, "order", "Created", {"id": 5, "accountId": account.id})
    assert (change.account_id, change.user_id, change.event) == (account.id, account.user_id, "Created")
    [[gone]] = world.place(NOW, "order", "Deleted", {"id": 5})
    assert (gone.event, gone.account_id, gone.json) == ("Deleted", account.id, change.json)
    with pytest.raises(ValueError, match="there is no order 5"):
        world.place(NOW, "order", "Deleted", {"id": 5})
    with pytest.raises(ValueError, match="integer id"):
        world.place(NOW, "order", "Created", {"id": "5"})


def test_events_of_types_that_no_specification_knows() -> None:
    _, changes = traded(Options(accounts=5, unknown_types=True), 100)
    things = [c for c in changes if c.entity_type == "simThing"]
    assert len(things) > 3
    assert all(c.account_id is not None for c in things)
    assert not any(c.entity_type == "simThing" for c in traded(Options(accounts=5), 100)[1])
