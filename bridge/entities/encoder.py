"""From a decoded entity to the Avro bytes of its `Value`: the hottest function of the product."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from bridge.entities import primitives, reference
from bridge.entities.codegen import Encode, Generator, unsuitable
from bridge.entities.drift import Drift
from bridge.entities.exact import refuse_rounded
from bridge.entities.schemas import Schema

SHAPES: Final = 256
"""Shapes of one entity type that get a generated encoder; what comes in further shapes is encoded slowly."""
DRIFTS: Final = 1000
"""Names counted in `Encoder.drift`; further ones are counted together as `OTHER`."""
OTHER: Final = "(other)"
UNUSUAL: Final = (KeyError, TypeError, ValueError, AttributeError, struct.error)
"""What `Shapes` and the encoders in it raise for what `Encoder.encode` may still encode."""


class Shapes(dict[int, Encode]):
    """Generated encoders by how many fields an entity has: what nearly always tells its shape, and costs least.

    If it has other fields, the encoder notices. All of that number are told apart by their names from then on.

    Args:
        picked: fields whose integers they give, too, as `Generator.source` says.

    Attributes:
        known: encoders by shape, each made when its shape comes for the first time.
    """

    def __init__(self, generator: Generator, picked: Sequence[str | None] = ()) -> None:
        super().__init__()
        self.known: dict[tuple[str, ...], Encode] = {}
        self._generator, self._picked = generator, picked

    def __missing__(self, count: int) -> Encode:
        return self._first

    def without_nulls(self, entity: dict[str, Any]) -> tuple[Any, ...]:
        """Encode an entity some of whose fields may be null, which is the same as absent (protocol section 18)."""
        present = {name: value for name, value in entity.items() if value is not None}
        return self[len(present)](present)

    def _first(self, entity: dict[str, Any]) -> tuple[Any, ...]:
        encode = self._of(entity)
        read = encode(entity)
        self[len(entity)] = encode
        return read

    def _other(self, entity: dict[str, Any]) -> tuple[Any, ...]:
        self[len(entity)] = self._by_names
        return self._by_names(entity)

    def _by_names(self, entity: dict[str, Any]) -> tuple[Any, ...]:
        return self._of(entity)(entity)

    def _of(self, entity: dict[str, Any]) -> Encode:
        shape = tuple(entity)
        return self.known.get(shape) or self._made(shape)

    def _made(self, shape: tuple[str, ...]) -> Encode:
        if "id" not in shape or not self._generator.fields.keys() >= set(shape):
            raise KeyError(shape)
        if len(self.known) >= SHAPES:
            return unsuitable
        encode = self.known[shape] = self._generator.compile(shape, self._picked, self._other)
        return encode


class Encoder:
    """Encodes entities of one type by one `Value` schema.

    Nothing is truncated or coerced: what the schema does not know or cannot hold exactly is kept in `unmapped` as
    canonical JSON. A null is the same as an absent field (protocol section 18).

    Args:
        met: told of drift when it is met for the first time.

    Attributes:
        name: wire name of the entity type.
        schema: the `Value` schema.
        drift: how often what was not as the schema says, by (name as in `unmapped`, kind); kinds are `unknown_field`,
            `unknown_symbol`, `wrong_type`, `out_of_range` and `inexact`.
        slow: entities that the generated encoders had to leave to the reference encoder.
    """

    def __init__(self, name: str, schema: Schema, met: Drift | None = None) -> None:
        self.name, self.schema = name, schema
        self._met = met or Drift()
        self.drift: Counter[tuple[str, str]] = Counter()
        self.slow = 0
        self._generator = Generator(schema)
        self._reference = reference.Reference(schema)
        self._shapes = Shapes(self._generator)
        self._picking: dict[tuple[str | None, ...], Shapes] = {}

    def shapes(self, *picked: str | None) -> Shapes:
        """The generated encoders themselves, for loops that need more of an entity than `encode` gives."""
        return self._picking.setdefault(picked, Shapes(self._generator, picked))

    def begin_drift(self) -> Counter[tuple[str, str]]:
        """Count drift from nothing for a while; returns what had been counted, for `end_drift`."""
        counted, self.drift = self.drift, Counter()
        return counted

    def end_drift(self, counted: Counter[tuple[str, str]]) -> None:
        """Subtract what was counted since `begin_drift` from what had been counted before."""
        again, self.drift = self.drift, counted
        for drift, count in again.items():
            self.drift[drift if drift in self.drift else (OTHER, drift[1])] -= count

    def encode(self, entity: Any, exact: bool = False) -> tuple[bytes, int | None]:
        """Encode one entity.

        Args:
            entity: as decoded from JSON.
            exact: it was decoded by `exact_loads`, so that no number in it has been rounded.

        Returns:
            Avro bytes of the `Value`, without framing, and the entity's own time in epoch milliseconds if it has one.

        Raises:
            Unencodable: `not_an_object`, `no_id`, `id_not_int64`, `too_deep` or `name_not_unicode`.
            Inexact: a number may have been rounded; decode the frame with `exact_loads` and say `exact=True`.
        """
        try:
            encoded: tuple[bytes, int | None] = self._shapes[len(entity)](entity)
        except UNUSUAL:
            return self._unusual(entity, exact)
        return encoded

    def _unusual(self, entity: Any, exact: bool) -> tuple[bytes, int | None]:
        """A shape not seen before, a null, an unknown field, or something the schema cannot hold."""
        reference.entity_id(entity)
        fields = self._generator.fields
        known = {name: value for name, value in entity.items() if value is not None and name in fields}
        rest = {name: value for name, value in entity.items() if value is not None and name not in fields}
        try:
            body, time = self._shapes[len(known)](known)
        except UNUSUAL:
            return self._slowly(entity, exact)
        return (body[:-1] + self._unmapped(rest, exact) if rest else body), time

    def _unmapped(self, rest: dict[str, Any], exact: bool) -> bytes:
        """The map `unmapped` of nothing but unknown fields, in Avro: what a new field of the broker costs."""
        if not exact:
            refuse_rounded(rest)
        parts = reference.Split({})
        for name, value in rest.items():
            parts.keep((name,), value, "unknown_field")
        self._note(parts)
        entries = b"".join([primitives.text(k) + primitives.text(v) for k, v in sorted(parts.unmapped.items())])
        return primitives.varint(len(rest)) + entries + b"\0"

    def _slowly(self, entity: dict[str, Any], exact: bool) -> tuple[bytes, int | None]:
        if not exact:
            refuse_rounded(entity)
        self.slow += 1
        parts = self._reference.split(entity)
        self._note(parts)
        time = parts.datum.get("timestamp")
        return self._reference.write(parts), time if type(time) is int else None

    def _note(self, parts: reference.Split) -> None:
        for drift in parts.drift:
            known = drift in self.drift or len(self.drift) < DRIFTS
            self.drift[drift if known else (OTHER, drift[1])] += 1
            self._met.note(self.name, *drift)
