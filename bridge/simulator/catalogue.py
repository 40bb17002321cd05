"""The simulator's own table of entity types: names on the wire, masters, owners.

Written apart from the bridge's catalogue on purpose: a mistake in one must not be repeated in the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Owner = Literal["account", "user", "none"]


@dataclass(frozen=True, slots=True)
class EntityType:
    """One entity type.

    Attributes:
        name: as in `entityType` and in REST paths.
        list_name: name of its list in the snapshot.
        owner: whose id decides the shard.
        master: field that names the parent entity, for `deps` requests.
        session: archived at the session roll.
        documented: its list is part of the published snapshot.
    """

    name: str
    list_name: str
    owner: Owner
    master: str | None = None
    session: bool = False
    documented: bool = True


_TABLE = (
    EntityType("user", "users", "user"),
    EntityType("userProperty", "userProperties", "user", "userId"),
    EntityType("property", "properties", "none"),
    EntityType("account", "accounts", "account", "userId"),
    EntityType("accountRiskStatus", "accountRiskStatuses", "account", "id"),
    EntityType("marginSnapshot", "marginSnapshots", "account", "id"),
    EntityType("userAccountAutoLiq", "userAccountAutoLiqs", "account", "id"),
    EntityType("cashBalance", "cashBalances", "account", "accountId"),
    EntityType("currency", "currencies", "none"),
    EntityType("position", "positions", "account", "accountId"),
    EntityType("fillPair", "fillPairs", "account", "positionId", session=True),
    EntityType("order", "orders", "account", "accountId", session=True),
    EntityType("contract", "contracts", "none", "contractMaturityId"),
    EntityType("contractMaturity", "contractMaturities", "none", "productId"),
    EntityType("product", "products", "none"),
    EntityType("exchange", "exchanges", "none"),
    EntityType("spreadDefinition", "spreadDefinitions", "none"),
    EntityType("command", "commands", "account", "orderId", session=True),
    EntityType("commandReport", "commandReports", "account", "commandId", session=True),
    EntityType("executionReport", "executionReports", "account", "commandId", session=True),
    EntityType("orderVersion", "orderVersions", "account", "orderId", session=True),
    EntityType("fill", "fills", "account", "orderId", session=True),
    EntityType("fillFee", "fillFees", "account", "id", session=True),
    EntityType("orderStrategy", "orderStrategies", "account", "accountId", session=True),
    EntityType("orderStrategyLink", "orderStrategyLinks", "account", "orderStrategyId", session=True),
    EntityType("userPlugin", "userPlugins", "user", "userId"),
    EntityType("annualReview", "annualReviews", "user", "userId"),
    EntityType("userReadStatus", "userReadStatuses", "user", "id"),
    EntityType("userPromoCode", "userPromoCodes", "user", "userId"),
    EntityType("contractGroup", "contractGroups", "none"),
    EntityType("orderStrategyType", "orderStrategyTypes", "none"),
    EntityType("tradingPermission", "tradingPermissions", "user", "userId", documented=False),
    EntityType("simThing", "simThings", "account", "accountId", documented=False),
)

TYPES: dict[str, EntityType] = {t.name: t for t in _TABLE}
BY_PATH: dict[str, EntityType] = {t.name.lower(): t for t in _TABLE}
INVENTED = frozenset({"simThing"})
"""Types that no specification knows; they exist to see what a client does with them."""
