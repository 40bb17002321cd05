"""Who and what is there when the world begins: reference data, users, accounts. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from bridge.simulator.store import Store
from bridge.simulator.values import DAY_MS, money, stamp, trade_date

USD = 1
OPENING_CENTS = 5_000_000
BRACKET = 2

# Account ids straddle 2^32, so that a client that computes a shard in 32 bits is found out.
_FIRST_ACCOUNT = (1 << 32) - 300
_FIRST_USER = 15_460


@dataclass(slots=True)
class Instrument:
    """A contract that is traded; prices are counted in ticks, money in cents."""

    contract_id: int
    name: str
    tick_size: float
    tick_cents: int
    margin_cents: int
    ticks: int

    def price(self, ticks: int) -> float:
        """The price that the API shows."""
        return ticks * self.tick_size


@dataclass(frozen=True, slots=True)
class Account:
    """A trading account and its holder."""

    id: int
    user_id: int
    cash_id: int


# name, exchange, contract group, tick size, cents a tick, margin in cents, ticks at the start, description
_PRODUCTS = (
    ("ES", 1, 1, 0.25, 1250, 1_320_000, 31_040, "E-Mini S&P 500"),
    ("MES", 1, 1, 0.25, 125, 132_000, 31_040, "Micro E-Mini S&P 500"),
    ("NQ", 1, 1, 0.25, 500, 1_870_000, 112_400, "E-Mini NASDAQ-100"),
    ("CL", 3, 2, 0.01, 1000, 640_000, 7_150, "Crude Oil"),
    ("GC", 4, 3, 0.1, 1000, 1_150_000, 26_800, "Gold"),
    ("ZB", 2, 4, 0.03125, 3125, 390_000, 3_712, "30-Year U.S. Treasury Bond"),
)
_EXCHANGES = ("CME", "CBOT", "NYMEX", "COMEX")
_GROUPS = ("Index Futures", "Energies", "Metals", "Interest Rate")


def reference_data(store: Store) -> list[Instrument]:
    """Currency, exchanges, products, maturities, contracts and the like."""
    store.put("currency", {"id": USD, "name": "USD", "symbol": "$"})
    for number, name in enumerate(_EXCHANGES, 1):
        store.put("exchange", {"id": number, "name": name, "micCode": f"X{name}", "timeZone": "America/Chicago"})
    for number, name in enumerate(_GROUPS, 1):
        store.put("contractGroup", {"id": number, "name": name})
    store.put("orderStrategyType", {"id": BRACKET, "name": "bracket", "enabled": True})
    store.put("property", {"id": 1, "name": "theme", "propertyType": "String", "defaultValue": "dark"})
    store.put("property", {"id": 2, "name": "alerts", "propertyType": "Boolean"})
    store.put("spreadDefinition", {"id": 71, "timestamp": store.now, "spreadType": "CalendarSpread", "uds": False})
    return [_instrument(store, number) for number in range(len(_PRODUCTS))]


def _instrument(store: Store, number: int) -> Instrument:
    name, exchange, group, tick_size, tick_cents, margin, ticks, text = _PRODUCTS[number]
    product, maturity, contract = 700 + number, 23_570 + number, 560_901 + number
    store.put(
        "product",
        {
            "id": product, "name": name, "currencyId": USD, "productType": "Futures", "description": text,
            "exchangeId": exchange, "contractGroupId": group, "status": "Verified",
            "valuePerPoint": tick_cents / tick_size / 100, "priceFormatType": "Decimal", "priceFormat": 2,
            "tickSize": tick_size, "isMicro": name.startswith("M"),
        },
    )  # fmt: skip
    expires = stamp((store.now_ms // DAY_MS + 60) * DAY_MS)
    store.put(
        "contractMaturity",
        {"id": maturity, "productId": product, "expirationMonth": 202612, "expirationDate": expires, "isFront": True},
    )
    store.put(
        "contract",
        {"id": contract, "name": f"{name}Z6", "contractMaturityId": maturity, "timestamp": store.now},
    )
    return Instrument(contract, f"{name}Z6", tick_size, tick_cents, margin, ticks)


def users_and_accounts(store: Store, rng: Random, count: int) -> list[Account]:
    """`count` accounts; a holder has one to three of them."""
    accounts: list[Account] = []
    user_id, account_id = _FIRST_USER, _FIRST_ACCOUNT
    while len(accounts) < count:
        user_id += rng.randint(1, 4)
        _user(store, user_id)
        for _ in range(min(rng.randint(1, 3), count - len(accounts))):
            account_id += rng.randint(1, 5)
            accounts.append(_account(store, account_id, user_id))
    return accounts


def _user(store: Store, user_id: int) -> None:
    name = f"trader{user_id}"
    store.put(
        "user",
        {
            "id": user_id, "name": name, "timestamp": store.now, "email": f"{name}@acme.example", "status": "Active",
            "professional": False, "organizationId": 88,
        },
        user_id=user_id,
    )  # fmt: skip
    store.put(
        "userProperty",
        {"id": 40_000 + user_id, "userId": user_id, "propertyId": 1, "value": "dark"},
        user_id=user_id,
    )
    store.put("userReadStatus", {"id": user_id, "newsStoryId": 9000 + user_id % 7}, user_id=user_id)
    if user_id % 3 == 0:
        _extras(store, user_id)


def _extras(store: Store, user_id: int) -> None:
    store.put(
        "userPlugin",
        {
            "id": 80_000 + user_id, "userId": user_id, "timestamp": store.now, "planPrice": 25.0,
            "pluginName": "replay", "approval": True, "startDate": trade_date(store.now_ms), "paidAmount": 25.0,
        },
        user_id=user_id,
    )  # fmt: skip
    store.put(
        "annualReview",
        {"id": 90_000 + user_id, "userId": user_id, "riskDisclosureNeeded": False, "archived": False, "status": "Open"},
        user_id=user_id,
    )
    store.put(
        "userPromoCode",
        {"id": 95_000 + user_id, "userId": user_id, "promoCodeId": 12, "source": "Input"},
        user_id=user_id,
    )
    store.put(
        "tradingPermission",
        {"id": 60_000 + user_id, "userId": user_id, "accountId": _FIRST_ACCOUNT, "status": "Approved"},
        user_id=user_id,
    )


def _account(store: Store, account_id: int, user_id: int) -> Account:
    cash_id = 300_000_000 + account_id % 100_000_000
    account = {
        "id": account_id, "name": f"SIM{account_id}", "userId": user_id, "accountType": "Customer", "active": True,
        "clearingHouseId": 2, "riskCategoryId": 3, "autoLiqProfileId": 4, "marginAccountType": "Speculator",
        "legalStatus": "Individual", "timestamp": store.now, "readonly": False,
    }  # fmt: skip
    store.put("account", account, account_id=account_id, user_id=user_id)
    opening = money(OPENING_CENTS)
    risk = {"id": account_id, "adminAction": "Normal", "maxNetLiq": opening, "minNetLiq": opening}
    store.put("accountRiskStatus", risk, account_id=account_id, user_id=user_id)
    store.put("marginSnapshot", margin_snapshot(store.now, account_id, 0), account_id=account_id, user_id=user_id)
    store.put("userAccountAutoLiq", auto_liq(account_id), account_id=account_id, user_id=user_id)
    cash = {
        "id": cash_id, "accountId": account_id, "timestamp": store.now, "tradeDate": trade_date(store.now_ms),
        "currencyId": USD, "amount": opening, "realizedPnL": 0.0, "weekRealizedPnL": 0.0, "amountSOD": opening,
    }  # fmt: skip
    store.put("cashBalance", cash, account_id=account_id, user_id=user_id)
    return Account(account_id, user_id, cash_id)


def auto_liq(account_id: int) -> dict[str, object]:
    """An account's liquidation settings; their id is the account's."""
    return {"id": account_id, "changesLocked": False, "dailyLossAutoLiq": 1500.0, "trailingMaxDrawdown": 2000.0}


def margin_snapshot(now: str, account_id: int, cents: int) -> dict[str, object]:
    """An account's margin; its id is the account's."""
    initial, maintenance = money(cents), money(cents * 9 // 10)
    return {
        "id": account_id, "timestamp": now, "riskTimePeriodId": 1, "initialMargin": initial,
        "maintenanceMargin": maintenance, "totalUsedMargin": initial, "fullInitialMargin": initial,
        "positionMargin": initial, "totalUsedFullMargin": initial,
    }  # fmt: skip
