"""JSON read and written without losing anything, for the values that the fast decoder cannot be trusted with.

orjson turns integers beyond 64 bits into floats without a word and refuses what is not quite JSON. `exact_loads` reads
a frame again with integers of any size and keeps the text of numbers that nothing in Python holds.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any, Final

from bridge.errors import Unencodable

DOUBTFUL: Final = 2.0**63
"""From this magnitude on a float may be an integer that orjson has rounded."""
MAX_DEPTH: Final = 64
"""Objects and lists within each other; the protocol's own entities nest two deep."""
_LONGEST_INTEGER: Final = 400  # digits; more than any double has, less than Python ever refuses to convert
_scalar: Final = json.JSONEncoder(ensure_ascii=False).encode
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class Inexact(ValueError):
    """A number may have been rounded on the way in: read the raw frame with `exact_loads` and encode again."""


@dataclass(frozen=True, slots=True)
class RawNumber:
    """A number that neither int nor float holds, as its text: `1e999`, an integer of 500 digits, `NaN`."""

    text: str


def _integer(text: str) -> int | RawNumber:
    return int(text) if len(text) <= _LONGEST_INTEGER else RawNumber(text)


def _float(text: str) -> float | RawNumber:
    number = float(text)
    return number if math.isfinite(number) else RawNumber(text)


def exact_loads(raw: bytes | str) -> Any:
    """Decode JSON with exact integers; floats become the nearest double, what overflows a double a `RawNumber`.

    Accepts what Python's json accepts: also NaN, Infinity and lone surrogates.

    Raises:
        ValueError: not JSON, or not UTF-8.
        Unencodable: nested too deeply to be read (`too_deep`).
    """
    text = raw if isinstance(raw, str) else raw.decode("utf-8", "surrogatepass")
    try:
        return json.loads(text, parse_int=_integer, parse_float=_float, parse_constant=RawNumber)
    except RecursionError:
        raise too_deep() from None


def too_deep() -> Unencodable:
    """The error for a value nested beyond `MAX_DEPTH`."""
    return Unencodable("too_deep", f"nested deeper than {MAX_DEPTH} objects and lists")


def refuse_rounded(value: Any) -> None:
    """Look through a value that was not decoded by `exact_loads` for numbers that may have been rounded.

    Raises:
        Inexact: there is a float of 2**63 or more in it.
    """
    level = [value]
    while level:
        if any(type(part) is float and not -DOUBTFUL < part < DOUBTFUL for part in level):
            raise Inexact("a number of 2**63 or more may have been rounded; read the frame exactly")
        inner = [part for part in level if isinstance(part, (dict, list))]
        level = [part for outer in inner for part in (outer.values() if isinstance(outer, dict) else outer)]


def exact_dumps(value: Any) -> str:
    """Canonical JSON text: keys sorted, no spaces, integers and `RawNumber` in full, lone surrogates escaped.

    Raises:
        Unencodable: nested deeper than `MAX_DEPTH` (`too_deep`).
        TypeError: not a JSON value.
    """
    return _text(value, MAX_DEPTH)


def _text(value: Any, depth: int) -> str:
    if isinstance(value, str):
        return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", _scalar(value))
    if isinstance(value, (dict, list)):
        if depth == 0:
            raise too_deep()
        if isinstance(value, list):
            return "[" + ",".join([_text(item, depth - 1) for item in value]) + "]"
        members = [f"{_text(key, 0)}:{_text(value[key], depth - 1)}" for key in sorted(value)]
        return "{" + ",".join(members) + "}"
    return value.text if isinstance(value, RawNumber) else _scalar(value)


def any_depth_dumps(value: Any) -> str:
    """As `exact_dumps` but at any depth, and slower: for what must be kept whole because it cannot be encoded.

    Raises:
        TypeError: not a JSON value.
    """
    out: list[str] = []
    todo = [value]
    while todo:
        part = todo.pop()
        if isinstance(part, (dict, list)):
            todo += reversed(_taken_apart(part))
        else:
            out.append(_text(part, 0))
    return "".join(out)


def _taken_apart(part: dict[str, Any] | list[Any]) -> list[Any]:
    """The members of an object or list, and the signs around them as text that goes out as it is."""
    members = part if isinstance(part, list) else [part[key] for key in sorted(part)]
    before = [""] * len(part) if isinstance(part, list) else [_text(key, 0) + ":" for key in sorted(part)]
    pieces: list[Any] = [RawNumber("[" if isinstance(part, list) else "{")]
    for at, member in enumerate(members):
        pieces += [RawNumber(("," if at else "") + before[at]), member]
    return [*pieces, RawNumber("]" if isinstance(part, list) else "}")]
