"""REST reads of entities (protocol section 17), over HTTP and over the socket alike. Pure."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

import orjson

from bridge.simulator.catalogue import BY_PATH, EntityType
from bridge.simulator.store import Store

Answer = tuple[int, Any]

MAX_ITEMS = 10
"""The real service answers 404 to longer lists of ids (seen in the field)."""


def not_found(endpoint: str) -> Answer:
    """The documented answer to an endpoint that does not exist."""
    return 404, f"Not found: {endpoint}"


def query(store: Store, endpoint: str, text: str) -> Answer:
    """Answers `<entity>/<verb>?<text>`; names are case-insensitive."""
    name, _, verb = endpoint.lower().partition("/")
    entity_type = BY_PATH.get(name)
    if entity_type is None or verb not in _VERBS:
        return not_found(endpoint)
    values = {key.lower(): found[-1] for key, found in parse_qs(text).items()}
    rows = {change.id: orjson.Fragment(change.json) for change in store.rows(entity_type.name)}
    try:
        return _VERBS[verb](store, entity_type, rows, values)
    except (KeyError, ValueError):
        return 400, f"Bad request: {endpoint}?{text}"


def _list(_store: Store, _type: EntityType, rows: dict[int, Any], _values: dict[str, str]) -> Answer:
    return 200, list(rows.values())


def _item(_store: Store, entity_type: EntityType, rows: dict[int, Any], values: dict[str, str]) -> Answer:
    number = int(values["id"])
    return (200, rows[number]) if number in rows else not_found(f"{entity_type.name}/{number}")


def _items(_store: Store, entity_type: EntityType, rows: dict[int, Any], values: dict[str, str]) -> Answer:
    numbers = [int(n) for n in values["ids"].split(",")]
    if len(numbers) > MAX_ITEMS:
        return not_found(f"{entity_type.name}/items")
    return 200, [rows[n] for n in numbers if n in rows]


def _find(store: Store, entity_type: EntityType, rows: dict[int, Any], values: dict[str, str]) -> Answer:
    found = [n for n, e in store.table(entity_type.name).items() if e.get("name") == values["name"]]
    return (200, rows[found[0]]) if found else not_found(f"{entity_type.name}/{values['name']}")


def _suggest(store: Store, entity_type: EntityType, rows: dict[int, Any], values: dict[str, str]) -> Answer:
    text, limit = values["t"].lower(), int(values.get("l", "10"))
    names = ((n, str(e.get("name", "")).lower()) for n, e in store.table(entity_type.name).items())
    return 200, [rows[n] for n, name in names if name.startswith(text)][:limit]


def _deps(store: Store, entity_type: EntityType, rows: dict[int, Any], values: dict[str, str]) -> Answer:
    field = entity_type.master
    if field is None:
        return not_found(f"{entity_type.name}/deps")
    masters = {int(n) for n in (values.get("masterids") or values["masterid"]).split(",")}
    return 200, [rows[n] for n, e in store.table(entity_type.name).items() if e.get(field) in masters]


_VERBS = {
    "list": _list, "item": _item, "items": _items, "find": _find, "suggest": _suggest, "deps": _deps, "ldeps": _deps,
}  # fmt: skip
