"""Generated encoders: one straight-line Python function per shape of an entity.

A shape is the tuple of an entity's field names. The broker writes an entity type in a handful of shapes, so the
function for one shape needs no test for absent fields and no loop: it takes the values out, checks their types, and
joins table look-ups and constants. Only field names of our own schemas get into the source text.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final, NamedTuple

import orjson

from bridge.entities import primitives
from bridge.entities.reference import kind_of
from bridge.entities.schemas import Schema, wire_fields
from bridge.entities.values import Misfit

Encode = Callable[[dict[str, Any]], tuple[Any, ...]]
"""Takes an entity of one shape, gives its Avro bytes, its own time, and the integers in the fields asked for."""

FRESH: Final = frozenset({"orderId", "commandId", "fillId", "ocoId", "parentId", "linkedId", "buyFillId", "sellFillId"})
"""Ids of things that come and go; they are remembered together with the ids of entities, whose events are near."""
MOST_FLAGS: Final = 3
"""Neighbouring booleans that become one expression; it has two to that power ends."""


class Double(NamedTuple):
    """A piece: an optional double in this variable."""

    variable: str


class Flag(NamedTuple):
    """A piece: an optional boolean in this variable."""

    variable: str


Piece = bytes | str | Double | Flag
"""Bytes that are always the same, an expression, or what is better put together with its neighbours."""

_LAYOUT: Final = re.compile(r"\bpack_(\w+)")
_SMALL: Final = primitives.LARGEST_EXACT**2
_SOURCES: Final[Mapping[str, str]] = {
    "long": "longs[{v}]",
    "string": "texts[{v}]",
    "enum": "symbols_{name}[{v}]",
    "date": "dates[written({v})]",
    "time-millis": "times[written({v})]",
    "timestamp-millis": "moments[{v}][0]",
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
        "ids": primitives.IDS,
        "longs": primitives.LONGS,
        "texts": primitives.TEXTS,
        "dates": primitives.DATES,
        "times": primitives.TIMES,
        "moments": primitives.MOMENTS,
        "written": orjson.dumps,
        "exact": primitives.exact,
        "unsuitable": unsuitable,
    }


class Generator:
    """Makes the encoders of one `Value` schema."""

    def __init__(self, schema: Schema) -> None:
        self.fields: Mapping[str, Any] = wire_fields(schema)
        self._environment = _environment(self.fields)

    def source(self, shape: tuple[str, ...], picked: Sequence[str | None] = ()) -> str | None:
        """The source of the encoder for a shape of known names with `id`; None if one of them is a nested record.

        Args:
            picked: fields whose integers are given back too, None for what is absent or not an integer.
        """
        variables = {name: f"v{i}" for i, name in enumerate(shape)}
        if any(kind_of(self.fields[name]) == "record" for name in shape):
            return None
        longs = [v for name, v in variables.items() if kind_of(self.fields[name]) == "long"]
        checks = " is ".join(f"type({v})" for v in longs)
        parts = ",\n        ".join(_expressions([*_merged(self._pieces(variables))]))
        timed = "timestamp" in variables and kind_of(self.fields["timestamp"]) == "timestamp-millis"
        moment = f"    moment, time = moments[{variables['timestamp']}]\n" if timed else ""
        given = ["time" if timed else "None", *(self._picked(name, variables) for name in picked)]
        return (
            f"def encode(entity):\n"
            f"    try:\n        {', '.join(variables.values())}, = members(entity)\n"
            f"    except KeyError:\n        return other(entity)\n"
            f"    if not {checks} is int:\n        unsuitable()\n"
            f"{moment}"
            f"    return join((\n        {parts},\n    )), {', '.join(given)}\n"
        )

    def _pieces(self, variables: Mapping[str, str]) -> Iterator[Piece]:
        for name, avro_type in self.fields.items():
            if name == "id":
                yield f"ids[{variables[name]}]"
            elif name in variables:
                yield from _field(name, kind_of(avro_type), variables[name])
            else:
                yield primitives.NULL
        yield primitives.NULL  # unmapped: no entries

    def _picked(self, name: str | None, variables: Mapping[str, str]) -> str:
        if name is None or name not in variables:
            return "None"
        v = variables[name]
        return v if kind_of(self.fields[name]) == "long" else f"{v} if type({v}) is int else None"

    def compile(self, shape: tuple[str, ...], picked: Sequence[str | None] = (), other: Encode = unsuitable) -> Encode:
        """The encoder for a shape of known names with `id`; it raises whatever comes when the values are unusual.

        Args:
            picked: as in `source`.
            other: what does it if one of the names is missing; that there are no others must be known beforehand.
        """
        source = self.source(shape, picked)
        if source is None:
            return unsuitable
        packers = {f"pack_{layout}": struct.Struct("<" + layout).pack for layout in _LAYOUT.findall(source)}
        members = itemgetter(*shape) if len(shape) > 1 else lambda entity: (entity["id"],)
        names: dict[str, Any] = self._environment | packers | {"members": members, "other": other}
        exec(compile(source, "<encoder>", "exec"), names)  # noqa: S102 - only names of our own schemas are in it
        encode: Encode = names["encode"]
        return encode


def _field(name: str, kind: str, v: str) -> Iterator[Piece]:
    """The pieces of one present optional field."""
    if kind == "double":
        yield Double(v)
    elif kind == "boolean":
        yield Flag(v)
    elif kind == "timestamp-millis" and name == "timestamp":
        yield "moment"
    elif kind == "long" and name in FRESH:
        yield primitives.OPTIONAL
        yield f"ids[{v}]"
    else:
        yield _SOURCES[kind].format(v=v, name=name)


def _merged(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """The same pieces, neighbouring constants put together."""
    constant = b""
    for piece in pieces:
        if isinstance(piece, bytes):
            constant += piece
            continue
        if constant:
            yield constant
        constant = b""
        yield piece
    if constant:
        yield constant


def _expressions(pieces: Sequence[Piece]) -> Iterator[str]:
    """Source text; fewer pieces are joined sooner, so doubles and booleans take in what stands around them."""
    at = 0
    while at < len(pieces):
        for kind, text, most in ((Double, _packed, len(pieces)), (Flag, _branches, MOST_FLAGS)):
            end = _end_of_run(pieces, at, kind, most)
            if end > at:
                yield text(pieces[at:end])
                at = end
                break
        else:
            piece = pieces[at]
            yield repr(piece) if isinstance(piece, bytes) else str(piece)
            at += 1


def _end_of_run(pieces: Sequence[Piece], start: int, kind: type, most: int) -> int:
    """Where the pieces of this kind, and the constants around them, end; `start` if there are none."""
    end, found = start, 0
    while end < len(pieces):
        piece = pieces[end]
        if isinstance(piece, kind) and found < most:
            found += 1
        elif not (isinstance(piece, bytes) and (kind is Flag or not any(piece))):  # zeros can be struct's padding
            break
        end += 1
    return end if found else start


def _packed(run: Sequence[Piece]) -> str:
    """Doubles and zeros between them, by one call of struct.

    The sum of squares is below 2**106 only if every float is within 2**53, and never if one is no number. What is out
    of that, or an integer, is looked at one by one.
    """
    layout = "".join("Bd" if isinstance(piece, Double) else "x" * len(piece) for piece in run)
    variables = [piece.variable for piece in run if isinstance(piece, Double)]
    types = " is ".join(f"type({v})" for v in variables)
    squares = " + ".join(f"{v} * {v}" for v in variables)
    usual, other = (
        f"pack_{layout}({', '.join(f'2, {f.format(v=v)}' for v in variables)})" for f in ("{v}", "exact({v})")
    )
    return f"{usual} if {types} is float and {squares} < {_SMALL!r} else {other}"


def _branches(run: Sequence[Piece], before: bytes = b"") -> str:
    """Booleans and constants between them: the finished bytes at every end of a tree of conditions."""
    for at, piece in enumerate(run):
        if isinstance(piece, Flag):
            yes, no = (_branches(run[at + 1 :], before + value) for value in (primitives.TRUE, primitives.FALSE))
            return f"({yes} if {piece.variable} is True else {no} if {piece.variable} is False else unsuitable())"
        before += piece  # type: ignore[operator] # a constant
    return repr(before)
