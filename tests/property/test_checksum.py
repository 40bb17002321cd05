"""The checksum of data whose beginning was changed, against that of all of it."""

from __future__ import annotations

from aiokafka.record.util import calc_crc32c
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.kafka.checksum import exchanged

HEADS = st.integers(0, 60).flatmap(lambda size: st.tuples(*[st.binary(min_size=size, max_size=size)] * 2))


@given(HEADS, st.integers(0, 300_000), st.binary(max_size=50))
@example((b"", b""), 0, b"")
@example((b"a", b"b"), 0, b"")
@example((b"a", b"b"), 1 << 20, b"c")
def test_it_is_the_checksum_of_the_whole(heads: tuple[bytes, bytes], size: int, end: bytes) -> None:
    (before, now), rest = heads, bytes(size) + end
    assert exchanged(calc_crc32c(before + rest), before, now, len(rest)) == calc_crc32c(now + rest)
