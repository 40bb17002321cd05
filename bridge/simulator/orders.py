"""What clients ask of the desk: place, modify and cancel orders, liquidate positions. Pure.

Requests and answers have the shapes of the published API: a result with an id, or HTTP 200 with `failureReason` and
`failureText` (protocol section 12). When the market moves is up to the world; what can be filled at once is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from bridge.simulator.books import Books
from bridge.simulator.desk import BUY, SELL, Desk, Working
from bridge.simulator.population import Account, Instrument
from bridge.simulator.store import Store

Answer = tuple[int, Any]

MAX_QTY = 100
"""Larger orders are taken, and then rejected by risk (protocol section 9.3, burst 2)."""

_SIDES = {"Buy": BUY, "Sell": SELL}
_PRICES: dict[str, tuple[str, ...]] = {
    "Market": (), "Limit": ("price",), "MIT": ("price",), "LimitIfTouched": ("price",), "Stop": ("stopPrice",),
    "TrailingStop": ("stopPrice",), "StopLimit": ("stopPrice", "price"), "TrailingStopLimit": ("stopPrice", "price"),
}  # fmt: skip
"""The prices that an order of a type needs; at the last of them it is filled."""
_TERMS = (
    "price", "stopPrice", "limitIfTouchedPrice", "maxShow", "pegDifference", "timeInForce", "expireTime", "text",
)  # fmt: skip
_MARKS = ("clOrdId", "customTag50", "isAutomated", "activationTime")
_LOCKS = {
    "LockTradingImmediately": "TradingLocked",
    "LiquidateOnlyModeImmediately": "LiquidationOnly",
    "LiquidateImmediately": "LiquidationOnly",
}


class _RefusedError(Exception):
    """A business failure: the answer is a reason and a text."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class _MalformedError(Exception):
    """A request that lacks something or holds the wrong kind of thing: 400."""


@dataclass(frozen=True, slots=True)
class _Terms:
    order_type: str
    ticks: int | None
    fields: dict[str, object]


class Orders:
    """Answers clients' order requests; what happens is in the store afterwards."""

    def __init__(
        self, store: Store, desk: Desk, books: Books, accounts: Mapping[int, Account], instruments: list[Instrument],
        rng: Random,
    ) -> None:  # fmt: skip
        self._store, self._desk, self._books, self._accounts, self._rng = store, desk, books, accounts, rng
        self._by_contract = {i.contract_id: i for i in instruments}
        self._by_name = {i.name.lower(): i for i in instruments}

    def answer(self, endpoint: str, body: dict[str, Any]) -> Answer:
        """Status and data for a request to one of `ENDPOINTS`."""
        try:
            return 200, _VERBS[endpoint](self, body)
        except _RefusedError as refusal:
            return 200, {"failureReason": refusal.reason, "failureText": str(refusal)}
        except _MalformedError as problem:
            return 400, str(problem)

    def place(self, body: dict[str, Any]) -> dict[str, object]:
        """`PlaceOrder` to `PlaceOrderResult`."""
        side, qty = _side(body), _positive(body, "orderQty")
        account, instrument = self._account(body), self._instrument(body)
        terms = _terms(body, instrument)
        self._unlocked(account, instrument, side)
        if qty > MAX_QTY:
            return {"orderId": self._desk.refuse(account, instrument, side, qty)}
        order = Working(self._store.new_id(), account, instrument, side, qty, terms.order_type, terms.ticks)
        order.placed, order.terms, order.marks = True, terms.fields, _marks(body)
        self._desk.accept(order)
        self._match(order)
        return {"orderId": order.id}

    def modify(self, body: dict[str, Any]) -> dict[str, object]:
        """`ModifyOrder` to `CommandResult`; a world's own order becomes the client's."""
        qty, order = _positive(body, "orderQty"), self._order(body)
        terms = _terms(body, order.instrument)
        if qty <= order.filled:
            raise _RefusedError("TooLate", f"{order.filled} of the order are filled already")
        if qty > MAX_QTY:
            raise _RefusedError("MaxOrderQtyLimitReached", f"Order quantity {qty} exceeds the account's limit")
        order.placed, order.order_type, order.terms = True, terms.order_type, terms.fields
        order.marks = _marks(body)
        command = self._desk.modify(order, qty, terms.ticks)
        self._match(order)
        return {"commandId": command}

    def cancel(self, body: dict[str, Any]) -> dict[str, object]:
        """`CancelOrder` to `CommandResult`."""
        order = self._order(body)
        order.marks = _marks(body)
        return {"commandId": self._desk.cancel(order)}

    def liquidate(self, body: dict[str, Any]) -> dict[str, object]:
        """`LiquidatePosition` to `PlaceOrderResult`: cancels what works in the contract, then closes the position."""
        if not isinstance(body.get("admin"), bool):
            raise _MalformedError("admin is true or false")
        account, instrument = self._account(body), self._by_contract.get(_positive(body, "contractId"))
        if instrument is None:
            raise _RefusedError("InvalidContract", f"There is no contract {body['contractId']}")
        for order in list(self._desk.working.values()):
            if order.account.id == account.id and order.instrument is instrument:
                self._desk.cancel(order)
        net = self._books.net(account.id, instrument.contract_id)
        if not net:
            return {}
        side = SELL if net > 0 else BUY
        order = Working(self._store.new_id(), account, instrument, side, abs(net), "Market", None, placed=True)
        order.marks = _marks(body)
        self._desk.accept(order)
        self._match(order)
        return {"orderId": order.id}

    def _account(self, body: dict[str, Any]) -> Account:
        """By `accountId`, or by `accountSpec` (the account's name) where there is none."""
        number, spec = body.get("accountId"), body.get("accountSpec")
        if number is None and isinstance(spec, str):
            found = [n for n, e in self._store.table("account").items() if e.get("name") == spec]
            number = found[0] if found else 0
        if type(number) is not int:
            raise _MalformedError("accountId is an id")
        if number not in self._accounts:  # as the real service puts it
            raise _RefusedError("UnknownReason", "Access is denied")
        return self._accounts[number]

    def _instrument(self, body: dict[str, Any]) -> Instrument:
        """By `symbol`: a contract's name, or its id as text."""
        symbol = str(body.get("symbol", ""))
        if not symbol:
            raise _MalformedError("symbol is missing")
        named = self._by_name.get(symbol.lower())
        found = named or (self._by_contract.get(int(symbol)) if symbol.isdecimal() and len(symbol) < 19 else None)
        if found is None:
            raise _RefusedError("InvalidContract", f"There is no contract {symbol}")
        return found

    def _order(self, body: dict[str, Any]) -> Working:
        number = _positive(body, "orderId")
        if number in self._desk.working:
            return self._desk.working[number]
        entity = self._store.get("order", number)
        if entity is None:
            raise _RefusedError("UnknownReason", f"There is no order {number}")
        raise _RefusedError("TooLate", f"The order is {entity['ordStatus']}")

    def _unlocked(self, account: Account, instrument: Instrument, side: int) -> None:
        """The account's risk status may forbid trading, or what opens a position."""
        risk = self._store.get("accountRiskStatus", account.id) or {}
        reason = _LOCKS.get(str(risk.get("adminAction")))
        closing = side * self._books.net(account.id, instrument.contract_id) < 0
        if reason == "TradingLocked" or (reason == "LiquidationOnly" and not closing):
            raise _RefusedError(reason, f"The account is in the state {risk['adminAction']}")

    def _match(self, order: Working) -> None:
        """Fills at once what the market allows; what must be filled at once or never is cancelled else."""
        now = order.instrument.ticks
        limit = order.order_type == "Limit" and order.ticks is not None and order.side * (order.ticks - now) >= 0
        while order.left and (order.order_type == "Market" or limit):
            self._desk.fill(order, self._rng.randint(1, order.left), now)
        if order.left and order.terms.get("timeInForce") in ("IOC", "FOK"):
            self._desk.cancel(order)


def _side(body: dict[str, Any]) -> int:
    side = _SIDES.get(str(body.get("action")))
    if side is None:
        raise _MalformedError("action is Buy or Sell")
    return side


def _positive(body: dict[str, Any], name: str) -> int:
    value = body.get(name)
    if type(value) is not int or value < 1:
        raise _MalformedError(f"{name} is a positive integer")
    return value


def _terms(body: dict[str, Any], instrument: Instrument) -> _Terms:
    """Order type and prices.

    Raises:
        _RefusedError: a type that is not traded here, a price that is missing or no multiple of the tick size.
    """
    order_type = body.get("orderType")
    if not isinstance(order_type, str):
        raise _MalformedError("orderType is missing")
    if order_type not in _PRICES:
        raise _RefusedError("Unsupported", f"Orders of type {order_type} are not supported")
    ticks = None
    for name in _PRICES[order_type]:
        price = body.get(name)
        if not isinstance(price, (int, float)) or isinstance(price, bool) or not 0 < price < 1e9:
            raise _RefusedError("InvalidPrice", f"{order_type} orders need a {name}")
        ticks = round(price / instrument.tick_size)
        if abs(instrument.price(ticks) - price) > 1e-9 * price:
            raise _RefusedError("InvalidPrice", f"{name} is no multiple of the tick size {instrument.tick_size}")
    return _Terms(order_type, ticks, {"timeInForce": "Day", **_given(body, _TERMS)})


def _given(body: dict[str, Any], names: tuple[str, ...]) -> dict[str, object]:
    return {name: body[name] for name in names if body.get(name) is not None}


def _marks(body: dict[str, Any]) -> dict[str, object]:
    return {"isAutomated": False, **_given(body, _MARKS)}


_VERBS = {
    "order/placeorder": Orders.place, "order/modifyorder": Orders.modify, "order/cancelorder": Orders.cancel,
    "order/liquidateposition": Orders.liquidate,
}  # fmt: skip
ENDPOINTS = frozenset(_VERBS)
"""Paths in lower case."""
