"""From bytes in Kafka to records for the judge."""

from __future__ import annotations

import io
from typing import Any

import fastavro

from bridge.oracle.certificates import weight
from bridge.oracle.content import canonical, wire_form
from bridge.oracle.records import Record, Source
from bridge.oracle.schemas import SINGLE_OBJECT, Codec, Folder, Registry, UndecodableError, value_of

ARCHIVED = "syncbridge.archived"
"""Header of a tombstone that archives instead of deleting."""


class Decoder:
    """Reads keys and values in either framing: Confluent's (zero byte, id of four bytes) or single-object."""

    def __init__(self, registry: Registry | str | None = None, folder: Folder | None = None) -> None:
        self._registry = Registry(registry) if isinstance(registry, str) else registry
        self._folder = folder or (None if registry else Folder())

    async def record(
        self, entity_type: str, partition: int, offset: int, key: bytes, value: bytes | None, headers: dict[str, bytes]
    ) -> Record:
        """One record of an entity topic.

        Raises:
            UndecodableError: key or value cannot be read.
        """
        number = (await self._read(key))[1]["id"]
        if value is None:
            return Record(entity_type, partition, offset, number, archived=ARCHIVED in headers)
        codec, envelope = await self._read(value)
        shape = value_of(codec.raw)
        sides = (envelope[side] for side in ("before", "after"))
        before, after = (None if s is None else canonical(wire_form(s, shape)) for s in sides)
        return Record(
            entity_type, partition, offset, number, envelope["op"], before, after, _source(envelope["source"]),
            weight=None if after is None else weight(number, codec.written(envelope["after"])),
        )  # fmt: skip

    async def value(self, data: bytes) -> dict[str, Any]:
        """Any value, logical types left as numbers.

        Raises:
            UndecodableError: it cannot be read.
        """
        return (await self._read(data))[1]

    async def _read(self, data: bytes) -> tuple[Codec, dict[str, Any]]:
        if data[:1] == b"\x00" and self._registry is not None:
            codec, body = await self._registry.find(int.from_bytes(data[1:5], "big")), data[5:]
        elif data[:2] == SINGLE_OBJECT and self._folder is not None:
            codec, body = self._folder.find(data[2:10]), data[10:]
        else:
            raise UndecodableError(f"framed in no known way: {data[:12].hex()}")
        stream = io.BytesIO(body)
        try:
            value = fastavro.schemaless_reader(stream, codec.parsed, None)
        except (EOFError, IndexError, ValueError, TypeError, OverflowError) as problem:
            raise UndecodableError(f"not what its schema says: {problem}") from problem
        if stream.tell() != len(body) or not isinstance(value, dict):
            raise UndecodableError(f"{len(body) - stream.tell()} bytes too many")
        return codec, value


def _source(source: dict[str, Any]) -> Source:
    names = ("snapshot", "shard", "divisor", "epoch", "seq", "frame", "frame_last", "received_us", "resend")
    return Source(**{name: source[name] for name in names}, account_id=source.get("account_id"))
