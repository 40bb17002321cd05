"""The invariants of the world, computed from the entities alone. Pure."""

from __future__ import annotations

from collections import defaultdict

from bridge.simulator.dress import Entity
from bridge.simulator.store import FIRST_LOAD_ID, Store

_REFERENCES = {
    "fill": (("orderId", "order"), ("contractId", "contract")),
    "order": (("accountId", "account"), ("contractId", "contract")),
    "orderVersion": (("orderId", "order"),),
    "command": (("orderId", "order"),),
    "commandReport": (("commandId", "command"),),
    "executionReport": (("commandId", "command"), ("orderId", "order")),
    "fillFee": (("id", "fill"),),
    "fillPair": (("positionId", "position"),),
    "orderStrategyLink": (("orderStrategyId", "orderStrategy"), ("orderId", "order")),
    "position": (("accountId", "account"), ("contractId", "contract")),
    "cashBalance": (("accountId", "account"), ("currencyId", "currency")),
    "account": (("userId", "user"),),
}


def problems(store: Store) -> list[str]:
    """Sentences about what does not add up."""
    return [*_references(store), *_orders(store), *_positions(store), *_cash(store)]


def _table(store: Store, entity_type: str) -> dict[int, Entity]:
    """The entities that trading made, without those of generated load."""
    table = store.table(entity_type)
    if all(number < FIRST_LOAD_ID for number in table):
        return table
    return {number: entity for number, entity in table.items() if number < FIRST_LOAD_ID}


def _references(store: Store) -> list[str]:
    found = []
    for entity_type, references in _REFERENCES.items():
        for number, entity in _table(store, entity_type).items():
            for field, target in references:
                if entity[field] not in _table(store, target):
                    found.append(f"{entity_type} {number}: {field} {entity[field]} is no {target}")
    return found


def _orders(store: Store) -> list[str]:
    filled: dict[int, int] = defaultdict(int)
    for fill in _table(store, "fill").values():
        filled[fill["orderId"]] += fill["qty"]
    wanted = {
        v["orderId"]: v["orderQty"] for v in sorted(_table(store, "orderVersion").values(), key=lambda v: v["id"])
    }
    found = []
    for number, order in _table(store, "order").items():
        done, status = filled[number], order["ordStatus"]
        if done > wanted[number] or (status == "Filled") != (done == wanted[number]):
            found.append(f"order {number} is {status} with {done} of {wanted[number]} filled")
    return found


def _positions(store: Store) -> list[str]:
    sums: dict[tuple[int, int, str], int] = defaultdict(int)
    for fill in _table(store, "fill").values():
        account_id = _table(store, "order")[fill["orderId"]]["accountId"]
        sums[account_id, fill["contractId"], fill["action"]] += fill["qty"]
    found = []
    for number, position in _table(store, "position").items():
        key = position["accountId"], position["contractId"]
        bought, sold = sums[*key, "Buy"], sums[*key, "Sell"]
        if (position["bought"], position["sold"]) != (bought, sold):
            found.append(f"position {number}: bought and sold are not the sums of the fills, {bought} and {sold}")
        if position["netPos"] != position["prevPos"] + bought - sold:
            found.append(f"position {number}: netPos {position['netPos']} does not follow from the fills")
    return found


def _cash(store: Store) -> list[str]:
    fees, pnl = _fees(store), _profits(store)
    found = []
    for number, cash in _table(store, "cashBalance").items():
        account = cash["accountId"]
        if round(cash["realizedPnL"] * 100) != pnl[account]:
            found.append(f"cashBalance {number}: realizedPnL is not the sum of the pairs, {pnl[account] / 100}")
        if round(cash["amount"] * 100) != round(cash["amountSOD"] * 100) + pnl[account] - fees[account]:
            found.append(f"cashBalance {number}: amount {cash['amount']} does not follow from profits and fees")
    return found


def _fees(store: Store) -> dict[int, int]:
    """Fees of the session by account, in cents."""
    fees: dict[int, int] = defaultdict(int)
    for number, fee in _table(store, "fillFee").items():
        account = _table(store, "order")[_table(store, "fill")[number]["orderId"]]["accountId"]
        fees[account] += sum(round(v * 100) for k, v in fee.items() if k.endswith("Fee") or k == "commission")
    return fees


def _profits(store: Store) -> dict[int, int]:
    """Realised profit of the session by account, in cents."""
    value = {}
    for number, contract in _table(store, "contract").items():
        maturity = _table(store, "contractMaturity")[contract["contractMaturityId"]]
        value[number] = _table(store, "product")[maturity["productId"]]["valuePerPoint"]
    profits: dict[int, int] = defaultdict(int)
    for pair in _table(store, "fillPair").values():
        position = _table(store, "position")[pair["positionId"]]
        points = (pair["sellPrice"] - pair["buyPrice"]) * pair["qty"]
        profits[position["accountId"]] += round(points * value[position["contractId"]] * 100)
    return profits
