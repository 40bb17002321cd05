"""How single wire values (protocol section 18) and Avro values correspond, strictly: nothing is coerced or rounded.

A `to_...` function gives the Avro value or raises `Misfit`; a `from_...` function gives the wire value back.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
_MILLISECOND: Final = timedelta(milliseconds=1)
_DATE_TIME: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,3})(\d*))?(?:Z|\+00:00)", re.ASCII
)


class Misfit(ValueError):
    """A wire value that its Avro type cannot hold exactly.

    Attributes:
        kind: why, for metrics: `wrong_type`, `out_of_range`, `inexact` or `unknown_symbol`.
    """

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


def to_long(value: Any) -> int:
    """A 64-bit integer; floats and booleans are none."""
    if type(value) is not int:
        raise Misfit("wrong_type")
    if not -(2**63) <= value < 2**63:
        raise Misfit("out_of_range")
    return value


def to_double(value: Any) -> float:
    """A double: any finite float, and an integer that a double holds exactly."""
    if type(value) not in (int, float):
        raise Misfit("wrong_type")
    try:
        number = float(value)
    except OverflowError:
        raise Misfit("out_of_range") from None
    if number != value:  # also NaN
        raise Misfit("inexact")
    if number in (float("inf"), float("-inf")):
        raise Misfit("out_of_range")
    return number


def to_boolean(value: Any) -> bool:
    """A boolean; 0 and 1 are none."""
    if type(value) is not bool:
        raise Misfit("wrong_type")
    return value


def to_string(value: Any) -> str:
    """A string that has a UTF-8 form, so one without lone surrogates."""
    if type(value) is not str:
        raise Misfit("wrong_type")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Misfit("out_of_range") from None
    return value


def to_symbol(value: Any, known: Collection[str]) -> str:
    """One of the known symbols of an enum."""
    if type(value) is not str:
        raise Misfit("wrong_type")
    if value not in known:
        raise Misfit("unknown_symbol")
    return value


def to_millis(value: Any) -> int:
    """Epoch milliseconds of an ISO-8601 date-time in UTC (`Z` or `+00:00`) with at most millisecond precision."""
    if type(value) is not str:
        raise Misfit("wrong_type")
    found = _DATE_TIME.fullmatch(value)
    if found is None:
        raise Misfit("out_of_range")
    *parts, fraction, finer = found.groups(default="")
    if finer.strip("0"):
        raise Misfit("inexact")
    try:
        moment = datetime(*map(int, parts), tzinfo=UTC)  # type: ignore[misc, arg-type] # six integers
    except ValueError:
        raise Misfit("out_of_range") from None
    return (moment - _EPOCH) // _MILLISECOND + int(fraction.ljust(3, "0"))


def from_millis(millis: int) -> str:
    """The ISO-8601 text of epoch milliseconds, always with three digits of fraction."""
    moment = _EPOCH + millis * _MILLISECOND
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _integers(value: Any, names: tuple[str, ...]) -> list[int]:
    if type(value) is not dict or any(type(value.get(name)) is not int for name in names):
        raise Misfit("wrong_type")
    return [value[name] for name in names]


def to_days(value: Any) -> int:
    """Days since 1970-01-01 of a TradeDate `{year, month, day}`; further members are the caller's concern."""
    try:
        return date(*_integers(value, ("year", "month", "day"))).toordinal() - _EPOCH_ORDINAL
    except (OverflowError, ValueError) as refused:
        raise refused if isinstance(refused, Misfit) else Misfit("out_of_range") from None


def from_days(days: int) -> dict[str, int]:
    """The TradeDate of days since 1970-01-01."""
    day = date.fromordinal(days + _EPOCH_ORDINAL)
    return {"year": day.year, "month": day.month, "day": day.day}


def to_time(value: Any) -> int:
    """Milliseconds since midnight of a TradeTime `{hour, minute}`; further members are the caller's concern."""
    hour, minute = _integers(value, ("hour", "minute"))
    if not (0 <= hour < 24 and 0 <= minute < 60):
        raise Misfit("out_of_range")
    return (hour * 60 + minute) * 60_000


def from_time(millis: int) -> dict[str, int]:
    """The TradeTime of milliseconds since midnight."""
    hour, minute = divmod(millis // 60_000, 60)
    return {"hour": hour, "minute": minute}
