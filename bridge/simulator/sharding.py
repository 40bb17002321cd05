"""Which socket sees what (protocol sections 7 and 13). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bridge.simulator.catalogue import INVENTED, TYPES
from bridge.simulator.options import Options, Reach
from bridge.simulator.store import Change

EXPRESSIONS = ("modAccountId", "modUserId")


class RequestError(ValueError):
    """A request that the server refuses; `mix` tells a forbidden combination from nonsense."""

    def __init__(self, text: str, *, mix: bool = False) -> None:
        super().__init__(text)
        self.mix = mix


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a socket has asked for. `types` None means everything."""

    types: frozenset[str] | None
    expression: str | None = None
    divisor: int = 1
    remainder: int = 0
    users: frozenset[int] | None = None
    accounts: frozenset[int] | None = None


def subscription(body: dict[str, Any], options: Options) -> Subscription:
    """Reads the body of a syncrequest.

    Raises:
        RequestError: parameters that are nonsense, or exclude each other.
    """
    users, accounts, sharding = (body.get(k) for k in ("users", "accounts", "shardingExpression"))
    types = body.get("entityTypes")
    if options.forbidden_mix != "accept":
        for one, other in (
            ("users", "shardingExpression"),
            ("users", "entityTypes"),
            ("accounts", "shardingExpression"),
        ):
            if body.get(one) is not None and body.get(other) is not None:
                raise RequestError(f"{one} and {other} exclude each other", mix=True)
    names = _types(types, options, scoped=users is not None or accounts is not None)
    if sharding is None:
        return Subscription(names, users=_ids("users", users), accounts=_ids("accounts", accounts))
    return Subscription(names, *_expression(sharding))


def _types(types: Any, options: Options, *, scoped: bool) -> frozenset[str] | None:
    if types is None:  # the empty default is for organisations; others get everything (protocol section 7)
        return frozenset() if options.organisation and not scoped else None
    if not isinstance(types, list) or not all(isinstance(t, str) for t in types):
        raise RequestError("entityTypes is an array of strings")
    return frozenset(types)


def _ids(name: str, values: Any) -> frozenset[int] | None:
    if values is None:
        return None
    if not isinstance(values, list) or not all(type(v) is int for v in values):
        raise RequestError(f"{name} is an array of ids")
    return frozenset(values)


def _expression(sharding: Any) -> tuple[str, int, int]:
    if not isinstance(sharding, dict):
        raise RequestError("shardingExpression is an object")
    kind, divisor, remainder = (sharding.get(k) for k in ("expressionType", "divisor", "remainder"))
    if kind not in EXPRESSIONS:
        raise RequestError("expressionType is modAccountId or modUserId")
    if type(divisor) is not int or type(remainder) is not int or divisor < 1 or not 0 <= remainder < divisor:
        raise RequestError("divisor is at least 1 and remainder between 0 and divisor - 1")
    return kind, divisor, remainder


def wants(sub: Subscription, change: Change, options: Options, *, snapshot: bool = False) -> bool:
    """Whether a change (or, for a snapshot, a row) goes to a socket."""
    if sub.types is not None and change.entity_type not in sub.types and change.entity_type not in INVENTED:
        return False
    if sub.accounts is not None and change.account_id is not None and change.account_id not in sub.accounts:
        return False
    if sub.users is not None and change.user_id is not None and change.user_id not in sub.users:
        return False
    if sub.expression is None or (snapshot and not options.snapshot_sharded):
        return True
    owner = _owner(sub.expression, change, options)
    if owner is not None:
        return owner % sub.divisor == sub.remainder
    owned = change.entity_type in TYPES and TYPES[change.entity_type].owner != "none"
    return _reaches(options.user_level if owned else options.ownerless, sub.remainder)


def shards(change: Change, expression: str, divisor: int, options: Options) -> list[int]:
    """The remainders of the sockets that should see a change, whatever types they have asked for."""
    everyone = (Subscription(None, expression, divisor, remainder) for remainder in range(divisor))
    return [sub.remainder for sub in everyone if wants(sub, change, options)]


def _owner(expression: str, change: Change, options: Options) -> int | None:
    owner = change.account_id if expression == "modAccountId" else change.user_id
    return change.id if owner is not None and options.shard_by == "own_id" else owner


def _reaches(reach: Reach, remainder: int) -> bool:
    return reach == "all" or (reach == "first" and remainder == 0)
