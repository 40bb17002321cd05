"""Entities as the broker might send them, made from our own schemas; seeded, so that a failure repeats."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any, Final

from bridge.entities import values
from bridge.entities.reference import kind_of
from bridge.entities.schemas import Schema, wire_fields

Entity = dict[str, Any]
EDGES: Final = (0, 1, -1, 63, 64, 8191, 8192, 2**31, 2**53 + 1, 6 * 10**11, 2**63 - 1, -(2**63))
TEXTS: Final = ("", "x", "Zürich \U0001f600", 'quote " and \\', "\x00\x7f", "a" * 200)


def seeded(seed: int | str) -> random.Random:
    """A generator that gives the same entities for the same seed."""
    return random.Random(seed)  # noqa: S311 - reproducible, not secret


def _long(r: random.Random) -> int:
    return r.choice(EDGES) if r.random() < 0.2 else r.getrandbits(r.randint(1, 62))


def _double(r: random.Random) -> float:
    choices = (r.randint(-(10**6), 10**6), r.uniform(-1e6, 1e6), r.randint(0, 10**6) / 4, 2**53, -0.0, 1e-310)
    return r.choice(choices)


def _moment(r: random.Random) -> str:
    text = values.from_millis(r.randrange(-(10**12), 3 * 10**12))
    return r.choice((text, text, text[:-5] + "Z", text[:-1] + "+00:00", text[:-2] + "Z"))


_MAKERS: Final[Mapping[str, Callable[[random.Random], Any]]] = {
    "long": _long,
    "double": _double,
    "boolean": lambda r: r.random() < 0.5,
    "string": lambda r: r.choice(TEXTS),
    "timestamp-millis": _moment,
    "date": lambda r: values.from_days(r.randrange(-20_000, 40_000)),
    "time-millis": lambda r: values.from_time(r.randrange(1440) * 60_000),
}


def make_value(r: random.Random, avro_type: Any) -> Any:
    """A wire value that an Avro type holds."""
    kind = kind_of(avro_type)
    if kind == "enum":
        return r.choice(avro_type["knownSymbols"])
    return make_entity(r, avro_type) if kind == "record" else _MAKERS[kind](r)


def make_entity(r: random.Random, schema: Schema, *, present: float = 0.8) -> Entity:
    """An entity that a schema holds: `id` always, every other field with a probability, at times null."""
    entity: Entity = {}
    for name, avro_type in wire_fields(schema).items():
        if name == "id" or r.random() < present:
            entity[name] = None if name != "id" and r.random() < 0.02 else make_value(r, avro_type)
    return entity


def canonical(entity: Entity, schema: Schema) -> Entity:
    """The one form of an entity among its equals: no nulls where null is absence, floats for doubles, one time text."""
    fields = wire_fields(schema)
    return {
        name: _canonical_value(value, fields[name]) if name in fields else value
        for name, value in entity.items()
        if value is not None
    }


def _canonical_value(value: Any, avro_type: Any) -> Any:
    kind = kind_of(avro_type)
    try:
        if kind == "double":
            return values.to_double(value)
        if kind == "timestamp-millis":
            return values.from_millis(values.to_millis(value))
        if kind in {"date", "time-millis"}:
            (values.to_days if kind == "date" else values.to_time)(value)
            return {name: member for name, member in value.items() if member is not None}
    except values.Misfit:
        return value
    return canonical(value, avro_type) if kind == "record" and type(value) is dict else value
