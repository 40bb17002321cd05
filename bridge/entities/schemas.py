"""The Avro schemas of keys, values, envelopes and control records, and what identifies them.

Files come from `schemas/` (of the repository, or inside the installed package). Every function returns one shared
object per schema: callers must not change it. `envelope/Envelope.avsc` and `keys/Key.avsc` are parts without a
namespace: that of the entity type is put in here, and so are the records `Value` and `tradovate.Source`.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any, Final

from fastavro.schema import fingerprint as avro_fingerprint
from fastavro.schema import to_parsing_canonical_form

Schema = dict[str, Any]
"""An Avro schema as decoded from its JSON."""

_PACKAGED: Final = Path(__file__).parent.parent / "_schemas"
_ROOT: Final = _PACKAGED if _PACKAGED.is_dir() else Path(__file__).parent.parent.parent / "schemas"


@cache
def _load(relative: str) -> Schema:
    """Read one file under the schema folder; FileNotFoundError if there is none."""
    loaded: Schema = json.loads((_ROOT / relative).read_text("utf-8"))
    return loaded


def _version_folder(version: int | None) -> str:
    """Where the files of a version are; the present version, with documentation, stands at the top."""
    if version is None:
        return ""
    if version not in released_versions():
        raise LookupError(f"schema version {version} was never released; there are {released_versions()}")
    return f"released/{version}/"


@cache
def released_versions() -> tuple[int, ...]:
    """The numbers of all released schema versions, oldest first; the last one is the present version."""
    return tuple(sorted(int(folder.name) for folder in (_ROOT / "released").iterdir() if folder.name.isdigit()))


def value_schema(name: str, version: int | None = None) -> Schema:
    """The record `tradovate.<name>.Value` of an entity type.

    Args:
        name: wire name of the entity type.
        version: a released version, None for the present one with its documentation.

    Raises:
        LookupError: there is no such type, or not in that version.
    """
    try:
        return _load(f"{_version_folder(version)}{name}.avsc")
    except FileNotFoundError as missing:
        raise LookupError(f"no schema for entity type {name!r} (version {version or 'present'})") from missing


@cache
def envelope_schema(name: str, version: int | None = None) -> Schema:
    """The record `tradovate.<name>.Envelope`, complete in itself; arguments and errors as `value_schema`."""
    value = value_schema(name, version)
    source = _load(f"{_version_folder(version)}envelope/Source.avsc")
    replaced = {
        "before": ["null", value],
        "after": ["null", f"{value['namespace']}.{value['name']}"],
        "source": source,
    }
    template = _load("envelope/Envelope.avsc")
    fields = [{**field, "type": replaced.get(field["name"], field["type"])} for field in template["fields"]]
    return {**template, "namespace": value["namespace"], "fields": fields}


@cache
def key_schema(name: str) -> Schema:
    """The record `tradovate.<name>.Key`: `{id: long}`. Frozen for ever, for it decides the key bytes."""
    return {**_load("keys/Key.avsc"), "namespace": value_schema(name)["namespace"]}


def control_schema(name: str) -> Schema:
    """A schema of the bridge's own topics: the file `control/<name>.avsc`.

    Raises:
        LookupError: there is no such file.
    """
    try:
        return _load(f"control/{name}.avsc")
    except FileNotFoundError as missing:
        raise LookupError(f"no control schema {name!r}") from missing


def fingerprint(schema: Schema) -> bytes:
    """CRC-64-AVRO of the parsing canonical form, 8 bytes little-endian: as single-object encoding writes it.

    Documentation, defaults, logical types and properties do not enter it.
    """
    return bytes.fromhex(avro_fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))


def state_fingerprint(schema: Schema) -> bytes:
    """8 bytes of SHA-256 over everything in a schema but its documentation.

    Unlike `fingerprint` it differs when an enum learns a symbol or a logical type changes: then the same entity
    may encode to other bytes, and published state has to be encoded again before it is compared.
    """
    text = json.dumps(_undocumented(schema), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).digest()[:8]


def _undocumented(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _undocumented(value) for key, value in node.items() if key != "doc"}
    return [_undocumented(item) for item in node] if isinstance(node, list) else node


def wire_fields(schema: Schema) -> dict[str, Any]:
    """The fields of a `Value` record that exist on the wire, with the Avro type each holds when it is not null."""
    return {
        field["name"]: next(branch for branch in field["type"] if branch != "null")
        if isinstance(field["type"], list)
        else field["type"]
        for field in schema["fields"]
        if field["name"] != "unmapped"
    }
