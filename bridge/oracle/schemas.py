"""Writer schemas: by fingerprint from a folder of `.avsc` files, by id from a schema registry."""

from __future__ import annotations

import copy
import io
import json
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form

SINGLE_OBJECT = b"\xc3\x01"
"""Marker of Avro's single-object encoding; eight bytes of CRC-64-AVRO follow, little-endian."""


class UndecodableError(ValueError):
    """Bytes that are framed by neither convention, or whose schema nobody knows."""


@dataclass(frozen=True, slots=True)
class Codec:
    """A schema to read with: `parsed` for fastavro with logical types taken off, `raw` as written.

    `value` is the `Value` of an envelope, parsed likewise, None for other schemas.
    """

    raw: dict[str, Any]
    parsed: Any
    value: Any = None

    def written(self, value: dict[str, Any]) -> bytes:
        """A `Value` of this envelope in Avro's binary form."""
        out = io.BytesIO()
        fastavro.schemaless_writer(out, self.value, value)
        return out.getvalue()


def codec(raw: dict[str, Any]) -> Codec:
    """Prepares a schema. Logical types are taken off so that fastavro hands out plain numbers."""
    value = fastavro.parse_schema(_plain(copy.deepcopy(value_of(raw)))) if raw["name"] == "Envelope" else None
    return Codec(raw, fastavro.parse_schema(_plain(copy.deepcopy(raw))), value)


def _plain(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_plain(s) for s in schema]
    if isinstance(schema, dict):
        return {k: v if k == "default" else _plain(v) for k, v in schema.items() if k != "logicalType"}
    return schema


def value_of(envelope: dict[str, Any]) -> dict[str, Any]:
    """The schema of `Value` in an envelope's schema: the first place where it is written out."""
    fields = {f["name"]: f["type"] for f in envelope["fields"]}
    found: dict[str, Any] = next(k for k in (*fields["before"], *fields["after"]) if isinstance(k, dict))
    return found


def mark(raw: Any) -> bytes:
    """A schema's fingerprint as it stands in single-object encoding."""
    return bytes.fromhex(fingerprint(to_parsing_canonical_form(raw), "CRC-64-AVRO"))


class Folder:
    """The shipped schemas: `<type>.avsc` and `released/<n>/<type>.avsc` hold `Value`; envelopes and keys are built."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or shipped()
        self._known: dict[bytes, Codec] = {}
        source = _load(self.path / "envelope" / "Source.avsc")
        key = _load(self.path / "keys" / "Key.avsc")
        for file in [*self.path.glob("*.avsc"), *self.path.glob("released/*/*.avsc")]:
            value = _load(file)
            for schema in (_envelope(value, source), {**key, "namespace": value["namespace"]}):
                self._known.setdefault(mark(schema), codec(schema))
        for file in [*self.path.glob("control/*.avsc"), *self.path.glob("released/*/control/*.avsc")]:
            schema = _load(file)
            self._known.setdefault(mark(schema), codec(schema))

    def find(self, fingerprint_: bytes) -> Codec:
        """The schema with a fingerprint.

        Raises:
            UndecodableError: no shipped schema has it.
        """
        found = self._known.get(fingerprint_)
        if found is None:
            raise UndecodableError(f"no schema in {self.path} has the fingerprint {fingerprint_.hex()}")
        return found


class Registry:
    """Reads schemas from a Confluent-compatible registry, each id once."""

    def __init__(self, url: str, auth: tuple[str, str] | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.url = url.rstrip("/")
        self._headers = {"Authorization": aiohttp.encode_basic_auth(*auth)} if auth else {}
        self._tls: ssl.SSLContext | bool = tls or True
        self._known: dict[int, Codec] = {}

    async def find(self, number: int) -> Codec:
        """The schema with an id.

        Raises:
            UndecodableError: the registry does not know it.
        """
        if number not in self._known:
            address = f"{self.url}/schemas/ids/{number}"
            async with (
                aiohttp.ClientSession(headers=self._headers) as http,
                http.get(address, ssl=self._tls) as answer,
            ):
                if answer.status != 200:
                    raise UndecodableError(f"{self.url} answers {answer.status} for schema {number}")
                self._known[number] = codec(json.loads((await answer.json(content_type=None))["schema"]))
        return self._known[number]


def shipped() -> Path:
    """The folder of schemas that comes with the package, or with the repository."""
    package = Path(__file__).resolve().parent.parent
    wheel = package / "_schemas"
    return wheel if wheel.is_dir() else package.parent / "schemas"


def _load(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def _envelope(value: dict[str, Any], source: dict[str, Any]) -> dict[str, Any]:
    """The envelope of a type : before, after, source, op, ts_ms."""
    fields = [
        {"name": "before", "type": ["null", value], "default": None},
        {"name": "after", "type": ["null", f"{value['namespace']}.Value"], "default": None},
        {"name": "source", "type": source},
        {"name": "op", "type": "string"},
        {"name": "ts_ms", "type": "long"},
    ]
    return {"type": "record", "name": "Envelope", "namespace": value["namespace"], "fields": fields}
