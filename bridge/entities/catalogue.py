"""The entity types of the broker: one row per type.

Names, lists and ownership paths are those of protocol sections 8 and 13.1; `schemas/entities.json` holds the
fields of the same types, and a test holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Final


class Lifecycle(Enum):
    """What it means that an entity is absent from a snapshot that lists its type."""

    ENTITY = "entity"
    """It was deleted."""
    SESSION = "session"
    """It was archived by the session roll at 16:00 Central, or deleted."""
    REFERENCE = "reference"
    """Nothing: reference data is kept."""
    STREAM = "stream"
    """Nothing: no snapshot list exists for the type, absence cannot be seen."""


class Expression(StrEnum):
    """Whose id decides the shard of an entity (protocol section 13, `expressionType`)."""

    ACCOUNT = "modAccountId"
    USER = "modUserId"


Hop = tuple[str, str]
"""A field of an entity, and the entity type whose id that field holds."""
Join = tuple[Hop, ...]
"""Hops followed left to right from an entity to the account or user that owns it."""


@dataclass(frozen=True, slots=True)
class EntityType:
    """One entity type.

    Attributes:
        name: wire name (`entityType` of a props event), also topic suffix and schema file name.
        list_name: its list in a snapshot (protocol section 8), None where no list is known.
        lifecycle: what absence means while the type has an owner; see `lifecycle` for the one in force.
        account_join: path to the owning account, None if there is none.
        user_join: path to the owning user (the account's holder for trading data), None if there is none.
        time_field: the field that holds the entity's own time, None if it has none.
    """

    name: str
    list_name: str | None
    lifecycle: Lifecycle
    account_join: Join | None
    user_join: Join | None
    time_field: str | None


IS_ACCOUNT: Final[Join] = (("id", "account"),)
BY_ACCOUNT: Final[Join] = (("accountId", "account"),)
BY_ORDER: Final[Join] = (("orderId", "order"), *BY_ACCOUNT)
BY_COMMAND: Final[Join] = (("commandId", "command"), *BY_ORDER)
BY_FILL: Final[Join] = (("id", "fill"), *BY_ORDER)
BY_POSITION: Final[Join] = (("positionId", "position"), *BY_ACCOUNT)
BY_STRATEGY: Final[Join] = (("orderStrategyId", "orderStrategy"), *BY_ACCOUNT)
BY_LIMIT: Final[Join] = (("userAccountPositionLimitId", "userAccountPositionLimit"), *BY_ACCOUNT)
IS_USER: Final[Join] = (("id", "user"),)
BY_USER: Final[Join] = (("userId", "user"),)
BY_ALERT: Final[Join] = (("alertId", "alert"), *BY_USER)
BY_CHAT: Final[Join] = (("chatId", "chat"), *BY_USER)


def _account(name: str, list_name: str | None, lifecycle: Lifecycle, path: Join, *, timed: bool = False) -> EntityType:
    """A type that belongs to an account, and by it to the account's holder."""
    return EntityType(name, list_name, lifecycle, path, (*path, *BY_USER), "timestamp" if timed else None)


def _user(name: str, list_name: str | None, lifecycle: Lifecycle, path: Join, *, timed: bool = False) -> EntityType:
    """A type that belongs to a user and to no account."""
    return EntityType(name, list_name, lifecycle, None, path, "timestamp" if timed else None)


def _shared(name: str, list_name: str | None, lifecycle: Lifecycle, *, timed: bool = False) -> EntityType:
    """A type that belongs to nobody."""
    return EntityType(name, list_name, lifecycle, None, None, "timestamp" if timed else None)


ENTITY, SESSION, REFERENCE, STREAM = Lifecycle.ENTITY, Lifecycle.SESSION, Lifecycle.REFERENCE, Lifecycle.STREAM

_ROWS: Final = (
    _user("user", "users", ENTITY, IS_USER, timed=True),
    _user("userProperty", "userProperties", ENTITY, BY_USER),
    _shared("property", "properties", REFERENCE),
    EntityType("account", "accounts", ENTITY, IS_ACCOUNT, BY_USER, "timestamp"),
    _account("accountRiskStatus", "accountRiskStatuses", ENTITY, IS_ACCOUNT),
    _account("marginSnapshot", "marginSnapshots", ENTITY, IS_ACCOUNT, timed=True),
    _account("userAccountAutoLiq", "userAccountAutoLiqs", ENTITY, IS_ACCOUNT),
    _account("cashBalance", "cashBalances", ENTITY, BY_ACCOUNT, timed=True),
    _shared("currency", "currencies", REFERENCE),
    _account("position", "positions", ENTITY, BY_ACCOUNT, timed=True),
    _account("fillPair", "fillPairs", SESSION, BY_POSITION),
    _account("order", "orders", SESSION, BY_ACCOUNT, timed=True),
    _shared("contract", "contracts", REFERENCE, timed=True),
    _shared("contractMaturity", "contractMaturities", REFERENCE),
    _shared("product", "products", REFERENCE),
    _shared("exchange", "exchanges", REFERENCE),
    _shared("spreadDefinition", "spreadDefinitions", REFERENCE, timed=True),
    _account("command", "commands", SESSION, BY_ORDER, timed=True),
    _account("commandReport", "commandReports", SESSION, BY_COMMAND, timed=True),
    _account("executionReport", "executionReports", SESSION, BY_ACCOUNT, timed=True),
    _account("orderVersion", "orderVersions", SESSION, BY_ORDER),
    _account("fill", "fills", SESSION, BY_ORDER, timed=True),
    _account("fillFee", "fillFees", SESSION, BY_FILL),
    _account("orderStrategy", "orderStrategies", SESSION, BY_ACCOUNT, timed=True),
    _account("orderStrategyLink", "orderStrategyLinks", SESSION, BY_STRATEGY),
    _user("userPlugin", "userPlugins", ENTITY, BY_USER, timed=True),
    _user("annualReview", "annualReviews", ENTITY, BY_USER),
    _user("userReadStatus", "userReadStatuses", ENTITY, IS_USER),
    _user("userPromoCode", "userPromoCodes", ENTITY, BY_USER),
    _shared("contractGroup", "contractGroups", REFERENCE),
    _shared("orderStrategyType", "orderStrategyTypes", REFERENCE),
    EntityType("tradingPermission", None, STREAM, BY_ACCOUNT, BY_USER, None),
    _user("marketDataSubscription", None, STREAM, BY_USER, timed=True),
    _user("tradovateSubscription", None, STREAM, BY_USER, timed=True),
    _user("secondMarketDataSubscription", None, STREAM, BY_USER, timed=True),
    _user("contactInfo", None, STREAM, BY_USER),
    _user("pOAContact", None, STREAM, BY_USER, timed=True),
    _shared("organization", None, STREAM),
    _shared("clearingHouse", None, STREAM),
    _shared("workspaceTemplate", None, STREAM),
    _user("userSession", None, STREAM, BY_USER),
    _user("userSessionStats", None, STREAM, IS_USER),
    _account("cashBalanceLog", None, STREAM, BY_ACCOUNT, timed=True),
    _shared("contractMargin", None, STREAM, timed=True),
    _shared("productMargin", None, STREAM, timed=True),
    _account("permissionedAccountAutoLiq", None, STREAM, IS_ACCOUNT),
    _account("userAccountPositionLimit", None, STREAM, BY_ACCOUNT),
    _account("userAccountRiskParameter", None, STREAM, BY_LIMIT),
    _shared("adminAlert", None, STREAM, timed=True),
    _shared("adminAlertSignal", None, STREAM, timed=True),
    _shared("OtherEnvAdminAlertSignal", None, STREAM),
    _user("alert", None, STREAM, BY_USER, timed=True),
    _user("alertSignal", None, STREAM, BY_ALERT, timed=True),
    _shared("currencyRate", None, STREAM, timed=True),
    _shared("productSession", None, STREAM),
    _shared("entitlement", None, STREAM),
    _shared("marketDataSubscriptionExchangeScope", None, STREAM),
    _shared("marketDataSubscriptionPlan", None, STREAM),
    _shared("tradovateSubscriptionPlan", None, STREAM),
    _user("chat", None, STREAM, BY_USER, timed=True),
    _user("chatMessage", None, STREAM, BY_CHAT, timed=True),
)

CATALOGUE: Final[Mapping[str, EntityType]] = MappingProxyType({row.name: row for row in _ROWS})
"""Every known entity type by its wire name."""
BY_LIST: Final[Mapping[str, EntityType]] = MappingProxyType({row.list_name: row for row in _ROWS if row.list_name})
"""The types of a snapshot by the name of their list."""
SNAPSHOT_TYPES: Final[tuple[str, ...]] = tuple(row.name for row in _ROWS if row.list_name)
"""The types a snapshot lists, in the order of its lists."""


def join(name: str, expression: str) -> Join | None:
    """The path from an entity of a type to its owner under a sharding expression; None for unknown types.

    Raises:
        ValueError: `expression` is none of `Expression`.
    """
    row = CATALOGUE.get(name)
    by_account = Expression(expression) is Expression.ACCOUNT
    return None if row is None else row.account_join if by_account else row.user_join


def lifecycle(name: str, expression: str) -> Lifecycle:
    """What absence of an entity means when sockets are sharded by `expression`.

    A type without an owner under the expression in force arrives on any number of shards (protocol section 13), so
    that its absence on one shard says nothing: reference. Types that are not in the catalogue are streams.

    Raises:
        ValueError: `expression` is none of `Expression`.
    """
    path, row = join(name, expression), CATALOGUE.get(name)
    if row is None or row.lifecycle is Lifecycle.STREAM:
        return Lifecycle.STREAM
    return row.lifecycle if path else Lifecycle.REFERENCE


def type_of_list(list_name: str) -> str:
    """The entity type of a snapshot list: by table, else by the vendor's rule (protocol section 8)."""
    if row := BY_LIST.get(list_name):
        return row.name
    if list_name.endswith("ses"):
        return list_name[:-2]
    stem = list_name.removesuffix("s")
    return stem[:-2] + "y" if stem.endswith("ie") and stem != list_name else stem


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that a misspelt one most probably means, None if nothing is near; case counts for nothing."""
    folded = {candidate.casefold(): candidate for candidate in known}
    found = get_close_matches(name.casefold(), folded, n=1, cutoff=0.7)
    return folded[found[0]] if found else None
