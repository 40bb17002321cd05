"""The life of orders: opened, worked, filled in parts, modified, cancelled, refused. Pure.

Each method writes the burst of changes that the real service shows for it (protocol section 9.3), frame by frame.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bridge.simulator.books import Books
from bridge.simulator.population import BRACKET, Account, Instrument
from bridge.simulator.store import Store
from bridge.simulator.values import trade_date

CLEARING, EXCHANGE, NFA, COMMISSION = 10, 138, 2, 39  # fees in cents a contract
FEE = CLEARING + EXCHANGE + NFA + COMMISSION
BUY, SELL = 1, -1
_SIDES = {BUY: "Buy", SELL: "Sell"}


@dataclass(slots=True)
class Working:
    """An order that can still be filled; `ticks` is its limit or stop price, None at market.

    `placed` marks an order of a client: the world fills it, but does not change or cancel it. `terms` are the fields of
    its versions and `marks` those of its commands, as the client gave them.
    """

    id: int
    account: Account
    instrument: Instrument
    side: int
    qty: int
    order_type: str
    ticks: int | None
    filled: int = 0
    filled_ticks: int = 0
    strategy_id: int | None = None
    sibling_id: int | None = None
    placed: bool = False
    terms: dict[str, object] = field(default_factory=dict)
    marks: dict[str, object] = field(default_factory=dict)

    @property
    def left(self) -> int:
        """Contracts not yet filled."""
        return self.qty - self.filled


class Desk:
    """Takes orders and executes them."""

    def __init__(self, store: Store, books: Books) -> None:
        self._store = store
        self._books = books
        self.working: dict[int, Working] = {}

    def open(
        self, account: Account, instrument: Instrument, side: int, qty: int, order_type: str, ticks: int | None = None,
        *, order_id: int | None = None, sibling_id: int | None = None, strategy_id: int | None = None,
    ) -> Working:  # fmt: skip
        """Accepts an order: pending, passed by risk, at the exchange, working."""
        order = Working(order_id or self._store.new_id(), account, instrument, side, qty, order_type, ticks)
        order.sibling_id, order.strategy_id = sibling_id, strategy_id
        self.accept(order)
        return order

    def accept(self, order: Working) -> None:
        """Takes an order as it is and lets it work."""
        self._store.next_frame()
        self._submit(order)
        self._store.next_frame()
        for status in ("RiskPassed", "AtExecution"):
            self._report(order, order.id, status)
        self._store.update("command", order.id, commandStatus="AtExecution")
        self._execution(order, order.id, "New", "Working")
        self._store.update("order", order.id, ordStatus="Working", timestamp=self._store.now)
        self.working[order.id] = order

    def refuse(self, account: Account, instrument: Instrument, side: int, qty: int) -> int:
        """An order that risk rejects; its id."""
        order = Working(self._store.new_id(), account, instrument, side, qty, "Market", None)
        self._store.next_frame()
        self._submit(order)
        self._store.next_frame()
        self._report(
            order, order.id, "RiskRejected", rejectReason="MaxOrderQtyLimitReached",
            text=f"Order quantity {qty} exceeds the account's limit", ordStatus="Rejected",
        )  # fmt: skip
        self._store.update("command", order.id, commandStatus="RiskRejected")
        self._store.update("order", order.id, ordStatus="Rejected", timestamp=self._store.now)
        return order.id

    def fill(self, order: Working, qty: int, ticks: int) -> None:
        """Executes (part of) a working order at a price."""
        store = self._store
        fill_id = store.new_id()
        order.filled += qty
        order.filled_ticks += qty * ticks
        status = "Working" if order.left else "Filled"
        store.next_frame()
        price = order.instrument.price(ticks)
        self._execution(order, order.id, "Trade", status, lastQty=qty, lastPx=price)
        self._put(order, "fill", {
            "id": fill_id, "orderId": order.id, "contractId": order.instrument.contract_id, "timestamp": store.now,
            "tradeDate": trade_date(store.now_ms), "action": _SIDES[order.side], "qty": qty, "price": price,
            "active": True, "finallyPaired": 0, "external": False,
        })  # fmt: skip
        self._put(order, "fillFee", {
            "id": fill_id, "clearingFee": CLEARING * qty / 100, "clearingCurrencyId": 1,
            "exchangeFee": EXCHANGE * qty / 100, "exchangeCurrencyId": 1, "nfaFee": NFA * qty / 100,
            "nfaCurrencyId": 1, "commission": COMMISSION * qty / 100, "commissionCurrencyId": 1,
        })  # fmt: skip
        store.update("order", order.id, ordStatus=status, timestamp=store.now)
        store.next_frame()
        self._books.apply(order.account, order.instrument, fill_id, order.side * qty, ticks, FEE * qty)
        if not order.left:
            self._leave(order)

    def modify(self, order: Working, qty: int, ticks: int | None) -> int:
        """Replaces quantity and price of a working order by a command of its own; the command's id."""
        order.qty, order.ticks = qty, ticks
        self._store.next_frame()
        command = self._command(order, self._store.new_id(), "Modify")
        self._version(order, command)
        self._finish(order, command, "Replaced", "Working")
        self._store.update("order", order.id, timestamp=self._store.now)
        return command

    def cancel(self, order: Working) -> int:
        """Cancels what is left of a working order; the command's id."""
        self._store.next_frame()
        command = self._command(order, self._store.new_id(), "Cancel")
        self._finish(order, command, "Canceled", "Canceled")
        self._store.update("order", order.id, ordStatus="Canceled", timestamp=self._store.now)
        del self.working[order.id]
        return command

    def bracket(self, account: Account, instrument: Instrument, side: int, qty: int) -> None:
        """A market entry with a target and a stop, of which the first to fill cancels the other."""
        store = self._store
        strategy_id, ticks = store.new_id(), instrument.ticks
        store.next_frame()
        store.put(
            "orderStrategy",
            {
                "id": strategy_id, "accountId": account.id, "timestamp": store.now,
                "contractId": instrument.contract_id, "orderStrategyTypeId": BRACKET, "action": _SIDES[side],
                "status": "ActiveStrategy", "archived": False,
            },
            account_id=account.id, user_id=account.user_id,
        )  # fmt: skip
        entry = self.open(account, instrument, side, qty, "Market", strategy_id=strategy_id)
        self._link(entry, strategy_id, "entry")
        self.fill(entry, qty, ticks)
        target_id, stop_id = store.new_id(), store.new_id()
        legs = ((target_id, stop_id, "Limit", 20, "target"), (stop_id, target_id, "Stop", -20, "stop"))
        for order_id, sibling, kind, distance, label in legs:
            leg = self.open(
                account, instrument, -side, qty, kind, ticks + side * distance,
                order_id=order_id, sibling_id=sibling, strategy_id=strategy_id,
            )  # fmt: skip
            self._link(leg, strategy_id, label)

    def clear(self) -> None:
        """Forgets all working orders, at the session roll."""
        self.working.clear()

    def _leave(self, order: Working) -> None:
        self.working.pop(order.id, None)
        sibling = self.working.get(order.sibling_id) if order.sibling_id else None
        if sibling is None:
            return
        self.cancel(sibling)
        if order.strategy_id is not None:
            self._store.update("orderStrategy", order.strategy_id, status="ExecutionFinished")

    def _submit(self, order: Working) -> None:
        entity = {
            "id": order.id, "accountId": order.account.id, "contractId": order.instrument.contract_id,
            "timestamp": self._store.now, "action": _SIDES[order.side], "ordStatus": "PendingNew",
            "executionProviderId": 3, "archived": False, "external": False, "admin": False,
        }  # fmt: skip
        if order.sibling_id is not None:
            entity["ocoId"] = order.sibling_id
        self._put(order, "order", entity)
        self._command(order, order.id, "New")
        self._version(order, order.id)

    def _command(self, order: Working, command_id: int, kind: str) -> int:
        self._put(order, "command", {
            "id": command_id, "orderId": order.id, "timestamp": self._store.now, "commandType": kind,
            "commandStatus": "Pending", "clOrdId": f"c{command_id}", "senderId": order.account.user_id,
            "isAutomated": True, **order.marks,
        })  # fmt: skip
        return command_id

    def _version(self, order: Working, version_id: int) -> None:
        version = {
            "id": version_id, "orderId": order.id, "orderQty": order.qty, "orderType": order.order_type,
            "timeInForce": "Day", **order.terms,
        }  # fmt: skip
        if order.ticks is not None and not order.terms:
            field = "stopPrice" if order.order_type.startswith(("Stop", "Trailing")) else "price"
            version[field] = order.instrument.price(order.ticks)
        self._put(order, "orderVersion", version)

    def _finish(self, order: Working, command_id: int, exec_type: str, status: str) -> None:
        self._store.next_frame()
        for state in ("RiskPassed", "AtExecution"):
            self._report(order, command_id, state)
        self._store.update("command", command_id, commandStatus="AtExecution")
        self._execution(order, command_id, exec_type, status)

    def _report(self, order: Working, command_id: int, status: str, **extra: object) -> None:
        report = {
            "id": self._store.new_id(), "commandId": command_id, "timestamp": self._store.now,
            "commandStatus": status, **extra,
        }  # fmt: skip
        self._put(order, "commandReport", report)

    def _execution(self, order: Working, command_id: int, exec_type: str, status: str, **extra: object) -> None:
        number = self._store.new_id()
        report = {
            "id": number, "commandId": command_id, "name": f"{order.instrument.name} {exec_type}",
            "accountId": order.account.id, "contractId": order.instrument.contract_id, "timestamp": self._store.now,
            "tradeDate": trade_date(self._store.now_ms), "orderId": order.id, "execType": exec_type,
            "ordStatus": status, "action": _SIDES[order.side], "execRefId": f"x{number}", "cumQty": order.filled,
            **extra,
        }  # fmt: skip
        if order.filled:
            report["avgPx"] = order.instrument.price(order.filled_ticks) / order.filled
        self._put(order, "executionReport", report)

    def _link(self, order: Working, strategy_id: int, label: str) -> None:
        link = {"id": self._store.new_id(), "orderStrategyId": strategy_id, "orderId": order.id, "label": label}
        self._put(order, "orderStrategyLink", link)

    def _put(self, order: Working, entity_type: str, entity: dict[str, object]) -> None:
        self._store.put(entity_type, entity, account_id=order.account.id, user_id=order.account.user_id)
