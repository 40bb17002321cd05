"""The invariants of the world, computed from the entities alone. Pure.

What was put in by hand or by generated load is nobody's trade, so nothing must follow from it or lead to it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from bridge.simulator.dress import Entity
from bridge.simulator.store import FIRST_LOAD_ID, Store

_REFERENCES = {
    "fill": (("orderId", "order"), ("contractId", "contract"), ("id", "fillFee")),
    "order": (("accountId", "account"), ("contractId", "contract"), ("id", "command"), ("id", "orderVersion")),
    "orderVersion": (("orderId", "order"), ("id", "command")),
    "command": (("orderId", "order"),),
    "commandReport": (("commandId", "command"),),
    "executionReport": (("commandId", "command"), ("orderId", "order")),
    "fillFee": (("id", "fill"),),
    "fillPair": (("positionId", "position"),),
    "orderStrategyLink": (("orderStrategyId", "orderStrategy"), ("orderId", "order")),
    "position": (("accountId", "account"), ("contractId", "contract")),
    "cashBalance": (("accountId", "account"), ("currencyId", "currency")),
    "account": (("userId", "user"), ("id", "accountRiskStatus"), ("id", "marginSnapshot")),
}


class _Books:
    """The tables as an auditor sees them, and sums over them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._own: dict[str, dict[int, Entity]] = {}
        self.filled: dict[int, int] = defaultdict(int)
        self.sides: dict[tuple[int, int, str], int] = defaultdict(int)
        self.fees: dict[int, int] = defaultdict(int)
        for number, fill in self.own("fill").items():
            self.filled[fill["orderId"]] += fill["qty"]
            account = self._account(number, fill["orderId"])
            self.sides[account, fill["contractId"], fill["action"]] += fill["qty"]
            fee = store.get("fillFee", number) or {}
            self.fees[account] += sum(round(v * 100) for k, v in fee.items() if k.endswith("Fee") or k == "commission")

    def own(self, entity_type: str) -> dict[int, Entity]:
        """The entities that trading made."""
        if entity_type not in self._own:
            table, placed = self._store.table(entity_type), self._store.placed
            self._own[entity_type] = {
                number: entity
                for number, entity in table.items()
                if number < FIRST_LOAD_ID and (entity_type, number) not in placed
            }
        return self._own[entity_type]

    def exists(self, entity_type: str, number: int) -> bool:
        """Whether something is there, or is none of our business."""
        return number in self._store.table(entity_type) or (entity_type, number) in self._store.placed

    def _account(self, fill_id: int, order_id: int) -> int:
        """Whose fill it is: its order's account, or that of the fill where somebody has deleted the order."""
        order, fill = self._store.get("order", order_id), self._store.latest("fill", fill_id)
        account: int | None = order.get("accountId") if order else fill.account_id if fill else None
        return account or 0

    def point_value(self, contract_id: int) -> float:
        """What a point of a contract is worth."""
        contract = self._store.get("contract", contract_id) or {}
        maturity = self._store.get("contractMaturity", contract.get("contractMaturityId", 0)) or {}
        value: float = (self._store.get("product", maturity.get("productId", 0)) or {}).get("valuePerPoint", 0.0)
        return value


def problems(store: Store) -> list[str]:
    """Sentences about what does not add up."""
    books = _Books(store)
    return [sentence for check in _CHECKS for sentence in check(books)]


def _references(books: _Books) -> Iterator[str]:
    for entity_type, references in _REFERENCES.items():
        for number, entity in books.own(entity_type).items():
            for field, target in references:
                if not books.exists(target, entity[field]):
                    yield f"{entity_type} {number}: {field} {entity[field]} is no {target}"


def _orders(books: _Books) -> Iterator[str]:
    versions = sorted(books.own("orderVersion").values(), key=lambda version: version["id"])
    wanted = {version["orderId"]: version["orderQty"] for version in versions}
    reported: dict[int, int] = defaultdict(int)
    for report in books.own("executionReport").values():
        reported[report["orderId"]] = max(reported[report["orderId"]], report["cumQty"])
    for number, order in books.own("order").items():
        done, status = books.filled[number], order["ordStatus"]
        if done > wanted.get(number, done) or (status == "Filled") != (done == wanted.get(number)):
            yield f"order {number} is {status} with {done} of {wanted.get(number)} filled"
        if reported[number] != done:
            yield f"order {number} is reported with {reported[number]} filled, its fills are {done}"


def _brackets(books: _Books) -> Iterator[str]:
    orders = books.own("order")
    for number, order in orders.items():
        other = orders.get(order.get("ocoId") or 0)
        if order["ordStatus"] == "Filled" and other is not None and other["ordStatus"] != "Canceled":
            yield f"order {number} is Filled, and yet order {order['ocoId']} is {other['ordStatus']}, not Canceled"


def _fills(books: _Books) -> Iterator[str]:
    paired: dict[int, int] = defaultdict(int)
    for pair in books.own("fillPair").values():
        paired[pair["buyFillId"]] += pair["qty"]
        paired[pair["sellFillId"]] += pair["qty"]
    for number, fill in books.own("fill").items():
        if fill["finallyPaired"] != paired[number] or paired[number] > fill["qty"]:
            said = f"{fill['finallyPaired']} of {fill['qty']}"
            yield f"fill {number}: finallyPaired {said}, its pairs are {paired[number]}"


def _positions(books: _Books) -> Iterator[str]:
    for number, position in books.own("position").items():
        key = position["accountId"], position["contractId"]
        bought, sold = books.sides[*key, "Buy"], books.sides[*key, "Sell"]
        if (position["bought"], position["sold"]) != (bought, sold):
            yield f"position {number}: bought and sold are not the sums of the fills, {bought} and {sold}"
        if position["netPos"] != position["prevPos"] + bought - sold:
            yield f"position {number}: netPos {position['netPos']} does not follow from the fills"


def _cash(books: _Books) -> Iterator[str]:
    pnl = _profits(books)
    for number, cash in books.own("cashBalance").items():
        account = cash["accountId"]
        if round(cash["realizedPnL"] * 100) != pnl[account]:
            yield f"cashBalance {number}: realizedPnL is not the sum of the pairs, {pnl[account] / 100}"
        if round(cash["amount"] * 100) != round(cash["amountSOD"] * 100) + pnl[account] - books.fees[account]:
            yield f"cashBalance {number}: amount {cash['amount']} does not follow from profits and fees"
        risk = books.own("accountRiskStatus").get(account)
        if risk is not None and not risk["minNetLiq"] <= cash["amount"] <= risk["maxNetLiq"]:
            yield f"accountRiskStatus {account}: amount {cash['amount']} lies outside of minNetLiq and maxNetLiq"


def _profits(books: _Books) -> dict[int, int]:
    """Realised profit of the session by account, in cents."""
    profits: dict[int, int] = defaultdict(int)
    for pair in books.own("fillPair").values():
        position = books.own("position").get(pair["positionId"])
        if position is not None:
            points = (pair["sellPrice"] - pair["buyPrice"]) * pair["qty"]
            profits[position["accountId"]] += round(points * books.point_value(position["contractId"]) * 100)
    return profits


def _margins(books: _Books) -> Iterator[str]:
    held: dict[int, int] = defaultdict(int)
    for position in books.own("position").values():
        held[position["accountId"]] += abs(position["netPos"])
    for account, margin in books.own("marginSnapshot").items():
        if (margin["initialMargin"] > 0) != (held[account] > 0):
            said = margin["initialMargin"]
            yield f"marginSnapshot {account}: initialMargin {said} with {held[account]} contracts held"
        if margin["maintenanceMargin"] > margin["initialMargin"]:
            yield f"marginSnapshot {account}: maintenanceMargin is more than initialMargin"


_CHECKS = (_references, _orders, _brackets, _fills, _positions, _cash, _margins)
