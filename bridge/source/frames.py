"""Frames of the broker's socket: what a frame is, what an array frame holds, and how a request is written.

Owns the text level of the protocol (protocol sections 4 and 5). Refuses to know what messages mean: see `messages`.
"""

from __future__ import annotations

import json
from enum import Enum
from typing import Any, Final

import orjson

from bridge.entities.exact import exact_loads
from bridge.errors import Unencodable

HEARTBEAT: Final = "[]"
"""The client's heartbeat, sent every 2.5 s for the life of the socket (protocol section 5)."""

_REASON_CHARACTERS: Final = 500


class Kind(Enum):
    """What a frame from the server is, by its first character (protocol section 4)."""

    OPEN = "o"
    HEARTBEAT = "h"
    ARRAY = "a"
    CLOSE = "c"
    GARBAGE = "garbage"


def classify(raw: bytes) -> Kind:
    """Tell what a frame is. `o` and `h` stand alone, `a` and `c` carry JSON; everything else is garbage."""
    first, rest = raw[:1], raw[1:2]
    if first == b"a" and rest:
        return Kind.ARRAY
    if first == b"h" and not raw[1:].strip():
        return Kind.HEARTBEAT
    if first == b"o" and not raw[1:].strip():
        return Kind.OPEN
    if first == b"c" and rest in {b"", b"[", b"\n", b" "}:
        return Kind.CLOSE
    return Kind.GARBAGE


def read_json(text: bytes) -> Any:
    """Read JSON as fast as can be, and exactly where the fast reader refuses (1e400, lone surrogates, NaN).

    Raises:
        ValueError: it is not JSON, or it is nested deeper than any reader can follow.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return read_exactly(text)


def read_exactly(text: bytes) -> Any:
    """Read JSON with integers of any size and nothing rounded; slow. See `bridge.entities.exact`.

    Raises:
        ValueError: it is not JSON, or it is nested deeper than any reader can follow.
    """
    try:
        return exact_loads(text)
    except Unencodable as error:
        raise ValueError(str(error)) from error


def elements(raw: bytes, *, exact: bool = False) -> list[Any]:
    """Read the messages of an array frame, in order; those that are JSON strings holding an object are unwrapped.

    Raises:
        ValueError: the frame's payload is not a JSON array.
    """
    parsed = (read_exactly if exact else read_json)(raw[1:])
    if not isinstance(parsed, list):
        raise ValueError("the payload of an array frame is not an array")  # noqa: TRY004  it is data, not a caller's slip
    return [unwrap(element) if isinstance(element, str) else element for element in parsed]


def unwrap(element: str) -> Any:
    """Read a message that came as a JSON string, as in the original SockJS; give the string itself if it is none."""
    if not element.lstrip().startswith("{"):
        return element
    try:
        inner = read_json(element.encode("utf-8", "surrogatepass"))
    except ValueError:
        return element
    return inner if isinstance(inner, dict) else element


def close_reason(raw: bytes) -> tuple[int | None, str]:
    """Read code and reason of a `c` frame, which may be bare or `c[code,"reason"]` (protocol sections 4 and 11)."""
    try:
        parsed = read_json(raw[1:])
    except ValueError:
        return None, raw[1:].decode("utf-8", "replace").strip()[:_REASON_CHARACTERS]
    members = parsed if isinstance(parsed, list) else [None, parsed]
    code = members[0] if members else None
    reason = members[1] if len(members) > 1 else ""
    return (code if type(code) is int and 0 <= code < 65536 else None), plain_text(reason)


def plain_text(value: Any) -> str:
    """Make a short text of what an error answer holds: a string, at times encoded as JSON twice, or an object."""
    for _ in range(2):
        if not (isinstance(value, str) and value[:1] == '"' and value[-1:] == '"'):
            break
        try:
            value = json.loads(value)
        except ValueError:
            break
    if value is None:
        return ""
    text = value if isinstance(value, str) else _dump(value)
    return text.encode("utf-8", "replace").decode()[:_REASON_CHARACTERS]


def request(endpoint: str, request_id: int, body: str = "", query: str = "") -> str:
    r"""Write a request: four fields split by `\n`, empty ones included (protocol section 4)."""
    return f"{endpoint}\n{request_id}\n{query}\n{body}"


def _dump(value: Any) -> str:
    try:
        return json.dumps(value, default=str)
    except RecursionError:
        return "(nested too deeply to be shown)"
