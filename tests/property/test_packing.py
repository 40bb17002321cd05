"""Records encoded one by one against aiokafka's builder given all of them: the same batches."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.kafka.envelope import Archived, Record, Records
from bridge.kafka.packing import BATCH_BYTES, CODECS, EncodedRecords, Packing
from tests.packed import read

RECORD = st.tuples(
    st.binary(max_size=40), st.none() | st.binary(max_size=300) | st.integers(0, 2 * BATCH_BYTES).map(bytes)
)
SEQUENCE, NOW_MS = 2**31 - 9_000_000, 1_772_366_400_130


def packed(records: Records, compression: str | None, *, producer: int = 4_000_000_007) -> list[tuple[int, bytes]]:
    packing = Packing(producer, 3, transactional=producer % 2 == 1, compression=compression)
    return [(count, bytes(batch)) for count, batch in packing.batches(records, SEQUENCE, NOW_MS)]


@given(st.lists(RECORD, max_size=8), st.integers(1, 300), st.sampled_from(sorted(CODECS, key=str)))
def test_records_encoded_one_by_one_fill_the_same_batches(some: list[Record], times: int, compression: Any) -> None:
    small = [record for record in some if len(record[1] or b"") <= 300] * times
    records = EncodedRecords()
    for record in some:
        records.append(record)
    records.extend(small)
    wanted, found = packed([*some, *small], compression), packed(records, compression)
    if compression is None:
        assert found == wanted
    assert all(len(batch) <= len(other) for (_, batch), (_, other) in zip(found, wanted, strict=True)), "left as it is"
    assert [(count, batch[57:61]) for count, batch in found] == [(count, batch[57:61]) for count, batch in wanted]
    assert read(batch for _, batch in found) == some + small
    assert len(records) == len(some) + len(small)


@pytest.mark.parametrize("compression", ["zstd", None])
def test_packed_again_by_another_producer_they_are_the_same_records(compression: str | None) -> None:
    """As a transaction of unknown outcome is."""
    some: list[Record] = [(b"k%d" % number, b"v" * 1000) for number in range(600)]
    records = EncodedRecords()
    records.extend(some)
    first = packed(records, compression)
    assert len(first) == 3
    again = packed(records, compression, producer=8)
    assert read(batch for _, batch in again) == some
    assert again == packed(list(some), compression, producer=8)
    assert packed(records, compression) == first


def test_no_records_are_no_batch() -> None:
    assert packed(EncodedRecords(), None) == []
    assert len(EncodedRecords()) == 0


@given(st.lists(RECORD, min_size=1, max_size=4))
def test_tombstones_of_what_is_archived_have_their_header(some: list[Record]) -> None:
    plain, archived = packed(list(some), None), packed(Archived(some), None)
    assert [count for count, _ in plain] == [count for count, _ in archived]
    assert all(b"syncbridge.archived" in batch for _, batch in archived)
