"""Whether data written with one Avro schema can be read with another: the resolution rules of the Avro specification.

A schema registry decides by these rules whether a new version may join a subject. Logical types play no part in them.
All schemas are in the normal form of `avro.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bridge.devkit.avro import NAMED, Schema

LEVELS = (
    "NONE",
    "BACKWARD",
    "BACKWARD_TRANSITIVE",
    "FORWARD",
    "FORWARD_TRANSITIVE",
    "FULL",
    "FULL_TRANSITIVE",
)

# reader's type -> writer's types that are promoted to it
_PROMOTIONS = {
    "long": {"int"},
    "float": {"int", "long"},
    "double": {"int", "long", "float"},
    "string": {"bytes"},
    "bytes": {"string"},
}


def incompatibilities(new: Schema, earlier: Sequence[Schema], level: str) -> list[str]:
    """Why `new` may not follow `earlier` under a compatibility level; empty if it may.

    Args:
        new: the schema that wants to join.
        earlier: all versions of the subject so far, oldest first.
        level: one of `LEVELS`; those without TRANSITIVE look at the latest version only.
    """
    found: list[str] = []
    for old in earlier if level.endswith("_TRANSITIVE") else earlier[-1:]:
        if level.startswith(("BACKWARD", "FULL")):
            found += [f"the new schema cannot read old data: {reason}" for reason in unreadable(new, old)]
        if level.startswith(("FORWARD", "FULL")):
            found += [f"the old schema cannot read new data: {reason}" for reason in unreadable(old, new)]
    return list(dict.fromkeys(found))


def unreadable(reader: Schema, writer: Schema) -> list[str]:
    """Why data written with `writer` cannot be read with `reader`; empty if it can."""
    return _Comparison(_named_types(reader), _named_types(writer)).compare(reader, writer, "/")


def _named_types(schema: Schema) -> dict[str, dict[str, Any]]:
    """Full name -> definition, of all types that are defined anywhere in `schema`."""
    if isinstance(schema, list):
        return {name: found for branch in schema for name, found in _named_types(branch).items()}
    if not isinstance(schema, dict):
        return {}
    own = {schema["name"]: schema} if schema["type"] in NAMED else {}
    inner = [field["type"] for field in schema.get("fields", ())]
    return own | _named_types([*inner, schema.get("items"), schema.get("values")])


class _Comparison:
    """One pass over a pair of schemas. Pairs of records under way count as readable, so that recursion ends."""

    def __init__(self, reader_types: dict[str, dict[str, Any]], writer_types: dict[str, dict[str, Any]]) -> None:
        self._reader_types, self._writer_types = reader_types, writer_types
        self._assumed: frozenset[tuple[str, str]] = frozenset()

    def compare(self, reader: Schema, writer: Schema, path: str) -> list[str]:
        if isinstance(reader, str):
            reader = self._reader_types.get(reader, reader)
        if isinstance(writer, str):
            writer = self._writer_types.get(writer, writer)
        if isinstance(writer, list):
            return [reason for branch in writer for reason in self.compare(reader, branch, path)]
        if isinstance(reader, list):
            fits = any(not self.compare(branch, writer, path) for branch in reader)
            return [] if fits else [f"{path}: no branch of the reader's union reads {_label(writer)}"]
        return self._compare_single(reader, writer, path)

    def _compare_single(self, reader: Schema, writer: Schema, path: str) -> list[str]:
        read_as, written_as = _kind(reader), _kind(writer)
        if read_as != written_as:
            promoted = written_as in _PROMOTIONS.get(read_as, ())
            return [] if promoted else [f"{path}: {_label(writer)} cannot be read as {_label(reader)}"]
        if read_as in NAMED and not _same_name(reader, writer):
            return [f"{path}: {_label(writer)} is not {_label(reader)}"]
        match read_as:
            case "array":
                return self.compare(reader["items"], writer["items"], f"{path}items/")
            case "map":
                return self.compare(reader["values"], writer["values"], f"{path}values/")
            case "enum":
                return _enum(reader, writer, path)
            case "fixed" if reader["size"] != writer["size"]:
                return [f"{path}: fixed of {writer['size']} bytes, not of {reader['size']}"]
            case "record":
                return self._record(reader, writer, path)
            case _:
                return []

    def _record(self, reader: dict[str, Any], writer: dict[str, Any], path: str) -> list[str]:
        pair = (reader["name"], writer["name"])
        if pair in self._assumed:
            return []
        before, self._assumed = self._assumed, self._assumed | {pair}
        found = self._fields(reader, writer, path)
        if found:
            self._assumed = before  # nothing that rested on this assumption may stand
        return found

    def _fields(self, reader: dict[str, Any], writer: dict[str, Any], path: str) -> list[str]:
        written = {field["name"]: field for field in writer["fields"]}
        found: list[str] = []
        for field in reader["fields"]:
            here = f"{path}{field['name']}/"
            names = [name for name in (field["name"], *field.get("aliases", ())) if name in written]
            if names:
                found += self.compare(field["type"], written[names[0]]["type"], here)
            elif "default" not in field:
                found.append(f"{here}: the writer does not have this field and the reader has no default for it")
        return found


def _enum(reader: dict[str, Any], writer: dict[str, Any], path: str) -> list[str]:
    lacking = [symbol for symbol in writer["symbols"] if symbol not in reader["symbols"]]
    if not lacking or "default" in reader:
        return []
    return [f"{path}: the reader's enum lacks {', '.join(lacking)} and has no default"]


def _same_name(reader: dict[str, Any], writer: dict[str, Any]) -> bool:
    """Unqualified names decide (Avro specification, schema resolution); the reader's aliases are further names."""
    same = reader["name"].rpartition(".")[2] == writer["name"].rpartition(".")[2]
    return same or writer["name"] in reader.get("aliases", ())


def _kind(schema: Schema) -> str:
    kind = str(schema["type"] if isinstance(schema, dict) else schema)
    return "record" if kind == "error" else kind


def _label(schema: Schema) -> str:
    name = schema.get("name") if isinstance(schema, dict) else None
    return f"{_kind(schema)} {name}" if name else _kind(schema)
