"""Pieces of Avro binary, as fast as Python makes them: tables and bounded memos instead of arithmetic.

Everything here is strict in the way `values` is: what is not exactly right raises, and the caller falls back on the
reference encoder.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson

from bridge.entities.values import Misfit, to_days, to_double, to_millis, to_time

OPTIONAL: Final = b"\2"
"""Branch 1 of `["null", T]`."""
NULL: Final = b"\0"
TRUE: Final = OPTIONAL + b"\1"
FALSE: Final = OPTIONAL + b"\0"
LARGEST_EXACT: Final = 2.0**53
"""Up to here every integer is a double, and no float can be an integer that was rounded on the way in."""
_MEMO_LIMIT: Final = 16_384
_LONGEST_MEMO: Final = 64  # characters; longer texts seldom come twice

_MORE: Final = [bytes((i & 0x7F | 0x80, i >> 7 | 0x80)) for i in range(1 << 14)]
_LAST: Final = [bytes((i,)) if i < 128 else bytes((i & 0x7F | 0x80, i >> 7)) for i in range(1 << 14)]
SIZES, _LOW = _LAST[::2], _MORE[::2]
"""Of what is not negative, so that its zigzag form is even: numbers below 2**13, and the lowest 13 bits of others."""


def varint(n: int) -> bytes:
    """Avro's int and long: zigzag, then 7 bits a byte, here 14 at a time by table.

    Raises:
        Misfit: beyond 64 bits. TypeError: not an integer (booleans are not noticed).
    """
    n = n << 1 if n >= 0 else (-n << 1) - 1
    if n < 0x4000:
        return _LAST[n]
    if n < 0x1000_0000:
        return _MORE[n & 0x3FFF] + _LAST[n >> 14]
    if n < 0x400_0000_0000:
        return _MORE[n & 0x3FFF] + _MORE[n >> 14 & 0x3FFF] + _LAST[n >> 28]
    if n < 0x100_0000_0000_0000:
        return _MORE[n & 0x3FFF] + _MORE[n >> 14 & 0x3FFF] + _MORE[n >> 28 & 0x3FFF] + _LAST[n >> 42]
    if n >> 64:
        raise Misfit("out_of_range")
    return _MORE[n & 0x3FFF] + _MORE[n >> 14 & 0x3FFF] + _long_tail(n >> 28)


def _long_tail(n: int) -> bytes:
    tail = bytearray()
    while n > 0x7F:
        tail.append(n & 0x7F | 0x80)
        n >>= 7
    tail.append(n)
    return bytes(tail)


def text(value: str) -> bytes:
    """Avro's string: length in bytes, then UTF-8."""
    encoded = value.encode()
    return varint(len(encoded)) + encoded


class Memo(dict[Any, Any]):
    """A bounded memo: `memo[key]` computes what it does not hold, and forgets everything when it is full."""

    def __init__(self, compute: Callable[[Any], Any], limit: int = _MEMO_LIMIT) -> None:
        super().__init__()
        self._compute, self._limit = compute, limit

    def __missing__(self, key: Any) -> Any:
        value = self._compute(key)
        if len(self) >= self._limit:
            self.clear()
        self[key] = value
        return value


class ShortMemo(Memo):
    """A memo of texts, or of bytes, that computes long ones each time."""

    def __missing__(self, key: Any) -> Any:
        return super().__missing__(key) if len(key) <= _LONGEST_MEMO else self._compute(key)


def _exactly(convert: Callable[[Any], int], members: int) -> Callable[[bytes], bytes]:
    """Encode an object that orjson has written, provided that it has no further members."""

    def encode(written: bytes) -> bytes:
        value = orjson.loads(written)
        converted = convert(value)
        if len(value) != members:
            raise Misfit("wrong_type")
        return OPTIONAL + varint(converted)

    return encode


class Ids(dict[int, bytes]):
    """A memo of `varint`. Many ids come but twice, so to miss one costs no more than to encode it twice."""

    def __missing__(self, n: int) -> bytes:
        if 0x800_0000 <= n < 0x200_0000_0000:  # as most ids are
            encoded = _LOW[n & 0x1FFF] + _MORE[n >> 13 & 0x3FFF] + _LAST[n >> 27]
        else:
            encoded = varint(n)
        if len(self) >= _MEMO_LIMIT:
            self.clear()
        self[n] = encoded
        return encoded


IDS: Final = Ids()
"""Longs that are not optional: an id comes again with each event of its entity, in keys, and in what refers to it."""
LONGS: Final = Memo(lambda n: OPTIONAL + varint(n))
"""Optional longs that come again and again: accounts, contracts, quantities. The key must be an int, no boolean."""
TEXTS: Final = ShortMemo(lambda value: OPTIONAL + text(value))
DATES: Final = ShortMemo(_exactly(to_days, 3))
"""By the JSON of a TradeDate, which tells 1, 1.0 and true apart as dict keys do not."""
TIMES: Final = ShortMemo(_exactly(to_time, 2))

_DAYS: Final = Memo(lambda prefix: to_millis(prefix + "00:00:00Z"))
_CLOCK: Final = {f"{minute // 60:02d}:{minute % 60:02d}:": minute * 60_000 for minute in range(1440)}
_SECONDS: Final = {f"{second:02d}.": second * 1000 for second in range(60)}
_MILLIS: Final = {f"{millis:03d}Z": millis for millis in range(1000)}


_WHOLE: Final = Memo(lambda value: _DAYS[value[:11]] + _CLOCK[value[11:17]] + _SECONDS[value[17:]], 1000)
"""Milliseconds of whole seconds; what happens now shares few of them. KeyError if it is not in the usual form."""


def millis(value: Any) -> int:
    """As `values.to_millis`; the usual form, with three digits and Z, by look-ups."""
    try:
        moment: int = _WHOLE[value[:20]] + _MILLIS[value[20:]]
    except KeyError:
        return to_millis(value)
    return moment


def exact(value: Any) -> Any:
    """A number that a double holds, provided that it is not of a size where int and float may not be the same any more.

    Raises:
        Misfit: otherwise.
    """
    if not -LARGEST_EXACT <= to_double(value) <= LARGEST_EXACT:
        raise Misfit("inexact")
    return value


_MOST_MOMENTS: Final = 1000


_HIGHER: Final = Memo(lambda n: varint(n << 13)[2:], 1000)


def ascending(n: int) -> bytes:
    """As `varint`, sooner for times and running numbers: all but their lowest 14 bits is seldom new."""
    if n >= 0x2000:
        encoded: bytes = _LOW[n & 0x1FFF] + _HIGHER[n >> 13]
        return encoded
    return varint(n)


def block_of(n: int) -> tuple[list[bytes], bytes]:
    """For running numbers: what precedes what in the encodings of all numbers that are `n` without its last 13 bits.

    The encoding of such a number is `table[number & 0x1FFF] + rest`.
    """
    return (_LOW, _HIGHER[n >> 13]) if n >= 0x2000 else (SIZES, b"")


class Moments(dict[str, tuple[bytes, int]]):
    """A memo of optional date-times, and of their milliseconds.

    What happens at once has one time. None comes back later, so few are held, and one that is not must cost little.
    """

    def __missing__(self, value: Any) -> tuple[bytes, int]:
        since = millis(value)
        encoded = OPTIONAL + ascending(since)
        if len(self) >= _MOST_MOMENTS:
            self.clear()
        self[value] = moment = encoded, since
        return moment


MOMENTS: Final = Moments()
