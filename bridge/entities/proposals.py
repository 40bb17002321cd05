"""What could be added to a schema so that it holds what has drifted; from values as they were kept in `unmapped`. Pure.

Only what every reader of every version survives is proposed: new optional fields, which go before `unmapped`, and new
known symbols. The type of a released field never changes, and a value that has no one type stays where it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from bridge.entities import values
from bridge.entities.reference import kind_of
from bridge.entities.schemas import Schema, wire_fields
from bridge.entities.unmapped import path_of

MOST_SYMBOLS: Final = 100
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_AVRO: Final[Mapping[str, Any]] = {
    "boolean": "boolean",
    "int64": "long",
    "double": "double",
    "string": "string",
    "date-time": {"type": "long", "logicalType": "timestamp-millis"},
    "TradeDate": {"type": "int", "logicalType": "date"},
    "TradeTime": {"type": "int", "logicalType": "time-millis"},
}
"""The table's word for a type, and the Avro type that it becomes."""
_TESTS: Final[Sequence[tuple[str, Callable[[Any], Any]]]] = (
    ("boolean", values.to_boolean),
    ("int64", values.to_long),
    ("double", values.to_double),
    ("date-time", values.to_millis),
    ("TradeDate", values.to_days),
    ("TradeTime", values.to_time),
    ("string", values.to_string),
)
"""From the narrowest to the widest that may hold a value."""


@dataclass(slots=True)
class Seen:
    """What values one name of one type has had.

    Attributes:
        words: types that hold each of them, narrowest first.
        symbols: those of them that are texts, as far as they are few.
    """

    count: int = 0
    words: list[str] = field(default_factory=lambda: [word for word, _ in _TESTS])
    symbols: set[str] = field(default_factory=set)

    def add(self, value: Any) -> None:
        """Take one value into account, read with exact numbers."""
        self.count += 1
        self.words = [word for word, convert in _TESTS if word in self.words and _holds(convert, value)]
        if isinstance(value, str) and len(self.symbols) < MOST_SYMBOLS:
            self.symbols.add(value)


@dataclass(frozen=True, slots=True)
class Proposal:
    """What could be done about one name.

    Attributes:
        name: as in `unmapped`.
        add: `field`, `symbols`, or None if it has to stay in `unmapped`.
        type: of a new field, the table's word.
        enum: whose symbols are to be added.
        symbols: which.
        why: a sentence, if it stays.
    """

    entity_type: str
    name: str
    count: int
    add: str | None
    type: str | None = None
    enum: str | None = None
    symbols: tuple[str, ...] = ()
    why: str = ""


def propose(entity_type: str, schema: Schema, name: str, seen: Seen) -> Proposal:
    """What could be done about a name that `schema` does not know, or whose values it does not hold."""

    def stays(why: str) -> Proposal:
        return Proposal(entity_type, name, seen.count, None, why=why)

    path = path_of(name)
    if len(path) > 1:
        return stays("it stands inside another field")
    known = wire_fields(schema).get(path[0])
    if known is None:
        if not _NAME.fullmatch(path[0]):
            return stays("no field of a schema can have this name")
        if not seen.words:
            return stays("its values have no one type")
        return Proposal(entity_type, name, seen.count, "field", type=seen.words[0])
    if kind_of(known) == "enum" and "string" in seen.words and len(seen.symbols) < MOST_SYMBOLS:
        symbols = tuple(sorted(seen.symbols))
        return Proposal(entity_type, name, seen.count, "symbols", enum=known["enumName"], symbols=symbols)
    return stays("a released field keeps its type")


def extended(schema: Schema, proposals: Sequence[Proposal], doc: str) -> Schema:
    """The `Value` schema with what is proposed for it."""
    *fields, unmapped = schema["fields"]
    symbols = {p.name: p.symbols for p in proposals if p.add == "symbols"}
    fields = [_with_symbols(each, symbols[each["name"]]) if each["name"] in symbols else each for each in fields]
    new = [
        {"name": p.name, "type": ["null", _AVRO[p.type]], "default": None, "doc": doc}
        for p in proposals
        if p.add == "field" and p.type is not None
    ]
    return {**schema, "fields": [*fields, *new, unmapped]}


def _with_symbols(each: Schema, more: Sequence[str]) -> Schema:
    null, of = each["type"]
    return {**each, "type": [null, {**of, "knownSymbols": [*of["knownSymbols"], *more]}]}


def _holds(convert: Callable[[Any], Any], value: Any) -> bool:
    try:
        convert(value)
    except values.Misfit:
        return False
    return True
