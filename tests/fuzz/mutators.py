"""Ways to spoil what a server sends."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

TOKENS = (
    *(b"null", b"true", b"1e400", b"-0", b"NaN", b"-Infinity", b"1" * 25, b"0.1e-400", b'"\\ud800"', b'"\\u0000"'),
    *(b"[[[[", b"]]]]", b'{"', b"}}", b",,", b'":', b"a[", b"o", b"h", b"c[", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf"),
    *(b'"e":"props"', b'"i":1', b'"s":200', b'"s":429', b'"d":null', b'"id":null', b'"id":9223372036854775808'),
    *(b'"eventType":"Deleted"', b'"entityType":"order"', b'"p-ticket":"x"', b'"p-time":0', b'"entity":[]'),
)
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, -0.0, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63) - 1, 10**400),
    *(
        1e308,
        float("inf"),
        float("nan"),
        "",
        "x" * 5000,
        "\ud800",
        "\x00",
        "2026-11-21T10:00:00Z",
        "2026-02-30T00:00:00Z",
    ),
    *([], {}, [[]], [None], {"": {}}, {"id": 1}, {"year": 2026, "month": 13, "day": 1}, {"hour": 24, "minute": 0}),
)
SIGNALS: tuple[bytes, ...] = (
    *(b"o", b"h", b"c", b'c[3000,"Go away!"]', b"a", b"a[]", b"", b"a[null]", b"[]", b"a{}"),
    b'a[{"s":401,"i":0,"d":"Access is denied"}]',
    b'a[{"s":429,"i":1}]',
    b'a[{"s":200,"i":1,"d":{"p-ticket":"t","p-time":3}}]',
    b'a[{"s":200,"i":1,"d":{"p-ticket":"t","p-time":99999999,"p-captcha":true}}]',
    b'a[{"e":"shutdown","d":{"reasonCode":"Maintenance","reason":"x"}}]',
    b'a[{"e":"shutdown","d":{"reasonCode":"ConnectionQuotaReached"}}]',
    b'a[{"e":"clock","d":"{\\"t\\":\\"2026-11-21T10:00:00Z\\",\\"s\\":1}"}]',
    b'a["{\\"e\\":\\"props\\",\\"d\\":{}}"]',
)
DEEP = 3000
Mutator = Callable[[Random, bytes, Sequence[bytes]], bytes]


def spoilt(r: Random, raw: bytes, pool: Sequence[bytes]) -> bytes:
    """A frame after one to four mutations."""
    for _ in range(r.choice((1, 1, 1, 2, 2, 4))):
        raw = r.choice(MUTATORS)(r, raw, pool)
    return raw[: 1 << 20]


def flip(r: Random, raw: bytes, pool: Sequence[bytes]) -> bytes:  # noqa: ARG001
    out = bytearray(raw)
    for _ in range(min(len(out), r.choice((1, 1, 2, 8)))):
        out[r.randrange(len(out))] ^= 1 << r.randrange(8)
    return bytes(out)


def insert(r: Random, raw: bytes, pool: Sequence[bytes]) -> bytes:  # noqa: ARG001
    at = r.randint(0, len(raw))
    return raw[:at] + (r.choice(TOKENS) if r.random() < 0.8 else r.randbytes(r.randint(1, 16))) + raw[at:]


def cut(r: Random, raw: bytes, pool: Sequence[bytes]) -> bytes:  # noqa: ARG001
    begin = r.randint(0, len(raw))
    return raw[:begin] + raw[begin + r.choice((1, 2, 10, 100)) :]


def truncate(r: Random, raw: bytes, pool: Sequence[bytes]) -> bytes:  # noqa: ARG001
    return raw[: r.randint(0, len(raw))]


def splice(r: Random, raw: bytes, pool: Sequence[bytes]) -> bytes:
    other = r.choice(pool)
    return raw[: r.randint(0, len(raw))] + other[r.randint(0, len(other)) :]


def repeat(r: Random, raw: bytes, pool: Sequence[bytes]) -> bytes:  # noqa: ARG001
    begin = r.randint(0, len(raw))
    piece = raw[begin : begin + r.choice((1, 5, 50, 500))]
    return raw[:begin] + piece * r.choice((2, 3, 50)) + raw[begin:]


def structure(r: Random, raw: bytes, pool: Sequence[bytes]) -> bytes:  # noqa: ARG001
    """Something else somewhere in the JSON; what is no JSON is left alone."""
    try:
        content = json.loads(raw[1:])
    except (ValueError, RecursionError):
        return raw
    holders = list(_holders(content))
    if not holders:
        return raw
    for _ in range(r.choice((1, 1, 2, 5))):
        _change(r, r.choice(holders))
    try:
        return raw[:1] + json.dumps(content, ensure_ascii=r.random() < 0.5).encode("utf-8", "surrogatepass")
    except (ValueError, RecursionError):  # a change has put something into itself, or too deep
        return raw


def deepen(r: Random, raw: bytes, pool: Sequence[bytes]) -> bytes:  # noqa: ARG001
    """A value within very many lists or objects."""
    depth = r.choice((5, 63, 64, 65, 500, DEEP))
    begin, end = (b"[", b"]") if r.random() < 0.5 else (b'{"x":', b"}")
    at = raw.find(b":", r.randint(0, len(raw))) + 1
    return raw[:at] + begin * depth + b"1" + end * depth + b"," * (r.random() < 0.5) + raw[at:]


def _holders(content: Any) -> list[Any]:
    """All objects and lists in a value, itself included."""
    found: list[Any] = []
    todo = [content]
    while todo and len(found) < 2000:
        part = todo.pop()
        if isinstance(part, (dict, list)):
            found.append(part)
            todo += part.values() if isinstance(part, dict) else part
    return found


def _change(r: Random, holder: Any) -> None:
    """Replace, remove, rename or add a member."""
    value = r.choice(ODD)
    if isinstance(holder, list):
        at = r.randint(0, len(holder))
        holder[at : at + r.randint(0, 1)] = [value] * r.choice((0, 1, 1, 3))
        return
    name = r.choice(list(holder)) if holder else "x"
    match r.randrange(4):
        case 0:
            holder[name] = value
        case 1:
            holder.pop(name, None)
        case 2:
            holder[r.choice(("", "x", "/a~", "ключ", name + "s", "x" * 300, "id", "\ud800"))] = holder.pop(name, value)
        case _:
            holder[f"new{r.randrange(50)}"] = value


MUTATORS: Sequence[Mutator] = (flip, insert, cut, truncate, splice, repeat, deepen, *([structure] * 8))
