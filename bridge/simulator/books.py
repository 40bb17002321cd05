"""What fills do to an account: positions, pairs, cash, margin, risk. Pure; ticks and cents are integers throughout."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from bridge.simulator.population import OPENING_CENTS, Account, Instrument, margin_snapshot
from bridge.simulator.store import Store
from bridge.simulator.values import money, trade_date


@dataclass(slots=True)
class Lot:
    """What is left of a fill that opened (part of) a position; `qty` is negative for a sale."""

    fill_id: int
    qty: int
    ticks: int


@dataclass(slots=True)
class Holding:
    """A position in one contract, with its open lots, first in first out."""

    position_id: int
    instrument: Instrument
    previous: int = 0
    bought: int = 0
    bought_ticks: int = 0
    sold: int = 0
    sold_ticks: int = 0
    lots: deque[Lot] = field(default_factory=deque)

    @property
    def net(self) -> int:
        """Contracts held, negative when short."""
        return self.previous + self.bought - self.sold


@dataclass(slots=True)
class Purse:
    """An account's money in cents."""

    start_of_day: int = OPENING_CENTS
    pnl: int = 0
    week_pnl: int = 0
    fees: int = 0
    highest: int = OPENING_CENTS
    lowest: int = OPENING_CENTS

    @property
    def amount(self) -> int:
        """The balance."""
        return self.start_of_day + self.pnl - self.fees


class Books:
    """Keeps holdings and purses of all accounts and writes their entities."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._holdings: dict[tuple[int, int], Holding] = {}
        self._of_account: dict[int, set[int]] = {}
        self._purses: dict[int, Purse] = {}

    def net(self, account_id: int, contract_id: int) -> int:
        """Contracts that an account holds."""
        holding = self._holdings.get((account_id, contract_id))
        return holding.net if holding else 0

    def apply(self, account: Account, instrument: Instrument, fill_id: int, qty: int, ticks: int, fee: int) -> None:
        """Books one fill.

        Args:
            account: whose fill it is.
            instrument: what was traded.
            fill_id: the fill's id.
            qty: contracts, negative for a sale.
            ticks: price in ticks.
            fee: fees of the whole fill in cents.
        """
        holding = self._holding(account, instrument)
        if qty > 0:
            holding.bought += qty
            holding.bought_ticks += qty * ticks
        else:
            holding.sold -= qty
            holding.sold_ticks -= qty * ticks
        pnl = self._pair(account, holding, Lot(fill_id, qty, ticks)) * instrument.tick_cents
        self._write_position(account, holding)
        self._write_cash(account, pnl, fee)
        self._write_margin(account)

    def roll(self, account: Account) -> None:
        """Begins a new trading session for an account: counters restart, balances carry over."""
        purse = self._purses.get(account.id)
        if purse is not None:
            purse.start_of_day, purse.pnl, purse.fees = purse.amount, 0, 0
            self._write_cash(account, 0, 0)
        for contract_id in sorted(self._of_account.get(account.id, ())):
            holding = self._holdings[account.id, contract_id]
            holding.previous = holding.net
            holding.bought = holding.bought_ticks = holding.sold = holding.sold_ticks = 0
            self._write_position(account, holding)

    def _holding(self, account: Account, instrument: Instrument) -> Holding:
        key = (account.id, instrument.contract_id)
        if key not in self._holdings:
            self._holdings[key] = Holding(self._store.new_id(), instrument)
            self._of_account.setdefault(account.id, set()).add(instrument.contract_id)
        return self._holdings[key]

    def _pair(self, account: Account, holding: Holding, new: Lot) -> int:
        """Pairs a fill with the open lots of the other side; the profit in ticks."""
        profit = 0
        while new.qty and holding.lots and (holding.lots[0].qty > 0) != (new.qty > 0):
            old = holding.lots[0]
            qty = min(abs(old.qty), abs(new.qty))
            buy, sell = (new, old) if new.qty > 0 else (old, new)
            profit += (sell.ticks - buy.ticks) * qty
            self._write_pair(account, holding, buy, sell, qty)
            for lot in (old, new):
                lot.qty -= qty if lot.qty > 0 else -qty
                self._paired(lot.fill_id, qty)
            if not old.qty:
                holding.lots.popleft()
        if new.qty:
            holding.lots.append(new)
        return profit

    def _paired(self, fill_id: int, qty: int) -> None:
        fill = self._store.get("fill", fill_id)
        if fill is not None:  # a lot may be older than the session; its fill is archived then
            self._store.update("fill", fill_id, finallyPaired=fill["finallyPaired"] + qty)

    def _write_pair(self, account: Account, holding: Holding, buy: Lot, sell: Lot, qty: int) -> None:
        pair = {
            "id": self._store.new_id(), "positionId": holding.position_id, "buyFillId": buy.fill_id,
            "sellFillId": sell.fill_id, "qty": qty, "buyPrice": holding.instrument.price(buy.ticks),
            "sellPrice": holding.instrument.price(sell.ticks), "active": True,
        }  # fmt: skip
        self._store.put("fillPair", pair, account_id=account.id, user_id=account.user_id)

    def _write_position(self, account: Account, holding: Holding) -> None:
        instrument = holding.instrument
        position = {
            "id": holding.position_id, "accountId": account.id, "contractId": instrument.contract_id,
            "timestamp": self._store.now, "tradeDate": trade_date(self._store.now_ms), "netPos": holding.net,
            "bought": holding.bought, "boughtValue": instrument.price(holding.bought_ticks),
            "sold": holding.sold, "soldValue": instrument.price(holding.sold_ticks), "prevPos": holding.previous,
        }  # fmt: skip
        if holding.net:
            cost = sum(lot.qty * lot.ticks for lot in holding.lots)
            position["netPrice"] = instrument.price(cost) / holding.net
        self._store.put("position", position, account_id=account.id, user_id=account.user_id)

    def _write_cash(self, account: Account, pnl: int, fee: int) -> None:
        purse = self._purses.setdefault(account.id, Purse())
        purse.pnl += pnl
        purse.week_pnl += pnl
        purse.fees += fee
        self._store.update(
            "cashBalance", account.cash_id, timestamp=self._store.now, tradeDate=trade_date(self._store.now_ms),
            amount=money(purse.amount), realizedPnL=money(purse.pnl), weekRealizedPnL=money(purse.week_pnl),
            amountSOD=money(purse.start_of_day),
        )  # fmt: skip
        if not purse.lowest <= purse.amount <= purse.highest:
            purse.lowest, purse.highest = min(purse.lowest, purse.amount), max(purse.highest, purse.amount)
            self._store.update(
                "accountRiskStatus", account.id, maxNetLiq=money(purse.highest), minNetLiq=money(purse.lowest),
                maxNetLiqTimestamp=self._store.now,
            )  # fmt: skip

    def _write_margin(self, account: Account) -> None:
        cents = sum(
            abs(h.net) * h.instrument.margin_cents
            for h in (self._holdings[account.id, c] for c in self._of_account[account.id])
        )
        entity = margin_snapshot(self._store.now, account.id, cents)
        self._store.put("marginSnapshot", entity, account_id=account.id, user_id=account.user_id)
