"""From records to record batches as a produce request carries them (Kafka's format 2). No I/O; hot.

Records are encoded the moment they are made, by aiokafka's builder or, where the accelerator was built, in C
(`speed/records.c`): kept as objects they would be packed when megabytes of others have driven them out of the
processor's caches. So only the head of each batch is written at the end. All ways give the same bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, cast

from aiokafka import codec
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

from bridge.kafka.checksum import exchanged
from bridge.kafka.envelope import Archived, Record, Records

if TYPE_CHECKING:
    from bridge.speed._native import Records as CompiledRecords

BATCH_BYTES: Final = 256 * 1024
CODECS: Final = {None: 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
_COMPRESS: Final = (None, codec.gzip_encode, codec.snappy_encode, codec.lz4_encode, codec.zstd_encode)
_HEAD: Final = struct.Struct(">qiibIhiqqqhii")
"""Offset, length, leader's epoch, format, checksum, attributes, last offset, first and last time, producer's id and
epoch, sequence, count."""
_AFTER_LENGTH, _CHECKSUM, _CHECKED = 12, 17, 21
LONG_BYTES: Final = 64 * 1024
"""A longer batch is not read again for its checksum, if that was right before it got its head: 98 microseconds less for
a full one."""
_NO_EPOCH, _FORMAT, _TRANSACTIONAL = -1, 2, 0x10
_NOBODY = -1
_NO_HEADERS: Sequence[tuple[str, bytes]] = []


class EncodedRecords:
    """Records of one topic, in batches that lack compression and a right head.

    Attributes:
        write: appends to the batch that grows: offset, time, key, value, headers; gives None if it has no room. For
            loops that have no time for `append`: they call `begin` then, and in any case count what they have written.
        count: records in the batch that grows.
    """

    __slots__ = ("_builder", "_full", "count", "write")

    def __init__(self) -> None:
        self._full: list[tuple[int, Any]] = []
        self._start()

    def _start(self) -> None:
        self._builder: Any = DefaultRecordBatchBuilder(_FORMAT, 0, 0, _NOBODY, _NOBODY, _NOBODY, BATCH_BYTES)
        self.write: Callable[[int, int, bytes, bytes | None, Sequence[tuple[str, bytes]]], Any] = self._builder.append
        self.count = 0

    def begin(self, key: bytes, value: bytes | None) -> None:
        """The first record of another batch, which always fits; it is still to be counted."""
        self._full.append((self.count, self._builder))
        self._start()
        self.write(0, 0, key, value, _NO_HEADERS)

    def append(self, record: Record, /) -> None:
        """One more."""
        if self.write(self.count, 0, *record, _NO_HEADERS) is None:
            self.begin(*record)
        self.count += 1

    def extend(self, records: Iterable[Record], /) -> None:
        """Some more."""
        for record in records:
            self.append(record)

    def __len__(self) -> int:
        return self.count + sum(count for count, _ in self._full)

    def chunks(self) -> int:
        """How many batches they fill."""
        return len(self._full) + (self.count > 0)

    def chunk(self, number: int) -> tuple[int, bytearray]:
        """How many records are in a batch, and the batch, whose head anybody may overwrite, but nothing else.

        The checksum is right for the head that it has.
        """
        count, builder = [*self._full, (self.count, self._builder)][number]
        return count, builder.build()


class Packing:
    """Makes the batches of one producer.

    Args:
        producer_id, producer_epoch: of the producer.
        transactional: whether they are part of transactions.
        compression: name of a codec; a batch that it does not make smaller is left as it is.
    """

    def __init__(self, producer_id: int, producer_epoch: int, *, transactional: bool, compression: str | None) -> None:
        self._id, self._epoch, self._transactional = producer_id, producer_epoch, transactional
        self._codec = CODECS[compression]

    def batches(self, records: Records, sequence: int, timestamp_ms: int) -> Iterator[tuple[int, bytes | bytearray]]:
        """The records in order, as batches, each with its count; one larger than a batch gets one of its own.

        Made one by one, so that a large snapshot does not hold the event loop while all of it is packed.

        Args:
            sequence: of the first record, by this producer to this partition.
        """
        if isinstance(records, list):
            return self._built(records, sequence, timestamp_ms)
        return self._headed(cast("EncodedRecords | CompiledRecords", records), sequence, timestamp_ms)

    def _built(self, records: list[Record], sequence: int, timestamp_ms: int) -> Iterator[tuple[int, bytearray]]:
        headers = Archived.HEADERS if isinstance(records, Archived) else _NO_HEADERS
        packed = 0
        while packed < len(records):
            builder = DefaultRecordBatchBuilder(
                _FORMAT, self._codec, self._transactional, self._id, self._epoch, sequence + packed, BATCH_BYTES
            )
            count = _fill(builder.append, islice(records, packed, None), timestamp_ms, headers)
            packed += count
            yield count, builder.build()

    def _headed(
        self, records: EncodedRecords | CompiledRecords, sequence: int, timestamp_ms: int
    ) -> Iterator[tuple[int, bytearray]]:
        for number in range(records.chunks()):
            count, plain = records.chunk(number)
            batch, compressed_by = self._compressed(plain)
            is_summed = isinstance(records, EncodedRecords) and batch is plain
            before = bytes(batch[: _HEAD.size]) if is_summed and len(batch) > LONG_BYTES else b""
            attributes = compressed_by | (_TRANSACTIONAL if self._transactional else 0)
            _HEAD.pack_into(
                batch, 0, 0, len(batch) - _AFTER_LENGTH, _NO_EPOCH, _FORMAT, 0, attributes, count - 1,
                timestamp_ms, timestamp_ms, self._id, self._epoch, sequence, count,
            )  # fmt: skip
            struct.pack_into(">I", batch, _CHECKSUM, _checksum(batch, before))
            sequence += count
            yield count, batch

    def _compressed(self, batch: bytearray) -> tuple[bytearray, int]:
        """The batch with smaller records, if that is wanted and possible, and what its attributes say of it."""
        compress = _COMPRESS[self._codec]
        if compress is None:
            return batch, 0
        plain = bytes(batch[_HEAD.size :])
        compressed = compress(plain)
        if len(compressed) >= len(plain):
            return batch, 0
        return batch[: _HEAD.size] + compressed, self._codec


def _checksum(batch: bytearray, before: bytes) -> int:
    """Of a batch with a new head; before: the former one with the checksum that was right with it, if there was one."""
    if not before:
        with memoryview(batch) as view:
            return int(calc_crc32c(view[_CHECKED:]))
    (checksum,) = struct.unpack_from(">I", before, _CHECKSUM)
    return exchanged(checksum, before[_CHECKED:], bytes(batch[_CHECKED : _HEAD.size]), len(batch) - _HEAD.size)


def _fill(append: Any, records: Iterable[Record], timestamp_ms: int, headers: Sequence[tuple[str, bytes]]) -> int:
    """Append records while there is room (the first always fits), and say how many; hot."""
    count = 0
    for key, value in records:
        if append(count, timestamp_ms, key, value, headers) is None:
            break
        count += 1
    return count
