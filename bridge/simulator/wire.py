"""Frames as they stand on the wire (protocol sections 4, 8 and 9). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import orjson

from bridge.simulator.catalogue import TYPES
from bridge.simulator.options import Options
from bridge.simulator.sharding import RequestError, Subscription, wants
from bridge.simulator.store import Change, Store

MAX_ID_DIGITS = 19
REQUIRED_LISTS = ("user", "contractGroup")


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a client. `id` is None where the client sent no number."""

    endpoint: str
    id: int | None
    query: str
    body: str


@dataclass(frozen=True, slots=True)
class Part:
    """A frame and the versions that it shows."""

    text: bytes
    changes: list[Change]


def parse_request(text: str) -> Request:
    r"""Reads `<endpoint>\n<id>\n<query>\n<body>` with the variants that real clients send.

    Fields may be missing at the end, a newline may follow, absent ones may be the word `undefined`.
    """
    fields = [*text.split("\n", 3), "", "", ""][:4]
    endpoint, number, query, body = (f.strip() for f in fields)
    query, body = ("" if f == "undefined" else f for f in (query, body))
    known = number.isdecimal() and len(number) < MAX_ID_DIGITS
    return Request(endpoint.strip("/").lower(), int(number) if known else None, query, body)


def json_body(request: Request) -> dict[str, Any]:
    """The JSON object in a request's body; an empty one counts as `{}`.

    Raises:
        RequestError: it is something else.
    """
    try:
        body = orjson.loads(request.body or "{}")
    except orjson.JSONDecodeError as problem:
        raise RequestError(f"the body is not JSON: {problem}") from problem
    if not isinstance(body, dict):
        raise RequestError("the body is an object")
    return body


def token_of(body: str) -> str:
    """The token in an authorize body: raw, in JSON quotes, or in an object."""
    if body[:1] == '"':
        body = body.strip('"')
    elif body[:1] == "{":
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError:
            return body
        return str(value.get("token", "")) if isinstance(value, dict) else ""
    return body


def frame(messages: Iterable[bytes], options: Options) -> bytes:
    """An `a[...]` frame of messages."""
    if options.string_elements:
        messages = (orjson.dumps(m.decode()) for m in messages)
    return b"a[" + b",".join(messages) + b"]"


def padded(text: bytes, size: int) -> bytes:
    """An `a[...]` frame grown to a size by blanks, which change nothing in JSON."""
    return text[:2] + b" " * max(0, size - len(text)) + text[2:]


def response(number: int | None, status: int, options: Options, data: Any = None) -> bytes:
    """An answer; `data` is left out where there is none, texts of errors may be encoded twice."""
    message: dict[str, Any] = {"s": status}
    if number is not None:
        message["i"] = number
    if data is not None:
        twice = options.double_errors and status >= 300 and isinstance(data, str)
        message["d"] = orjson.dumps(data).decode() if twice else data
    return frame([orjson.dumps(message)], options)


def _body(change: Change, options: Options) -> bytes:
    if change.event == "Deleted" and options.deleted_body == "id":
        return b'{"id":%d}' % change.id
    return change.json


def _event(entity_type: str, event: str, entity: bytes) -> bytes:
    if event == "none":
        return b'{"entityType":"%s","entity":%s}' % (entity_type.encode(), entity)
    return b'{"entityType":"%s","eventType":"%s","entity":%s}' % (entity_type.encode(), event.encode(), entity)


def _events(changes: list[Change], options: Options) -> Iterator[bytes]:
    if not options.entity_array:
        for change in changes:
            yield _event(change.entity_type, change.event, _body(change, options))
        return
    for (entity_type, event), group in groupby(changes, key=lambda c: (c.entity_type, c.event)):
        yield _event(entity_type, event, b"[" + b",".join(_body(c, options) for c in group) + b"]")


def _props(events: Iterable[bytes], options: Options) -> list[bytes]:
    if options.event_array:
        return [b'{"e":"props","d":[' + b",".join(events) + b"]}"]
    return [b'{"e":"props","d":' + event + b"}" for event in events]


def event_frames(changes: list[Change], options: Options) -> Iterator[Part]:
    """Changes that belong together as props frames."""
    size = options.messages_per_frame or len(changes)
    for first in range(0, len(changes), size):
        some = changes[first : first + size]
        yield Part(frame(_props(_events(some, options), options), options), some)


def snapshot_rows(store: Store, sub: Subscription, options: Options, now_ms: int = 0) -> dict[str, list[Change]]:
    """The rows of a snapshot by entity type, in the order of the published lists; requested types only.

    Told the time, it shows the world as long ago as `snapshot_lag_s` says.
    """
    rows: dict[str, list[Change]] = {}
    lag_ms = round(options.snapshot_lag_s * 1000)
    changed = store.since(now_ms - lag_ms) if now_ms and lag_ms else {}
    whatever_type = replace(sub, types=None)
    for t in TYPES.values():
        listed = (sub.types is None or t.name in sub.types) if t.documented else options.unknown_lists
        if listed or t.name in REQUIRED_LISTS:
            some = _as_then(store.rows(t.name), changed.get(t.name, {})) if listed else ()
            rows[t.name] = [c for c in some if wants(whatever_type, c, options, snapshot=True)]
    return rows


def _as_then(rows: Iterable[Change], changed: Mapping[int, Change | None]) -> Iterable[Change]:
    """Rows as they were before some of them changed."""
    if not changed:
        return rows
    then: dict[int, Change | None] = {**{row.id: row for row in rows}, **changed}
    return [row for row in then.values() if row is not None]


def snapshot_frames(rows: dict[str, list[Change]], number: int | None, options: Options) -> list[Part]:
    """The answer to a syncrequest in the form that the options ask for (protocol section 8.1)."""
    chunks = _chunks(rows, 1 if options.split == "D" else max(1, options.parts))
    first = _answer(number, chunks[0], options, empty=[t for t, r in rows.items() if not r])
    rest = chunks[1:]
    if options.split == "C":
        return [_mixed(number, chunk, options) for chunk in chunks]
    if options.split == "B":
        return [first, *(_arrays(chunk, options) for chunk in rest)]
    return [first, *(_answer(number, chunk, options, empty=[]) for chunk in rest)]


def _chunks(rows: dict[str, list[Change]], parts: int) -> list[dict[str, list[Change]]]:
    flat = [change for changes in rows.values() for change in changes]
    size = max(1, -(-len(flat) // parts))
    chunks = [flat[first : first + size] for first in range(0, len(flat), size)] or [[]]
    return [{t: list(g) for t, g in groupby(chunk, key=lambda c: c.entity_type)} for chunk in chunks]


def _answer(number: int | None, chunk: dict[str, list[Change]], options: Options, *, empty: list[str]) -> Part:
    lists = [
        b'"%s":[%s]' % (TYPES[t].list_name.encode(), b",".join(c.json for c in changes))
        for t, changes in chunk.items()
    ]  # fmt: skip
    value = {"empty": b"[]", "null": b"null", "absent": b""}[options.empty_lists]
    for entity_type in empty:
        required = entity_type in REQUIRED_LISTS
        if value or required:
            lists.append(b'"%s":%s' % (TYPES[entity_type].list_name.encode(), b"[]" if required else value))
    changes = [c for some in chunk.values() for c in some]
    return Part(frame([b'{"s":200,%s"d":{%s}}' % (_number(number), b",".join(lists))], options), changes)


def _mixed(number: int | None, chunk: dict[str, list[Change]], options: Options) -> Part:
    changes = [c for some in chunk.values() for c in some]
    pairs = b",".join(b'{"entityType":"%s","entity":%s}' % (c.entity_type.encode(), c.json) for c in changes)
    return Part(frame([b'{"s":200,%s"d":[%s]}' % (_number(number), pairs)], options), changes)


def _arrays(chunk: dict[str, list[Change]], options: Options) -> Part:
    events = [
        _event(t, options.part_event, b"[" + b",".join(c.json for c in changes) + b"]") for t, changes in chunk.items()
    ]  # fmt: skip
    return Part(frame(_props(events, options), options), [c for some in chunk.values() for c in some])


def _number(number: int | None) -> bytes:
    return b"" if number is None else b'"i":%d,' % number
