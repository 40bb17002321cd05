"""The world: accounts that trade. Pure: seeded, and told the time, so that the same calls give the same world."""

from __future__ import annotations

from random import Random
from typing import Any

import orjson

from bridge.simulator.books import Books
from bridge.simulator.catalogue import TYPES
from bridge.simulator.checks import problems
from bridge.simulator.desk import BUY, SELL, Desk, Working
from bridge.simulator.options import Options
from bridge.simulator.orders import Answer, Orders
from bridge.simulator.population import Account, Instrument, auto_liq, reference_data, users_and_accounts
from bridge.simulator.store import Change, Store

Burst = list[list[Change]]
"""The changes of one trading step, frame by frame, in the order in which they happened."""

MAX_POSITION = 20
MAX_WORKING = 400
_KINDS = ("Limit", "Stop", "StopLimit", "MIT", "LimitIfTouched", "TrailingStop")


class World:
    """All entities of the simulated broker and what happens to them.

    Args:
        options: the switches; of these the world uses seed, accounts, deletes and the quirks of entities.
        now_ms: the present, epoch milliseconds.
    """

    def __init__(self, options: Options, now_ms: int) -> None:
        self._rng = Random(options.seed)
        self.store = Store(self._rng, options)
        self.store.now_ms = now_ms
        self.instruments: list[Instrument] = reference_data(self.store)
        self.accounts: list[Account] = users_and_accounts(self.store, self._rng, options.accounts)
        self._by_id = {account.id: account for account in self.accounts}
        self._books = Books(self.store)
        self.desk = Desk(self.store, self._books)
        self._orders = Orders(self.store, self.desk, self._books, self._by_id, self.instruments, self._rng)
        self.beginning: Burst = self.store.take()

    def set_options(self, options: Options) -> None:
        """Other quirks for what changes from now on."""
        self.store.options = options

    def step(self, now_ms: int) -> Burst:
        """Lets one thing happen: an order, what becomes of one, now and then a deletion."""
        self.store.now_ms = now_ms
        rng = self._rng
        account, instrument = rng.choice(self.accounts), rng.choice(self.instruments)
        instrument.ticks = max(100, instrument.ticks + rng.randint(-3, 3))
        choice = rng.random()
        if choice < self.store.options.deletes:
            self._settings(account)
        elif self.desk.working and (choice > 0.55 or len(self.desk.working) > MAX_WORKING):
            self._work(rng.choice(list(self.desk.working.values())))
        else:
            self._trade(account, instrument, choice)
        if self.store.options.unknown_types and choice > 0.9:
            self._thing(account)
        return self._ordered(self.store.take())

    def roll(self, now_ms: int) -> tuple[list[Change], Burst]:
        """The session roll: session entities are archived without a word, balances carry over.

        Returns:
            The archived entities, and the burst of updates that clients see.
        """
        self.store.now_ms = now_ms
        self.desk.clear()
        archived = [change for t in TYPES.values() if t.session for change in self.store.archive(t.name)]
        for account in self.accounts:
            self.store.next_frame()
            self._books.roll(account)
        return archived, self.store.take()

    def place(self, now_ms: int, entity_type: str, event: str, entity: dict[str, object]) -> Burst:
        """Puts an entity of the caller's making into the world, as if it had happened there; no invariant covers it.

        Its owner is the account it is or names, else the owner that the entity has already.

        Raises:
            ValueError: the entity has no integer id, or one that is to be deleted is not there.
        """
        number, account_id = entity.get("id"), entity.get("accountId")
        if type(number) is not int:
            raise ValueError("an entity needs an integer id")
        self.store.now_ms = now_ms
        self.store.placed.add((entity_type, number))
        if event == "Deleted":
            if self.store.get(entity_type, number) is None:
                raise ValueError(f"there is no {entity_type} {number}")
            self.store.delete(entity_type, number)
            return self.store.take()
        owner = self.store.latest("account", account_id) if isinstance(account_id, int) else None
        origin = owner or self.store.latest(entity_type, number)
        owner_id, user_id = (origin.account_id, origin.user_id) if origin else (None, None)
        if entity_type == "account":
            holder = entity.get("userId", user_id)
            owner_id, user_id = number, holder if isinstance(holder, int) else None
        self.store.put(entity_type, dict(entity), account_id=owner_id, user_id=user_id)
        return self.store.take()

    def order(self, now_ms: int, endpoint: str, body: dict[str, Any]) -> tuple[Answer, Burst]:
        """A client's order, modification, cancellation or liquidation: the answer, and what it made happen."""
        self.store.now_ms = now_ms
        answer = self._orders.answer(endpoint, body)
        return answer, self._ordered(self.store.take())

    def adopt(self, now_ms: int, change: Change) -> Burst:
        """Puts a version that was made elsewhere into the world, content as it is."""
        self.store.now_ms = now_ms
        self.store.put(
            change.entity_type, orjson.loads(change.json), account_id=change.account_id, user_id=change.user_id,
            content=change.json,
        )  # fmt: skip
        return self.store.take()

    def check(self) -> list[str]:
        """Sentences about invariants that do not hold; none if all is well."""
        return problems(self.store)

    def _trade(self, account: Account, instrument: Instrument, choice: float) -> None:
        rng = self._rng
        side, qty = self._side(account, instrument), rng.randint(1, 5)
        if choice < 0.06:
            self.desk.refuse(account, instrument, side, 100 + qty)
        elif choice < 0.10:
            self.desk.bracket(account, instrument, side, qty)
        elif choice < 0.35:
            order = self.desk.open(account, instrument, side, qty, "Market")
            while order.left:
                self.desk.fill(order, rng.randint(1, order.left), instrument.ticks + rng.randint(-1, 1))
        else:
            distance = -side * rng.randint(1, 8)
            self.desk.open(account, instrument, side, qty, rng.choice(_KINDS), instrument.ticks + distance)

    def _work(self, order: Working) -> None:
        rng = self._rng
        what = rng.random()
        if what < 0.5 or order.placed:
            self.desk.fill(order, rng.randint(1, order.left), order.ticks or order.instrument.ticks)
        elif what < 0.7 and order.ticks is not None:
            self.desk.modify(order, order.filled + rng.randint(1, 5), order.ticks + rng.randint(-4, 4))
        else:
            self.desk.cancel(order)

    def _side(self, account: Account, instrument: Instrument) -> int:
        net = self._books.net(account.id, instrument.contract_id)
        if abs(net) > MAX_POSITION:
            return SELL if net > 0 else BUY
        return self._rng.choice((BUY, SELL))

    def _settings(self, account: Account) -> None:
        """Deletes or re-creates an account's liquidation settings, or a user's property."""
        store, user_id = self.store, account.user_id
        if self._rng.random() < 0.5:
            if store.get("userAccountAutoLiq", account.id):
                store.delete("userAccountAutoLiq", account.id)
            else:
                store.put("userAccountAutoLiq", auto_liq(account.id), account_id=account.id, user_id=user_id)
        elif store.get("userProperty", 40_000 + user_id):
            store.delete("userProperty", 40_000 + user_id)
        else:
            entity = {"id": 40_000 + user_id, "userId": user_id, "propertyId": 1, "value": store.now}
            store.put("userProperty", entity, user_id=user_id)

    def _thing(self, account: Account) -> None:
        thing = {"id": account.id, "accountId": account.id, "mood": self._rng.choice(("calm", "brisk"))}
        self.store.put("simThing", thing, account_id=account.id, user_id=account.user_id)

    def _ordered(self, burst: Burst) -> Burst:
        """Under `fill_before_order`, what was created once in this burst goes ahead of the rest.

        Within one entity the order stays: only keys with a single version in the burst move.
        """
        if not self.store.options.fill_before_order:
            return burst
        flat = [change for frame in burst for change in frame]
        early = {"fill", "fillFee", "commandReport", "executionReport", "orderVersion"}
        seen: dict[tuple[str, int], int] = {}
        for change in flat:
            seen[change.entity_type, change.id] = seen.get((change.entity_type, change.id), 0) + 1
        first = [c for c in flat if c.entity_type in early and seen[c.entity_type, c.id] == 1]
        moved = {change.number for change in first}
        return [f for f in [first, *([c for c in frame if c.number not in moved] for frame in burst)] if f]
