"""Arrays of entities in `props` events while a snapshot arrives: parts of it (variant B of splitting), or live changes.

Pure; protocol section 8.1. Nothing in such an event says which it is: a live event may hold an array as well (section
9.1), and `eventType` may be anything, since `Created` may concern a known key and `Updated` an unknown one. What tells
them apart: a snapshot names each key once, and only keys that existed when it was taken. So a row is a part of the
snapshot if the snapshot has not named its key yet, and it was not created since; else it is live.

Should an answer (variants A and C) name a key after an array did, then the array was live and the row in the answer is
older: it is left out and counted, as any row of a key that was seen live.
"""

from __future__ import annotations

from typing import Any, Final

from bridge.entities.catalogue import type_of_list
from bridge.entities.exact import exact_dumps
from bridge.errors import Unencodable
from bridge.source.forward import is_props
from bridge.source.frames import elements
from bridge.source.rows import Rows, rows

_PART_EVENTS: Final = (None, "Created", "Updated")
_CREATED: Final = "Created"


class Told:
    """Keys of which one session's snapshot has nothing more to tell; empty once it is complete.

    Args:
        most: keys remembered; a hostile server cannot make it grow. Rows of keys beyond are taken for parts.

    Attributes:
        superseded: rows of answers that were left out.
    """

    def __init__(self, most: int) -> None:
        self._ids: dict[str, set[int]] = {}
        self._by_array: dict[str, set[int]] = {}
        self._room = most
        self.superseded = 0

    @property
    def by_array(self) -> bool:
        """Whether an array has been taken for a part."""
        return bool(self._by_array)

    def hear(self, message: Any) -> None:
        """Note the keys that a snapshot names, and those that are created."""
        for item in rows(message):
            if isinstance(item, Rows) and (item.is_snapshot or item.event_type == _CREATED):
                for entity in item.entities:
                    self.first(item.entity_type, entity)

    def first(self, entity_type: str, entity: Any) -> bool:
        """Say whether this is the first time; what has no id is never heard of for the first time."""
        number = entity.get("id") if type(entity) is dict else None
        if type(number) is not int:
            return False
        ids = self._ids.setdefault(entity_type, set()) if self._room else self._ids.get(entity_type, set())
        if number in ids:
            return False
        if self._room:
            self._room -= 1
            ids.add(number)
        return True

    def part(self, entity_type: str, entity: Any) -> bool:
        """Say whether a row of an array is a part of the snapshot."""
        if not self.first(entity_type, entity):
            return False
        self._by_array.setdefault(entity_type, set()).add(entity["id"])
        return True

    def newest(self, entity_type: str, entity: Any) -> bool:
        """Say whether no array has been newer than this row of an answer."""
        number = entity.get("id") if type(entity) is dict else None
        older = type(number) is int and number in self._by_array.get(entity_type, ())
        self.superseded += older
        return not older

    def forget(self) -> None:
        """The snapshot is complete."""
        self._ids.clear()
        self._by_array.clear()
        self._room = 0


def is_batch(change: Any) -> bool:
    """Say whether a change of a `props` event has the form in which one conceivable server sends its snapshot."""
    return (
        isinstance(change, dict)
        and isinstance(change.get("entity"), list)
        and isinstance(change.get("entityType"), str)
        and change.get("eventType") in _PART_EVENTS
    )


def told_apart(raw: bytes, found: list[Any], request_id: int, told: Told) -> bytes | None:
    """Write a frame again with those of its rows that are parts of the snapshot as an answer (variant C).

    Every value stays exactly what it was, and every key's rows stay in order.

    Args:
        raw: the frame.
        found: its messages.
        request_id: of the syncrequest.
        told: moves along.

    Returns:
        The frame, None if it holds no such rows.

    Raises:
        ValueError: it is nested too deeply to be written again.
    """
    batches = any(is_batch(change) for message in found for change in _changes(message))
    if not batches and not told.by_array:
        for message in found:
            told.hear(message)
        return None
    anew: list[Any] = []
    before = told.superseded
    moved = False
    for message in elements(raw, exact=True):
        parts, rest = _divided(message, told)
        if parts:
            anew.append({"i": request_id, "s": 200, "d": parts})
            moved = True
        if rest is not None:
            anew.append(rest)
    try:
        return b"a" + exact_dumps(anew).encode() if moved or told.superseded > before else None
    except Unencodable as error:
        raise ValueError(str(error)) from error


def _changes(message: Any) -> list[Any]:
    if not is_props(message):
        return []
    data = message.get("d")
    return data if isinstance(data, list) else [data]


def _divided(message: Any, told: Told) -> tuple[list[Any], Any]:
    """What a message holds of the snapshot, and what is left of it: None if that is nothing."""
    changes = _changes(message)
    if not any(map(is_batch, changes)):
        told.hear(message)
        return [], _without_older(message, told) if told.by_array else message
    parts, live = [], []
    for change in changes:
        if is_batch(change):
            part, rest = _sifted(change, told)
            parts += part
            live += rest
        else:
            told.hear({**message, "d": change})
            live.append(change)
    if not live:
        return parts, None
    return parts, {**message, "d": live if isinstance(message["d"], list) else live[0]}


def _sifted(change: dict[str, Any], told: Told) -> tuple[list[Any], list[Any]]:
    """The part of the snapshot in an array, if any, and the live change in it, if any. An empty array is a part."""
    new: list[Any] = []
    known: list[Any] = []
    for entity in change["entity"]:
        (new if told.part(change["entityType"], entity) else known).append(entity)
    part = {"entityType": change["entityType"], "entity": new}
    return [part] if new or not known else [], [{**change, "entity": known}] if known else []


def _without_older(message: Any, told: Told) -> Any:
    """An answer without the rows that an array has overtaken; any other message as it is."""
    data = message.get("d") if isinstance(message, dict) and "e" not in message else None
    if isinstance(data, dict):
        return {**message, "d": _lists_without_older(data, told)}
    if isinstance(data, list):
        return {**message, "d": [_part_without_older(part, told) for part in data]}
    return message


def _lists_without_older(lists: dict[str, Any], told: Told) -> dict[str, Any]:
    return {name: _newest(type_of_list(name), entities, told) for name, entities in lists.items()}


def _part_without_older(part: Any, told: Told) -> Any:
    """A member of an answer in form of an array: `{entityType, entity}`, or lists."""
    if not isinstance(part, dict):
        return part
    if "entityType" not in part:
        return _lists_without_older(part, told)
    entity_type, entity = part["entityType"], part.get("entity")
    if not isinstance(entity_type, str):
        return part
    if isinstance(entity, list):
        return {**part, "entity": _newest(entity_type, entity, told)}
    return part if told.newest(entity_type, entity) else {**part, "entity": []}


def _newest(entity_type: str, entities: Any, told: Told) -> Any:
    if not isinstance(entities, list):
        return entities
    return [entity for entity in entities if told.newest(entity_type, entity)]
