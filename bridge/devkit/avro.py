"""Reads an Avro schema as strictly as the Java library does, and brings it into one form.

A development registry that accepted what a real one refuses (a hyphen in a name, a default of the wrong type) would
hide the mistake until production. In the normal form every name is a full name, shells like `{"type": "int"}` are gone
and no `namespace` is left; two texts that mean the same schema have the same normal form.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

Schema = Any
"""A schema in normal form: a name, an object, or a list (union)."""

PRIMITIVES = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})
NAMED = frozenset({"record", "error", "enum", "fixed"})

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_INTEGER_BITS = {"int": 32, "long": 64}


class SchemaError(ValueError):
    """Not an Avro schema; says where and why."""


def read_schema(text: str) -> Schema:
    """The normal form of a schema given as JSON text.

    Raises:
        SchemaError: it is not one.
    """
    if text in PRIMITIVES:  # some clients send a primitive type bare, without its quotation marks
        return text
    try:
        return _Reader().read(json.loads(text), "", "/")
    except json.JSONDecodeError as error:
        raise SchemaError(f"not JSON ({error})") from error
    except (TypeError, AttributeError, RecursionError) as error:
        raise SchemaError(f"malformed ({error})") from error  # a number where a name belongs, and the like


def text_of(schema: Schema) -> str:
    """The one text of a normal form: equal texts mean equal schemas."""
    return json.dumps(schema, sort_keys=True, separators=(",", ":"))


def full_name(name: str, space: str) -> str:
    """A name with its namespace; one that has a dot brings its own."""
    return name if "." in name or not space else f"{space}.{name}"


class _Reader:
    """One pass over one schema; remembers the named types it has met: a name may be used only after its definition."""

    def __init__(self) -> None:
        self._types: dict[str, Schema] = {}

    def read(self, schema: Any, space: str, path: str) -> Schema:
        if isinstance(schema, str):
            return self._reference(schema, space, path)
        if isinstance(schema, list):
            return self._union(schema, space, path)
        if not isinstance(schema, dict) or "type" not in schema:
            raise SchemaError(f"{path}: no type")
        kind = schema["type"]
        if isinstance(kind, dict | list):
            return self.read(kind, space, path)
        if kind in NAMED:
            return self._named(schema, space, path)
        if kind in {"array", "map"}:
            part = "items" if kind == "array" else "values"
            return {**schema, part: self.read(_want(schema, part, path), space, f"{path}{part}/")}
        reference = self._reference(kind, space, path)
        attributes = {key: value for key, value in schema.items() if key not in {"type", "doc"}}
        return {"type": reference, **attributes} if attributes and reference in PRIMITIVES else reference

    def _reference(self, name: Any, space: str, path: str) -> str:
        if name in PRIMITIVES:
            return str(name)
        found = full_name(str(name), space)
        if found not in self._types:
            raise SchemaError(f"{path}: unknown type {name}")
        return found

    def _union(self, branches: list[Any], space: str, path: str) -> Schema:
        union = [self.read(branch, space, path) for branch in branches]
        kinds = [branch if isinstance(branch, str) else _branch_key(branch, path) for branch in union]
        if len(set(kinds)) != len(kinds):
            raise SchemaError(f"{path}: the same type twice in a union")
        return union

    def _named(self, schema: dict[str, Any], space: str, path: str) -> Schema:
        name = full_name(_want(schema, "name", path), schema.get("namespace") or space)
        for part in name.split("."):
            if not _NAME.fullmatch(part):
                raise SchemaError(f"{path}: {name} is not a name")
        if name in self._types or name in PRIMITIVES:
            raise SchemaError(f"{path}: {name} is defined twice")
        inner = name.rpartition(".")[0]
        normal = {key: value for key, value in schema.items() if key != "namespace"} | {"name": name}
        if "aliases" in schema:
            normal["aliases"] = [full_name(alias, inner) for alias in schema["aliases"]]
        self._types[name] = normal
        _BODIES[schema["type"]](self, normal, inner, path)
        return normal

    def _record(self, record: dict[str, Any], space: str, path: str) -> None:
        fields = _want(record, "fields", path)
        if not isinstance(fields, list):
            raise SchemaError(f"{path}: fields is not a list")
        record["fields"] = [self._field(field, space, path) for field in fields]
        names = [field["name"] for field in record["fields"]]
        if len(set(names)) != len(names):
            raise SchemaError(f"{path}: the same field twice in {record['name']}")

    def _field(self, field: Any, space: str, path: str) -> Schema:
        if not isinstance(field, dict) or not _NAME.fullmatch(str(field.get("name", ""))):
            raise SchemaError(f"{path}: a field without a proper name")
        here = f"{path}{field['name']}/"
        kind = self.read(_want(field, "type", here), space, here)
        if "default" in field and not self._fits(kind, field["default"]):
            raise SchemaError(f"{here}: the default {json.dumps(field['default'])} does not fit the type")
        return {**field, "type": kind}

    def _enum(self, enum: dict[str, Any], _space: str, path: str) -> None:
        symbols = _want(enum, "symbols", path)
        if len(set(symbols)) != len(symbols) or not all(_NAME.fullmatch(str(symbol)) for symbol in symbols):
            raise SchemaError(f"{path}: symbols of {enum['name']} are not different names")
        if "default" in enum and enum["default"] not in symbols:
            raise SchemaError(f"{path}: the default of {enum['name']} is not one of its symbols")

    def _fixed(self, fixed: dict[str, Any], _space: str, path: str) -> None:
        size = _want(fixed, "size", path)
        if not isinstance(size, int) or size < 0:
            raise SchemaError(f"{path}: the size of {fixed['name']} is not a number of bytes")

    def _fits(self, schema: Schema, value: Any) -> bool:
        """Whether a JSON value is a default for `schema`; for a union the first branch decides."""
        if isinstance(schema, list):
            return bool(schema) and self._fits(schema[0], value)
        if isinstance(schema, str) and schema in self._types:
            schema = self._types[schema]
        kind = schema["type"] if isinstance(schema, dict) else schema
        match kind:
            case "record" | "error":
                return isinstance(value, dict) and all(
                    self._fits(field["type"], value[field["name"]]) if field["name"] in value else "default" in field
                    for field in schema["fields"]
                )
            case "array":
                return isinstance(value, list) and all(self._fits(schema["items"], item) for item in value)
            case "map":
                return isinstance(value, dict) and all(self._fits(schema["values"], item) for item in value.values())
            case "enum":
                return value in schema["symbols"]
            case _:
                return _fits_primitive(kind, value)


_BODIES: dict[str, Callable[[_Reader, dict[str, Any], str, str], None]] = {
    "record": _Reader._record,  # noqa: SLF001 - a table of this class's own parts
    "error": _Reader._record,  # noqa: SLF001
    "enum": _Reader._enum,  # noqa: SLF001
    "fixed": _Reader._fixed,  # noqa: SLF001
}


def _fits_primitive(kind: str, value: Any) -> bool:
    if kind in _INTEGER_BITS:
        limit = 1 << (_INTEGER_BITS[kind] - 1)
        return isinstance(value, int) and not isinstance(value, bool) and -limit <= value < limit
    if kind in {"float", "double"}:
        return isinstance(value, int | float) and not isinstance(value, bool)
    wanted = {"null": type(None), "boolean": bool, "string": str, "bytes": str, "fixed": str}[kind]
    return isinstance(value, wanted)


def _branch_key(branch: Schema, path: str) -> str:
    if isinstance(branch, list):
        raise SchemaError(f"{path}: a union directly in a union")
    return str(branch["name"] if branch["type"] in NAMED else branch["type"])


def _want(schema: dict[str, Any], key: str, path: str) -> Any:
    if key not in schema:
        raise SchemaError(f"{path}: no {key}")
    return schema[key]
