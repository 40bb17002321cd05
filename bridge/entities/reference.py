"""The slow encoder: takes an entity apart by the schema, keeps the rest as `unmapped`, and lets fastavro write it.

It defines what an encoded entity is. The generated encoder (`codegen`) must give the same bytes and leaves to this one
all that is unusual.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, Final

import fastavro

from bridge.entities import values
from bridge.entities.exact import exact_dumps
from bridge.entities.schemas import Schema, wire_fields
from bridge.entities.unmapped import Path, name_of
from bridge.entities.values import Misfit
from bridge.errors import Unencodable

_SCALARS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "long": values.to_long,
    "double": values.to_double,
    "boolean": values.to_boolean,
    "string": values.to_string,
    "timestamp-millis": values.to_millis,
    "date": values.to_days,
    "time-millis": values.to_time,
}
_MEMBERS: Final[Mapping[str, frozenset[str]]] = {
    "date": frozenset({"year", "month", "day"}),
    "time-millis": frozenset({"hour", "minute"}),
}
"""The objects that become one number: what they hold beyond these members is unmapped by itself."""
Plan = Mapping[str, tuple[str, Any]]


def kind_of(avro_type: Any) -> str:
    """What decides how a value is written: logical type if there is one, `enum` for known symbols, else the type."""
    if isinstance(avro_type, str):
        return avro_type
    return "enum" if "knownSymbols" in avro_type else str(avro_type.get("logicalType", avro_type["type"]))


@dataclass(slots=True)
class Split:
    """An entity taken apart.

    Attributes:
        datum: what the schema holds, as fastavro wants it.
        unmapped: canonical JSON text of everything else, by name.
        drift: (name, kind) of everything that the schema did not foresee.
    """

    datum: dict[str, Any]
    unmapped: dict[str, str] = field(default_factory=dict)
    drift: list[tuple[str, str]] = field(default_factory=list)

    def keep(self, path: Path, value: Any, kind: str) -> None:
        """Move a value to `unmapped`."""
        name = name_of(path)
        try:
            name.encode()
        except UnicodeEncodeError:
            raise Unencodable("name_not_unicode", f"the field name {name!r} has no UTF-8 form") from None
        self.unmapped[name] = exact_dumps(value)
        self.drift.append((name, kind))


def entity_id(entity: Any) -> int:
    """The id of an entity.

    Raises:
        Unencodable: `not_an_object`, `no_id` or `id_not_int64`. Zero and negative ids are ids.
    """
    if not isinstance(entity, dict):
        raise Unencodable("not_an_object", f"an entity must be an object, not {type(entity).__name__}")
    if entity.get("id") is None:
        raise Unencodable("no_id", "the entity has no id")
    try:
        return values.to_long(entity["id"])
    except Misfit:
        raise Unencodable("id_not_int64", f"the id is not a 64-bit integer but {entity['id']!r:.80}") from None


class Reference:
    """The reference encoder of one `Value` schema."""

    def __init__(self, schema: Schema) -> None:
        self._plan = _plan(schema)
        self._parsed = fastavro.parse_schema(schema)

    def split(self, entity: Any) -> Split:
        """Take an entity apart.

        Raises:
            Unencodable: no usable id, too deep, or a field name without a UTF-8 form.
        """
        entity_id(entity)
        parts = Split({})
        parts.datum = _record(entity, self._plan, (), parts)
        parts.datum["unmapped"] = dict(sorted(parts.unmapped.items()))
        return parts

    def write(self, parts: Split) -> bytes:
        """The Avro bytes of an entity taken apart, without framing."""
        out = BytesIO()
        fastavro.schemaless_writer(out, self._parsed, parts.datum)
        return out.getvalue()


def _plan(schema: Schema) -> Plan:
    """Per field: its kind, and the known symbols of an enum or the plan of a nested record."""
    return {
        name: (kind, _plan(of) if kind == "record" else of["knownSymbols"] if kind == "enum" else None)
        for name, of in wire_fields(schema).items()
        for kind in [kind_of(of)]
    }


def _record(entity: dict[str, Any], plan: Plan, above: Path, parts: Split) -> dict[str, Any]:
    datum = {}
    for name, value in entity.items():
        path = (*above, name)
        if value is None:
            continue
        if name not in plan:
            parts.keep(path, value, "unknown_field")
            continue
        try:
            datum[name] = _convert(value, plan[name], path, parts)
        except Misfit as misfit:
            parts.keep(path, value, misfit.kind)
    return datum


def _convert(value: Any, planned: tuple[str, Any], path: Path, parts: Split) -> Any:
    kind, inner = planned
    if kind == "enum":
        return values.to_symbol(value, inner)
    if kind == "record":
        if type(value) is not dict:
            raise Misfit("wrong_type")
        return _record(value, inner, path, parts)
    converted = _SCALARS[kind](value)
    for member in value if kind in _MEMBERS else ():  # in their order: two processes must publish the same
        if member not in _MEMBERS[kind] and value[member] is not None:
            parts.keep((*path, member), value[member], "unknown_field")
    return converted
