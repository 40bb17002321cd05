"""What one socket asks to be told: the parameters of `user/syncrequest` (protocol sections 7 and 13)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from bridge.errors import ConfigurationError

EXPRESSIONS: Final = ("modAccountId", "modUserId")
_INT64: Final = 2**63


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncPlan:
    """The parameters of one socket's only syncrequest; a plan that exists is one the protocol allows.

    The server's answer to a forbidden mix is unpublished, so mixes are refused here.

    Attributes:
        entity_types: wire names; filters the snapshot and all later events. The server's default is nothing.
        expression: `modAccountId` or `modUserId`; None asks for an unsharded stream.
        divisor: number of shards, at least 1; only with an expression.
        remainder: this socket's slot, 0 <= remainder < divisor.
        users: user ids to follow; neither with an expression nor with entity types.
        accounts: account ids to follow; not with an expression.
        cutoff_timestamp: passed through; its meaning is unpublished.
        full_org_snapshot: passed through; its meaning is unpublished.
        split_responses: an organisation that leaves it out is disconnected at once.

    Raises:
        ConfigurationError: the combination is forbidden or a value is out of range.
    """

    entity_types: tuple[str, ...] = ()
    expression: str | None = None
    divisor: int = 1
    remainder: int = 0
    users: tuple[int, ...] = ()
    accounts: tuple[int, ...] = ()
    cutoff_timestamp: str | None = None
    full_org_snapshot: bool | None = None
    split_responses: bool = True

    def __post_init__(self) -> None:
        _check_sharding(self.expression, self.divisor, self.remainder)
        _check_ids("source.users", self.users)
        _check_ids("source.accounts", self.accounts)
        _check_cutoff(self.cutoff_timestamp)
        if self.users and self.expression:
            raise ConfigurationError("source.users cannot be combined with sharding.expression: leave one of them out")
        if self.accounts and self.expression:
            raise ConfigurationError(
                "source.accounts cannot be combined with sharding.expression: leave one of them out"
            )
        if self.users and self.entity_types:
            raise ConfigurationError("source.users cannot be combined with source.entity_types: leave one of them out")
        if not self.users and not self.entity_types:
            raise ConfigurationError("source.entity_types is empty, which asks the broker for nothing: name the types")
        if not all(self.entity_types):
            raise ConfigurationError("source.entity_types holds an empty name: name the types, such as order")

    def body(self, ticket: str = "") -> str:
        """Write the request's body; with the ticket on a retry after a penalty."""
        members: dict[str, Any] = {"splitResponses": self.split_responses}
        if self.users:
            members["users"] = self.users
        if self.accounts:
            members["accounts"] = self.accounts
        if self.entity_types:
            members["entityTypes"] = self.entity_types
        if self.expression:
            members["shardingExpression"] = {
                "expressionType": self.expression,
                "divisor": self.divisor,
                "remainder": self.remainder,
            }
        if self.cutoff_timestamp is not None:
            members["cutoffTimestamp"] = self.cutoff_timestamp
        if self.full_org_snapshot is not None:
            members["fullOrgSnapshot"] = self.full_org_snapshot
        if ticket:
            members["p-ticket"] = ticket
        return orjson.dumps(members).decode()


def _check_sharding(expression: str | None, divisor: int, remainder: int) -> None:
    if expression is not None and expression not in EXPRESSIONS:
        raise ConfigurationError(f"sharding.expression is {expression!r}: it must be {' or '.join(EXPRESSIONS)}")
    if type(divisor) is not int or not 1 <= divisor < _INT64:
        raise ConfigurationError(f"sharding.divisor is {divisor!r}: it must be a whole number of at least 1")
    if type(remainder) is not int or not 0 <= remainder < divisor:
        raise ConfigurationError(
            f"remainder {remainder!r} in sharding.remainders is out of range: with sharding.divisor {divisor} "
            f"it must be from 0 to {divisor - 1}"
        )
    if expression is None and divisor != 1:
        raise ConfigurationError(f"sharding.divisor is {divisor}, but sharding.expression says nothing to divide")


def _check_ids(key: str, ids: tuple[int, ...]) -> None:
    for value in ids:
        if type(value) is not int or not 0 < value < _INT64:
            raise ConfigurationError(f"{key} holds {value!r}: ids are positive 64-bit integers")


def _check_cutoff(text: str | None) -> None:
    if text is None:
        return
    try:
        datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise ConfigurationError(
            f"the cutoff timestamp is {text!r}: it must be a date and time such as 2026-08-18T13:35:01.123Z"
        ) from None
