"""Write the Avro files under schemas/ from the table schemas/entities.json.

    python -m tools.write_schemas           write what has changed; a released version is written once, never again
    python -m tools.write_schemas --check   write nothing, exit 1 if a file is missing or not as the table says

`schemas/<wireName>.avsc` is the present version with its documentation. `schemas/released/<n>/` holds each released
version without documentation, so that a sentence may be improved at any time and a released file never.
To release: set `"since"` of the new fields (or the version of new enum symbols) to n, `"versions"` to n, run this.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent / "schemas"
PRIMITIVES = {"int32": "long", "int64": "long", "double": "double", "boolean": "boolean", "string": "string"}
LOGICAL = {
    "date-time": {"type": "long", "logicalType": "timestamp-millis"},
    "TradeDate": {"type": "int", "logicalType": "date"},
    "TradeTime": {"type": "int", "logicalType": "time-millis"},
}
UNMAPPED = {
    "name": "unmapped",
    "type": {"type": "map", "values": "string"},
    "default": {},
    "doc": "JSON text of what this schema does not know or cannot hold exactly; nested fields by JSON pointer",
}
ID = {"name": "id", "type": "int64", "since": 1, "doc": "entity id"}

Table = dict[str, Any]
Schema = dict[str, Any]


def avro_type(table: Table, entity: str, field: dict[str, Any], version: int) -> Any:
    """The Avro type of one field of the table, as it was in a version."""
    kind = field["type"] if field["type"] != "object" else field["format"]
    if kind in PRIMITIVES:
        return PRIMITIVES[kind]
    if kind in LOGICAL:
        return LOGICAL[kind]
    if kind == "enum":
        known = [s for since, new in table["enums"][field["enum"]].items() if int(since) <= version for s in new]
        return {"type": "string", "enumName": field["enum"], "knownSymbols": known}
    nested = next(e for e in table["entities"] if e["name"] == kind)
    fields = [avro_field(table, entity, f, version) for f in in_order(nested["fields"], version)]
    return {"type": "record", "name": kind[0].upper() + kind[1:], "namespace": f"tradovate.{entity}", "fields": fields}


def avro_field(table: Table, entity: str, field: dict[str, Any], version: int, *, required: bool = False) -> Schema:
    """One field of a record: nullable with default null unless it is required."""
    of = avro_type(table, entity, field, version)
    if required:
        return {"name": field["name"], "type": of, "doc": field["doc"]}
    return {"name": field["name"], "type": ["null", of], "default": None, "doc": field["doc"]}


def in_order(fields: list[dict[str, Any]], version: int) -> list[dict[str, Any]]:
    """The fields that a version has: oldest first, so that a version only ever appends to the one before."""
    return sorted((f for f in fields if f["since"] <= version), key=lambda f: int(f["since"]))


def value_schema(table: Table, entity: dict[str, Any], version: int) -> Schema:
    """The `Value` record of an entity type in a version: `id` required, all else optional, `unmapped` last."""
    name = entity["name"]
    fields = in_order(entity["fields"], version)
    fields = fields if any(f["name"] == "id" for f in fields) else [ID, *fields]
    where = f"list {entity['list']} of a snapshot" if entity["list"] else "not part of a snapshot"
    return {
        "type": "record",
        "name": "Value",
        "namespace": f"tradovate.{name}",
        "doc": f"A Tradovate {name} as on the wire ({where}).",
        "fields": [*(avro_field(table, name, f, version, required=f["name"] == "id") for f in fields), UNMAPPED],
    }


def undocumented(node: Any) -> Any:
    """A copy of a schema without its documentation."""
    if isinstance(node, dict):
        return {key: undocumented(value) for key, value in node.items() if key != "doc"}
    return [undocumented(value) for value in node] if isinstance(node, list) else node


def text(schema: Schema) -> str:
    """A schema as a file: the head, then one field per line."""
    head = {key: value for key, value in schema.items() if key != "fields"}
    lines = [f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}," for key, value in head.items()]
    fields = ",\n".join("    " + json.dumps(field, ensure_ascii=False) for field in schema["fields"])
    return "{\n" + "\n".join(lines) + f'\n  "fields": [\n{fields}\n  ]\n}}\n'


def files(table: Table, root: Path) -> Iterator[tuple[Path, str, bool]]:
    """All files the table stands for: path, content, and whether a different file on disk must not be replaced."""
    for entity in table["entities"]:
        yield root / f"{entity['name']}.avsc", text(value_schema(table, entity, table["versions"])), False
    source = json.loads((root / "envelope" / "Source.avsc").read_text("utf-8"))
    for version in range(1, table["versions"] + 1):
        folder = root / "released" / str(version)
        for entity in table["entities"]:
            if any(f["since"] <= version for f in entity["fields"]):
                schema = undocumented(value_schema(table, entity, version))
                yield folder / f"{entity['name']}.avsc", text(schema), True
        yield folder / "envelope" / "Source.avsc", text(undocumented(in_source(source, version))), True


def in_source(source: Schema, version: int) -> Schema:
    """`Source` as it was in a version; a field added after version 1 says so in its property `since`."""
    return {**source, "fields": [f for f in source["fields"] if f.get("since", 1) <= version]}


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Write or check; returns the exit code."""
    check = arguments == ["--check"]
    table = json.loads((root / "entities.json").read_text("utf-8"))
    wrong = [
        (path, content, frozen)
        for path, content, frozen in files(table, root)
        if not path.exists() or path.read_text("utf-8") != content
    ]
    for path, content, frozen in wrong:
        name = path.relative_to(root)
        if check:
            print(f"{name} is not as schemas/entities.json says")
        elif frozen and path.exists():
            print(f"{name} is released and cannot change: give the difference a new version in schemas/entities.json")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, "utf-8")
    return int(any(check or (frozen and path.read_text("utf-8") != content) for path, content, frozen in wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
