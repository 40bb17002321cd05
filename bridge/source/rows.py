"""The entities in a message, whatever shape it has (protocol sections 8, 8.1 and 9).

Nothing is dropped silently: what is not understood comes out as `Unmapped`. Only null, which equals absent, is nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from bridge.entities.catalogue import type_of_list


class Rows(NamedTuple):
    """Entities of one type that arrived together.

    Attributes:
        entity_type: wire name; it may be one we do not know.
        event_type: `Created`, `Updated`, `Deleted`, or whatever else the event said; None if it said nothing, and in a
            snapshot.
        entities: JSON values in order of arrival, meant to be objects with an `id`, not checked here.
        list_name: name of the snapshot list they came in, None for events and for snapshots without lists.
        is_snapshot: True for the state when the session was synced, False for a live change.
    """

    entity_type: str
    event_type: str | None
    entities: list[Any]
    list_name: str | None
    is_snapshot: bool


class Unmapped(NamedTuple):
    """Something in a message that is not understood.

    Attributes:
        reason: a short stable word: `event`, `props`, `list`, `message`.
        name: entity type, event or list it was found under; empty if there is no name.
        raw: the JSON value.
    """

    reason: str
    name: str
    raw: Any


def rows(message: Any) -> Sequence[Rows | Unmapped]:
    """Take a forwarded message apart, in order. Accepts any JSON value and never raises."""
    if not isinstance(message, dict):
        return () if message is None else (Unmapped("message", "", message),)
    data = message.get("d")
    if "e" not in message:
        return list(_snapshot(data, message))
    if message["e"] != "props":
        return (Unmapped("event", _name(message["e"]), message),)
    if isinstance(data, list):
        return [_change(item) for item in data if item is not None]
    return (_change(data),)


def _change(data: Any) -> Rows | Unmapped:
    if not isinstance(data, dict):
        return Unmapped("props", "", data)
    entity_type, event_type, entity = data.get("entityType"), data.get("eventType"), data.get("entity")
    if type(entity_type) is not str or not (event_type is None or type(event_type) is str) or entity is None:
        return Unmapped("props", _name(entity_type), data)
    return Rows(entity_type, event_type, entity if type(entity) is list else [entity], None, False)


def _snapshot(data: Any, message: dict[str, Any]) -> Iterator[Rows | Unmapped]:
    if isinstance(data, dict):
        yield from _lists(data)
    elif isinstance(data, list):
        for part in data:
            yield from _part(part)
    elif data is not None or not _is_answer(message):
        yield Unmapped("message", "", message)


def _part(part: Any) -> Iterator[Rows | Unmapped]:
    """One element of a snapshot whose `d` is an array: `{entityType, entity}`, or lists again."""
    if not isinstance(part, dict):
        if part is not None:
            yield Unmapped("message", "", part)
    elif "entityType" not in part:
        yield from _lists(part)
    else:
        change = _change(part)
        yield change._replace(event_type=None, is_snapshot=True) if isinstance(change, Rows) else change


def _lists(lists: dict[str, Any]) -> Iterator[Rows | Unmapped]:
    for name, entities in lists.items():
        if isinstance(entities, list):
            yield Rows(type_of_list(name), None, entities, name, True)
        elif entities is not None:
            yield Unmapped("list", name, entities)


def _is_answer(message: dict[str, Any]) -> bool:
    return "i" in message or "s" in message


def _name(value: Any) -> str:
    return value if isinstance(value, str) else ""
