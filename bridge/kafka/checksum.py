"""CRC-32C of data whose beginning was changed, without reading the rest again. No I/O.

By how much two checksums differ depends on nothing but where the data differ and how much follows. What follows is
skipped by matrices over the field of two elements, one for each power of two of zero bytes, as zlib's `crc32_combine`
does it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aiokafka.record.util import calc_crc32c

_POLYNOMIAL: Final = 0x82F63B78
_BITS: Final = 32
_MOST_BITS: Final = 31
"""Of how much follows; a Kafka request cannot be longer."""


def exchanged(checksum: int, before: bytes, now: bytes, following: int) -> int:
    """The checksum of `now` and what follows it, given that of `before` and the same.

    Args:
        before, now: of the same length.
        following: how many bytes follow, less than 2 GiB.
    """
    difference = calc_crc32c(before) ^ calc_crc32c(now)
    for bit in range(following.bit_length()):
        if following >> bit & 1:
            difference = _times(_ZEROS[bit], difference)
    return int(checksum ^ difference)


def _times(matrix: Sequence[int], vector: int) -> int:
    """Of a matrix as columns; hot."""
    product = 0
    for column in matrix:
        if vector & 1:
            product ^= column
        vector >>= 1
    return product


def _zeros() -> list[list[int]]:
    """What 1, 2, 4, 8 ... zero bytes make of a checksum."""
    powers = [[_POLYNOMIAL, *(1 << bit for bit in range(_BITS - 1))]]  # of one zero bit
    for _ in range(_MOST_BITS + 2):
        last = powers[-1]
        powers.append([_times(last, column) for column in last])
    return powers[3:]


_ZEROS: Final = _zeros()
