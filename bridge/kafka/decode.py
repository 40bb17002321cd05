"""From framed bytes back to plain values: for people (`tail`), not for the hot path.

Reads both framings: Confluent's with the registry's schemas, Avro single-object encoding with the shipped ones.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Mapping
from typing import Any

import fastavro

from bridge.entities import schemas
from bridge.errors import KafkaUnusable
from bridge.kafka.registry import Registry


class RecordDecoder:
    """Decodes keys and values of any topic of the bridge.

    Args:
        known: schemas for single-object encoding.
        registry: where ids of Confluent's format are looked up; entered.
    """

    def __init__(self, known: Iterable[Mapping[str, Any]], registry: Registry | None) -> None:
        self._registry = registry
        self._by_fingerprint = {schemas.fingerprint(dict(s)): fastavro.parse_schema(dict(s)) for s in known}
        self._by_id: dict[int, Any] = {}

    async def decode(self, data: bytes | None) -> Any:
        """The decoded value; None for a tombstone.

        Raises:
            KafkaUnusable: the bytes are in no framing that can be read here.
        """
        if data is None:
            return None
        if data[:1] == b"\x00" and len(data) >= 5:
            return _read(data[5:], await self._schema(data))
        parsed = self._by_fingerprint.get(data[2:10]) if data[:2] == b"\xc3\x01" else None
        if parsed is None:
            raise KafkaUnusable(
                f"a record is written with a schema that is not known here ({data[:10].hex()}); it comes from another "
                "version of the bridge or from another program"
            )
        return _read(data[10:], parsed)

    async def _schema(self, data: bytes) -> Any:
        (number,) = struct.unpack(">I", data[1:5])
        if number not in self._by_id:
            if self._registry is None:
                raise KafkaUnusable("the records were written with a schema registry; set registry.url")
            self._by_id[number] = fastavro.parse_schema(dict(await self._registry.schema(number)))
        return self._by_id[number]


def _read(body: bytes, schema: Any) -> Any:
    try:
        return fastavro.schemaless_reader(io.BytesIO(body), schema, None)
    except (EOFError, ValueError, LookupError, OverflowError) as error:
        raise KafkaUnusable(
            f"a record does not hold what its schema says ({type(error).__name__}: {error}); another program wrote it"
        ) from error
