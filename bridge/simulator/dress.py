"""What an entity looks like on the wire under the options in force. Pure.

An entity is dressed once, when it changes: events, snapshots and the ledger all show the same bytes.
"""

from __future__ import annotations

from typing import Any

import orjson

from bridge.simulator.options import Options

Entity = dict[str, Any]

_OPTIONAL: dict[str, tuple[str, ...]] = {
    "order": ("spreadDefinitionId", "ocoId", "parentId", "linkedId"),
    "orderVersion": ("price", "stopPrice", "maxShow", "expireTime", "text"),
    "command": ("activationTime", "customTag50"),
    "commandReport": ("rejectReason", "text"),
    "position": ("netPrice", "prevPrice"),
    "account": ("evaluationSize", "nickname", "ccEmail"),
    "cashBalance": ("weekRealizedPnL",),
}
_SYMBOLS = {"ordStatus": "WorkingElsewhere", "commandStatus": "RiskPondered", "accountType": "Sandbox"}


def _without_fraction(value: Any) -> Any:
    if isinstance(value, str) and len(value) == 24 and value[19] == "." and value[23] == "Z":
        return value[:19] + "Z"
    return value


def _integral(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def dress(entity_type: str, entity: Entity, options: Options) -> bytes:
    """The entity's JSON. Quirks strike by id, so that the same entity always gets the same ones."""
    number = entity["id"]
    if options.nulls:
        entity = {**dict.fromkeys(_OPTIONAL.get(entity_type, ())), **entity}
    if options.missing_ms and number % 3 == 0:
        entity = {k: _without_fraction(v) for k, v in entity.items()}
    if options.integer_doubles:
        entity = {k: _integral(v) for k, v in entity.items()}
    if options.unknown_symbols and number % 5 == 0:
        entity = {k: _SYMBOLS.get(k, v) for k, v in entity.items()}
    if options.unknown_fields:
        entity = {**entity, "simLabel": f"label of {number}", "simDetail": {"z": [1, 2.5, None], "a": {"deep": True}}}
    return orjson.dumps(entity)
