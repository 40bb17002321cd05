"""Who owns an entity, and on which shard its owner lives (protocol section 13)."""

from __future__ import annotations

from typing import Final

from bridge.entities.catalogue import CATALOGUE, Expression, Hop, join

UNPROVEN: Final = frozenset(
    {
        ("tradingPermission", Expression.ACCOUNT),  # its documented master is the user; the account is ambiguous
        ("permissionedAccountAutoLiq", Expression.ACCOUNT),  # that its id is the account's is only inferred
        ("userReadStatus", Expression.USER),  # that its id is the user's is only inferred
        ("userSessionStats", Expression.USER),  # likewise
    }
)
"""Owners that are believed but not known: good for looking an account up, not for accusing the server."""


def direct_owner(name: str, expression: str) -> str | None:
    """The field of an entity that itself holds the id which decides its shard.

    With it `owner % divisor == remainder` can be checked without a look-up. None where the owner is reached through
    another entity, where there is none, where it is only inferred (`UNPROVEN`), and for unknown types.

    Raises:
        ValueError: `expression` is none of `Expression`.
    """
    path = join(name, expression)
    if path is None or len(path) != 1 or (name, expression) in UNPROVEN:
        return None
    return path[0][0]


def account_hop(name: str) -> Hop | None:
    """The first step from an entity to its account: (field of the entity, type of the entity whose id it holds).

    `("accountId", "account")` for a position, `("orderId", "order")` for a fill: the account of a fill is the account
    of that order. None where no path to an account exists, and for unknown types.
    """
    row = CATALOGUE.get(name)
    return row.account_join[0] if row and row.account_join else None


def user_hop(name: str) -> Hop | None:
    """The first step from an entity to its user, like `account_hop`; the user of trading data is the account holder."""
    row = CATALOGUE.get(name)
    return row.user_join[0] if row and row.user_join else None


def shard_of(owner_id: int, divisor: int) -> int:
    """The shard of an owner: its id modulo the number of shards.

    Ids are positive (protocol section 18). For others the result still lies in 0..divisor-1 (floored modulo), but
    nobody has said how the server would round, so it proves nothing about where such an entity belongs.

    Raises:
        ValueError: `divisor` is not positive.
    """
    if divisor < 1:
        raise ValueError(f"the number of shards must be at least 1, not {divisor}")
    return owner_id % divisor
