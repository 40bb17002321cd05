"""Contents made comparable: the entity on the wire and the record in Kafka become the same canonical bytes. Pure.

Equal are: null and absent, `7760` and `7760.0`, a date-time with and without an empty fraction.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

import orjson

_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,3})?Z")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def canonical(entity: dict[str, Any]) -> bytes:
    """An entity in wire form as comparable bytes."""
    plain = {name: _plain(value) for name, value in entity.items() if value is not None}
    try:
        return orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)
    except (orjson.JSONEncodeError, TypeError):  # integers beyond 64 bits, lone surrogates
        return json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1 << 63:
        return int(value)
    if isinstance(value, str) and len(value) < 25 and _DATE_TIME.fullmatch(value):
        return value[:-1].partition(".")[0] + "." + value[:-1].partition(".")[2].ljust(3, "0") + "Z"
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return value


def wire_form(value: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """A decoded `Value` as the entity it was on the wire.

    Args:
        value: as read from Avro, logical types left as numbers.
        schema: the record schema of `Value`.
    """
    entity = _record(value, schema)
    rest = entity.pop("unmapped", None) or {}
    for name, text in sorted(rest.items()):
        _merge(entity, name, json.loads(text))
    return entity


def _record(value: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    return {f["name"]: _wire(value[f["name"]], f["type"]) for f in schema["fields"] if value[f["name"]] is not None}


def _wire(value: Any, kind: Any) -> Any:
    if isinstance(kind, list):
        return _wire(value, next(k for k in kind if k != "null"))
    if not isinstance(kind, dict):
        return value
    if kind["type"] == "record":
        return _record(value, kind)
    if kind["type"] == "array":
        return [_wire(v, kind["items"]) for v in value]
    logical = kind.get("logicalType")
    if logical == "timestamp-millis":
        moment = _EPOCH + timedelta(milliseconds=value)
        return moment.strftime("%Y-%m-%dT%H:%M:%S") + f".{value % 1000:03d}Z"
    if logical == "date":
        day = date(1970, 1, 1) + timedelta(days=value)
        return {"year": day.year, "month": day.month, "day": day.day}
    if logical == "time-millis":
        return {"hour": value // 3_600_000, "minute": value // 60_000 % 60}
    return value


def _merge(entity: dict[str, Any], name: str, value: Any) -> None:
    """Puts an unmapped value back: at the top by name, deeper by JSON pointer."""
    if not name.startswith("/"):
        entity[name] = value
        return
    steps = [step.replace("~1", "/").replace("~0", "~") for step in name[1:].split("/")]
    here: Any = entity
    for step in steps[:-1]:
        here = here[int(step)] if isinstance(here, list) else here.setdefault(step, {})
    if isinstance(here, list):
        here[int(steps[-1])] = value
    else:
        here[steps[-1]] = value
