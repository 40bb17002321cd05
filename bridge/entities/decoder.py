"""From the Avro bytes of a `Value` back to a dict, to the wire form, and to the bytes of another schema version."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any, Final

import fastavro

from bridge.entities import values
from bridge.entities.encoder import Encoder
from bridge.entities.exact import exact_loads
from bridge.entities.reference import kind_of
from bridge.entities.schemas import Schema, wire_fields
from bridge.entities.unmapped import path_of

_FROM: Final[Mapping[str, Callable[[int], Any]]] = {
    "timestamp-millis": values.from_millis,
    "date": values.from_days,
    "time-millis": values.from_time,
}


class Decoder:
    """Decodes the `Value` of one schema; holds the parsed schema, so make one and keep it."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self._parsed = fastavro.parse_schema(_without_logical_types(schema))

    def decode(self, data: bytes) -> dict[str, Any]:
        """The Avro form: every field of the schema, absent ones None; times and dates as their integers.

        Raises:
            EOFError, ValueError: these are not the bytes of one `Value` of this schema.
        """
        stream = BytesIO(data)
        value = fastavro.schemaless_reader(stream, self._parsed, None)
        if not isinstance(value, dict) or stream.tell() != len(data):
            raise ValueError("bytes are left over: they were written with another schema")
        return value

    def to_wire(self, value: dict[str, Any]) -> dict[str, Any]:
        """The wire form of an Avro form: absent fields left out, unmapped values back in their places.

        Date-times get the usual text with three digits, doubles become floats; numbers that Python cannot hold are
        `RawNumber`.
        """
        entity = _to_wire(value, self.schema)
        for name, text in value["unmapped"].items():
            *above, last = path_of(name)
            target = entity
            for part in above:
                target = target[part]
            target[last] = exact_loads(text)
        return entity


def _without_logical_types(node: Any) -> Any:
    """A copy of a schema in which times and dates are plain integers."""
    if isinstance(node, dict):
        return {key: _without_logical_types(value) for key, value in node.items() if key != "logicalType"}
    return [_without_logical_types(item) for item in node] if isinstance(node, list) else node


def _to_wire(value: dict[str, Any], schema: Schema) -> dict[str, Any]:
    entity = {}
    for name, avro_type in wire_fields(schema).items():
        held, kind = value[name], kind_of(avro_type)
        if held is not None:
            entity[name] = (
                _to_wire(held, avro_type) if kind == "record" else _FROM[kind](held) if kind in _FROM else held
            )
    return entity


_DECODERS: Final[dict[int, Decoder]] = {}
_DECODERS_LIMIT: Final = 512


def _decoder(schema: Schema) -> Decoder:
    """The decoder of a schema object; a decoder holds its schema, so the identity cannot be taken over by another."""
    found = _DECODERS.get(id(schema))
    if found is None:
        if len(_DECODERS) >= _DECODERS_LIMIT:
            _DECODERS.clear()
        found = _DECODERS[id(schema)] = Decoder(schema)
    return found


def decode(data: bytes, schema: Schema) -> dict[str, Any]:
    """As `Decoder.decode`."""
    return _decoder(schema).decode(data)


def to_wire(value: dict[str, Any], schema: Schema) -> dict[str, Any]:
    """As `Decoder.to_wire`."""
    return _decoder(schema).to_wire(value)


def re_encode(data: bytes, old_schema: Schema, encoder: Encoder) -> bytes:
    """The bytes of a `Value` under another schema version: what was unmapped moves into fields the version has.

    The result is what the encoder would have made of the entity on the wire.
    """
    old = _decoder(old_schema)
    return encoder.encode(old.to_wire(old.decode(data)), exact=True)[0]
