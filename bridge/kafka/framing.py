"""What stands before the Avro bytes: Confluent's wire format with a registry, Avro single-object encoding without.

Pure. The registry ids are looked up elsewhere and handed in.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from bridge.entities import schemas

Part = Literal["key", "value"]
REGISTRY, SINGLE_OBJECT = "registry", "single-object"


class Framing(Protocol):
    """Gives the bytes that stand before a key or value of a topic."""

    @property
    def name(self) -> str:
        """`registry` or `single-object`, as the state topic remembers it."""

    def prefix(self, topic: str, part: Part, schema: Mapping[str, Any]) -> bytes:
        """Bytes before the Avro body of this topic's key or value."""

    def schema_id(self, topic: str, part: Part) -> int | None:
        """Registry id, if there is one."""


@dataclass(frozen=True, slots=True)
class SingleObject:
    """Marker C3 01 and the schema's CRC-64-AVRO fingerprint, little-endian (Avro specification)."""

    name: str = SINGLE_OBJECT

    def prefix(self, topic: str, part: Part, schema: Mapping[str, Any]) -> bytes:  # noqa: ARG002 - the schema says all
        """Ten bytes, the same for every topic that uses the schema."""
        return b"\xc3\x01" + schemas.fingerprint(dict(schema))

    def schema_id(self, topic: str, part: Part) -> int | None:  # noqa: ARG002 - there are no ids
        """None: nobody hands out ids here."""
        return None


@dataclass(frozen=True, slots=True)
class Confluent:
    """Magic byte 0 and the registry's id, big-endian.

    Attributes:
        ids: registry id by subject (`<topic>-key`, `<topic>-value`).
    """

    ids: Mapping[str, int]
    name: str = REGISTRY

    def prefix(self, topic: str, part: Part, schema: Mapping[str, Any]) -> bytes:  # noqa: ARG002 - the subject says all
        """Five bytes."""
        return struct.pack(">BI", 0, self.ids[f"{topic}-{part}"])

    def schema_id(self, topic: str, part: Part) -> int | None:
        """Registry id of the subject."""
        return self.ids[f"{topic}-{part}"]
