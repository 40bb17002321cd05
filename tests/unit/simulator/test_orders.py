from __future__ import annotations

from typing import Any

import orjson
import pytest

from bridge.simulator.options import Options
from bridge.simulator.orders import ENDPOINTS
from bridge.simulator.store import Change
from bridge.simulator.world import World

NOW = 1_787_060_101_123


class Desk:
    """A world with one account that nobody else trades in."""

    def __init__(self) -> None:
        self.world = World(Options(accounts=2), NOW)
        self.account = self.world.accounts[0]
        self.instrument = self.world.instruments[0]
        self.changes: list[Change] = []

    def ask(self, verb: str, **body: Any) -> Any:
        (status, data), burst = self.world.order(NOW, f"order/{verb}", body)
        self.changes = [c for frame in burst for c in frame]
        assert status == 200, data
        assert self.world.check() == []
        return data

    def place(self, **body: Any) -> Any:
        order = {"accountId": self.account.id, "symbol": "ESZ6", "action": "Buy", "orderQty": 3, "orderType": "Market"}
        return self.ask("placeorder", **{**order, **body})

    def resting(self, **body: Any) -> int:
        far = self.instrument.price(self.instrument.ticks - 100)
        number: int = self.place(**{"orderType": "Limit", "price": far, **body})["orderId"]
        return number

    def get(self, entity_type: str, number: int) -> dict[str, Any]:
        found = self.world.store.get(entity_type, number)
        assert found is not None
        return found

    def types(self) -> set[str]:
        return {c.entity_type for c in self.changes}


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_market_order_is_filled_at_once(desk: Desk) -> None:
    number = desk.place(clOrdId="mine", isAutomated=True)["orderId"]
    assert desk.get("order", number)["ordStatus"] == "Filled"
    assert desk.get("command", number)["clOrdId"] == "mine"
    burst = {"order", "command", "orderVersion", "commandReport", "executionReport", "fill", "fillFee"}
    assert desk.types() == burst | {"position", "cashBalance", "marginSnapshot", "accountRiskStatus"}
    assert {c.account_id for c in desk.changes} == {desk.account.id}
    fills = [orjson.loads(c.json) for c in desk.changes if c.entity_type == "fill" and c.event == "Created"]
    assert sum(f["qty"] for f in fills) == 3


def test_a_limit_order_rests_until_it_can_be_filled(desk: Desk) -> None:
    number = desk.resting(text="patience")
    order, version = desk.get("order", number), desk.get("orderVersion", number)
    assert (order["ordStatus"], order["action"]) == ("Working", "Buy")
    assert (version["text"], version["orderType"], version["timeInForce"]) == ("patience", "Limit", "Day")
    better = desk.instrument.price(desk.instrument.ticks + 4)
    desk.ask("modifyorder", orderId=number, orderQty=2, orderType="Limit", price=better)
    assert desk.get("order", number)["ordStatus"] == "Filled"
    fills = [orjson.loads(c.json) for c in desk.changes if c.entity_type == "fill"]
    assert {f["price"] for f in fills} == {desk.instrument.price(desk.instrument.ticks)}  # no worse than the market


@pytest.mark.parametrize("kind", ["Stop", "TrailingStop", "StopLimit", "TrailingStopLimit", "MIT", "LimitIfTouched"])
def test_other_types_wait(desk: Desk, kind: str) -> None:
    number = desk.place(orderType=kind, price=7000.25, stopPrice=7000.5)["orderId"]
    assert desk.get("order", number)["ordStatus"] == "Working"
    assert desk.get("orderVersion", number)["stopPrice"] == 7000.5


@pytest.mark.parametrize("time_in_force", ["IOC", "FOK"])
def test_what_cannot_be_filled_at_once_is_cancelled_if_it_may_not_wait(desk: Desk, time_in_force: str) -> None:
    assert desk.get("order", desk.resting(timeInForce=time_in_force))["ordStatus"] == "Canceled"


def test_an_order_is_cancelled(desk: Desk) -> None:
    number = desk.resting()
    command = desk.ask("cancelorder", orderId=number, clOrdId="away")["commandId"]
    assert desk.get("order", number)["ordStatus"] == "Canceled"
    assert (desk.get("command", command)["commandType"], desk.get("command", command)["clOrdId"]) == ("Cancel", "away")


def test_a_modification_is_a_command_with_a_version(desk: Desk) -> None:
    number = desk.resting()
    command = desk.ask("modifyorder", orderId=number, orderQty=7, orderType="Stop", stopPrice=9000)["commandId"]
    version = desk.get("orderVersion", command)
    assert (version["orderId"], version["orderQty"], version["stopPrice"]) == (number, 7, 9000)


def test_a_position_is_liquidated_with_all_orders_in_its_contract(desk: Desk) -> None:
    desk.place()
    resting = desk.resting()
    elsewhere = desk.place(symbol="CLZ6", orderType="Limit", price=10)["orderId"]
    body = {"accountId": desk.account.id, "contractId": desk.instrument.contract_id, "admin": False}
    number = desk.ask("liquidateposition", **body)["orderId"]
    assert (desk.get("order", number)["action"], desk.get("order", number)["ordStatus"]) == ("Sell", "Filled")
    assert desk.get("order", resting)["ordStatus"] == "Canceled"
    assert desk.get("order", elsewhere)["ordStatus"] == "Working"
    [position] = [p for p in desk.world.store.table("position").values() if p["contractId"] == body["contractId"]]
    assert position["netPos"] == 0
    assert desk.ask("liquidateposition", **body) == {}
    body["contractId"] = 1
    assert desk.ask("liquidateposition", **body)["failureReason"] == "InvalidContract"


def test_risk_rejects_what_is_too_large(desk: Desk) -> None:
    number = desk.place(orderQty=101)["orderId"]
    assert desk.get("order", number)["ordStatus"] == "Rejected"
    [report] = [orjson.loads(c.json) for c in desk.changes if c.entity_type == "commandReport"]
    assert report["rejectReason"] == "MaxOrderQtyLimitReached"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"accountId": 7}, "UnknownReason"),
        ({"accountId": None, "accountSpec": "nobody"}, "UnknownReason"),
        ({"symbol": "XXZ6"}, "InvalidContract"),
        ({"symbol": "9" * 30}, "InvalidContract"),
        ({"orderType": "QTS"}, "Unsupported"),
        ({"orderType": "Limit"}, "InvalidPrice"),
        ({"orderType": "Limit", "price": 7000.1}, "InvalidPrice"),
        ({"orderType": "Limit", "price": True}, "InvalidPrice"),
        ({"orderType": "Limit", "price": 1e300}, "InvalidPrice"),
        ({"orderType": "StopLimit", "price": 7000}, "InvalidPrice"),
    ],
)
def test_business_failures_of_an_order(desk: Desk, body: dict[str, Any], reason: str) -> None:
    answer = desk.place(**body)
    assert answer["failureReason"] == reason
    assert isinstance(answer["failureText"], str)
    assert desk.changes == []


def test_business_failures_of_commands(desk: Desk) -> None:
    filled, resting = desk.place()["orderId"], desk.resting()
    assert desk.ask("cancelorder", orderId=1)["failureReason"] == "UnknownReason"
    assert desk.ask("cancelorder", orderId=filled)["failureReason"] == "TooLate"
    too_many = {"orderId": resting, "orderQty": 101, "orderType": "Market"}
    assert desk.ask("modifyorder", **too_many)["failureReason"] == "MaxOrderQtyLimitReached"
    desk.world.desk.fill(desk.world.desk.working[resting], 2, 100)
    too_few = {"orderId": resting, "orderQty": 2, "orderType": "Market"}
    assert desk.ask("modifyorder", **too_few)["failureReason"] == "TooLate"


def test_a_locked_account_may_not_trade_and_a_restricted_one_only_close(desk: Desk) -> None:
    desk.place()
    status = desk.get("accountRiskStatus", desk.account.id)
    [[change]] = desk.world.place(
        NOW, "accountRiskStatus", "Updated", {**status, "adminAction": "LockTradingImmediately"}
    )
    assert change.account_id == desk.account.id
    assert desk.place(action="Sell")["failureReason"] == "TradingLocked"
    desk.world.place(NOW, "accountRiskStatus", "Updated", {**status, "adminAction": "LiquidateOnlyModeImmediately"})
    assert desk.place(action="Buy")["failureReason"] == "LiquidationOnly"
    assert "orderId" in desk.place(action="Sell")


def test_accounts_and_contracts_go_by_name_too(desk: Desk) -> None:
    name = desk.get("account", desk.account.id)["name"]
    number = desk.place(accountId=None, accountSpec=name, symbol=str(desk.instrument.contract_id))["orderId"]
    order = desk.get("order", number)
    assert (order["accountId"], order["contractId"]) == (desk.account.id, desk.instrument.contract_id)


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("placeorder", {}),
        ("placeorder", {"action": "Buy", "orderQty": 0}),
        ("placeorder", {"action": "Buy", "orderQty": 1, "accountId": "25"}),
        ("placeorder", {"action": "Hold", "orderQty": 1}),
        ("modifyorder", {"orderQty": 1}),
        ("cancelorder", {"orderId": "600"}),
        ("liquidateposition", {"accountId": 1, "contractId": 2}),
    ],
)
def test_malformed_requests_are_400(desk: Desk, verb: str, body: dict[str, Any]) -> None:
    (status, text), burst = desk.world.order(NOW, f"order/{verb}", body)
    assert (status, burst) == (400, [])
    assert isinstance(text, str)


def test_the_world_fills_a_clients_order_but_neither_changes_nor_cancels_it(desk: Desk) -> None:
    number = desk.resting(orderQty=90)
    world = desk.world
    for step in range(300):
        world.step(NOW + step)
        for other in list(world.desk.working.values()):
            if not other.placed:  # with few orders to choose from, the client's turn comes often
                world.desk.cancel(other)
    commands = [c for c in world.store.table("command").values() if c["orderId"] == number]
    assert [c["commandType"] for c in commands] == ["New"]
    assert len([f for f in world.store.table("fill").values() if f["orderId"] == number]) > 1
    assert desk.get("order", number)["ordStatus"] == "Filled"
    assert world.check() == []


def test_every_endpoint_is_tested_here() -> None:
    assert {f"order/{v}order" for v in ("place", "modify", "cancel")} | {"order/liquidateposition"} == ENDPOINTS
