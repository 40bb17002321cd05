"""Generated encoders: one straight-line Python function per shape of an entity.

A shape is the tuple of an entity's field names in the order of arrival. The broker writes an entity type in a handful
of shapes, so the function for one shape needs no look-up, no test for absent fields and no loop: it gets the values as
arguments, checks their types, and joins table look-ups and constants. Only field names of our own schemas get into
the source text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import orjson

from bridge.entities import primitives
from bridge.entities.reference import kind_of
from bridge.entities.schemas import Schema, wire_fields
from bridge.entities.values import Misfit

Encode = Callable[..., tuple[bytes, int | None]]
"""Takes the values of an entity in the order of its shape, gives its Avro bytes and its own time."""

FRESH: Final = frozenset({"orderId", "commandId", "fillId", "ocoId", "parentId", "linkedId", "buyFillId", "sellFillId"})
"""Ids that are new with nearly every event: a memo of them would only be filled and emptied."""

_EXACT: Final = primitives.LARGEST_EXACT
_SOURCES: Final[Mapping[str, str]] = {
    "long": "longs[{v}]",
    "double": f"pack_double(2, {{v}}) if type({{v}}) is float and {-_EXACT} < {{v}} < {_EXACT} else double({{v}})",
    "boolean": f"{primitives.TRUE!r} if {{v}} is True else {primitives.FALSE!r} if {{v}} is False else unsuitable()",
    "string": "texts[{v}]",
    "enum": "symbols_{name}[{v}]",
    "date": "dates[written({v})]",
    "time-millis": "times[written({v})]",
}


def unsuitable(*_: Any) -> Any:
    """Stands for an encoder where only the reference encoder will do; always raises `Misfit`."""
    raise Misfit("wrong_type")


def _environment(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The names that generated code uses; symbols of an enum become their finished bytes."""
    symbols = {
        f"symbols_{name}": {s: primitives.OPTIONAL + primitives.text(s) for s in of["knownSymbols"]}
        for name, of in fields.items()
        if kind_of(of) == "enum"
    }
    return symbols | {
        "join": b"".join,
        "varint": primitives.varint,
        "longs": primitives.LONGS,
        "texts": primitives.TEXTS,
        "dates": primitives.DATES,
        "times": primitives.TIMES,
        "written": orjson.dumps,
        "millis": primitives.millis,
        "double": primitives.double,
        "pack_double": primitives.optional_double,
        "unsuitable": unsuitable,
    }


def _expressions(name: str, avro_type: Any, v: str) -> list[str | bytes]:
    """The pieces of one present optional field: constants as bytes, the rest as source text."""
    kind = kind_of(avro_type)
    if kind == "long" and name in FRESH:
        return [primitives.OPTIONAL, f"varint({v})"]
    if kind == "timestamp-millis":
        return [primitives.OPTIONAL, f"varint({'time := ' if name == 'timestamp' else ''}millis({v}))"]
    return [_SOURCES[kind].format(v=v, name=name)]


def _merged(pieces: Iterator[str | bytes]) -> list[str]:
    """Source text of all pieces, neighbouring constants put together."""
    merged: list[str | bytes] = []
    for piece in pieces:
        last = merged[-1] if merged else None
        if isinstance(piece, bytes) and isinstance(last, bytes):
            merged[-1] = last + piece
        else:
            merged.append(piece)
    return [repr(piece) if isinstance(piece, bytes) else piece for piece in merged]


class Generator:
    """Makes the encoders of one `Value` schema."""

    def __init__(self, schema: Schema) -> None:
        self.fields: Mapping[str, Any] = wire_fields(schema)
        self._environment = _environment(self.fields)

    def source(self, shape: tuple[str, ...]) -> str | None:
        """The source of the encoder for a shape of known names with `id`; None if one of them is a nested record."""
        variables = {name: f"v{i}" for i, name in enumerate(shape)}
        if any(kind_of(self.fields[name]) == "record" for name in shape):
            return None
        longs = [v for name, v in variables.items() if kind_of(self.fields[name]) == "long"]
        checks = " is ".join(f"type({v})" for v in longs)
        parts = ",\n        ".join(_merged(self._pieces(variables)))
        time = "time" if "timestamp" in variables and kind_of(self.fields["timestamp"]) == "timestamp-millis" else None
        return (
            f"def encode({', '.join(variables.values())}):\n"
            f"    if not {checks} is int:\n        unsuitable()\n"
            f"    return join((\n        {parts},\n    )), {time}\n"
        )

    def _pieces(self, variables: Mapping[str, str]) -> Iterator[str | bytes]:
        for name, avro_type in self.fields.items():
            if name == "id":
                yield f"varint({variables[name]})"
            elif name in variables:
                yield from _expressions(name, avro_type, variables[name])
            else:
                yield primitives.NULL
        yield primitives.NULL  # unmapped: no entries

    def compile(self, shape: tuple[str, ...]) -> Encode:
        """The encoder for a shape of known names with `id`; it raises whatever comes when the values are unusual."""
        source = self.source(shape)
        if source is None:
            return unsuitable
        names: dict[str, Any] = dict(self._environment)
        exec(compile(source, "<encoder>", "exec"), names)  # noqa: S102 - only names of our own schemas are in it
        encode: Encode = names["encode"]
        return encode
