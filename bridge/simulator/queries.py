"""REST reads of entities (protocol section 17), over HTTP and over the socket alike. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import parse_qs

import orjson

from bridge.simulator.catalogue import BY_PATH, EntityType
from bridge.simulator.store import Change, Store

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
    try:
        return _VERBS[verb](store, entity_type, values)
    except (KeyError, ValueError):
        return 400, f"Bad request: {endpoint}?{text}"


def _row(change: Change) -> Any:
    return orjson.Fragment(change.json)


def _rows(store: Store, entity_type: EntityType, numbers: Iterable[int]) -> list[Any]:
    found = (store.latest(entity_type.name, number) for number in numbers)
    return [_row(change) for change in found if change is not None]


def _named(store: Store, entity_type: EntityType) -> Iterator[tuple[int, str]]:
    return ((number, str(entity.get("name", ""))) for number, entity in store.table(entity_type.name).items())


def _list(store: Store, entity_type: EntityType, _values: dict[str, str]) -> Answer:
    return 200, [_row(change) for change in store.rows(entity_type.name)]


def _item(store: Store, entity_type: EntityType, values: dict[str, str]) -> Answer:
    found = _rows(store, entity_type, [int(values["id"])])
    return (200, found[0]) if found else not_found(f"{entity_type.name}/{values['id']}")


def _items(store: Store, entity_type: EntityType, values: dict[str, str]) -> Answer:
    numbers = [int(n) for n in values["ids"].split(",")]
    if len(numbers) > MAX_ITEMS:
        return not_found(f"{entity_type.name}/items")
    return 200, _rows(store, entity_type, numbers)


def _find(store: Store, entity_type: EntityType, values: dict[str, str]) -> Answer:
    numbers = [number for number, name in _named(store, entity_type) if name == values["name"]]
    found = _rows(store, entity_type, numbers[:1])
    return (200, found[0]) if found else not_found(f"{entity_type.name}/{values['name']}")


def _suggest(store: Store, entity_type: EntityType, values: dict[str, str]) -> Answer:
    text, limit = values["t"].lower(), int(values.get("l", "10"))
    numbers = [number for number, name in _named(store, entity_type) if name.lower().startswith(text)]
    return 200, _rows(store, entity_type, numbers[: max(0, limit)])


def _deps(store: Store, entity_type: EntityType, values: dict[str, str]) -> Answer:
    field = entity_type.master
    if field is None:
        return not_found(f"{entity_type.name}/deps")
    masters = {int(n) for n in (values.get("masterids") or values["masterid"]).split(",")}
    numbers = [n for n, entity in store.table(entity_type.name).items() if entity.get(field) in masters]
    return 200, _rows(store, entity_type, numbers)


_VERBS = {
    "list": _list, "item": _item, "items": _items, "find": _find, "suggest": _suggest, "deps": _deps, "ldeps": _deps,
}  # fmt: skip
