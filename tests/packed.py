"""What is in a transaction's batches, read from the bytes that a broker would get."""

from __future__ import annotations

from collections.abc import Iterable

from aiokafka.record import MemoryRecords

from bridge.kafka.envelope import Record, Records
from bridge.kafka.packing import Packing


def records_of(records: Records, *, compression: str | None = None) -> list[Record]:
    """Key and value of each, in order."""
    packing = Packing(7, 1, transactional=True, compression=compression)
    return read(batch for _, batch in packing.batches(records, 0, 1000))


def read(batches: Iterable[bytes | bytearray]) -> list[Record]:
    """The same of batches; aiokafka checks them."""
    found: list[Record] = []
    for batch in batches:
        reader = MemoryRecords(bytes(batch))
        while (next_batch := reader.next_batch()) is not None:
            assert next_batch.validate_crc()
            found += [(record.key or b"", record.value) for record in next_batch]
    return found
