"""`syncbridge tail`: decoded records, as a consumer with `read_committed` sees them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Annotated, Any

import typer

from bridge.app import cluster as parts
from bridge.cli.common import ConfigOption, execute, settings
from bridge.cli.reading import decoding
from bridge.config import Settings, nearest
from bridge.entities.catalogue import CATALOGUE, SNAPSHOT_TYPES
from bridge.errors import ConfigurationError
from bridge.kafka.follow import follow
from bridge.kafka.names import DEAD_LETTER, EVENTS, UNMAPPED

CONTROL = (EVENTS, DEAD_LETTER, UNMAPPED)


def tail(
    types: Annotated[
        list[str] | None, typer.Argument(help="Entity types, or bridge.events etc.; default the snapshot's types.")
    ] = None,
    config: ConfigOption = None,
    from_beginning: Annotated[bool, typer.Option("--from-beginning", help="Begin with what is there.")] = False,
    until_end: Annotated[bool, typer.Option("--until-end", help="Stop at the end instead of waiting.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    account: Annotated[int | None, typer.Option(help="Only this account.")] = None,
    entity: Annotated[int | None, typer.Option("--id", help="Only the entity with this id.")] = None,
    limit: Annotated[int | None, typer.Option(help="Stop after so many records.")] = None,
) -> None:
    """Print decoded records."""
    wanted = list(types or SNAPSHOT_TYPES)
    for name in wanted:
        if name not in CATALOGUE and name not in CONTROL:
            raise ConfigurationError(f"unknown entity type {name}{nearest(name, [*CATALOGUE, *CONTROL])}")
    chosen = Filter(account, entity)
    execute(_tail(settings(config), wanted, chosen, from_beginning, until_end, as_json, limit))


@dataclass(frozen=True, slots=True)
class Filter:
    """Which records are shown."""

    account: int | None
    entity: int | None

    def __call__(self, key: dict[str, Any], value: dict[str, Any] | None) -> bool:
        """Whether this record is wanted; a tombstone has no account and is shown unless one is asked for."""
        if self.entity is not None and key.get("id") != self.entity:
            return False
        return self.account is None or (value or {}).get("source", {}).get("account_id") == self.account


async def _tail(
    loaded: Settings,
    types: list[str],
    wanted: Filter,
    from_beginning: bool,
    until_end: bool,
    as_json: bool,
    limit: int | None,
) -> None:
    shown = 0
    topics = [parts.names(loaded).entity(name) for name in types]
    async with decoding(loaded, types) as decoder:
        records = follow(parts.cluster(loaded), topics, from_beginning=from_beginning, until_end=until_end)
        async for record in records:
            key, value = await decoder.decode(record.key), await decoder.decode(record.value)
            if not wanted(key, value):
                continue
            typer.echo(_json(record, key, value) if as_json else _line(record, key, value))
            shown += 1
            if limit is not None and shown >= limit:
                await records.aclose()
                return


def _json(record: Any, key: Any, value: Any) -> str:
    where = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
    return json.dumps({**where, "timestamp": record.timestamp, "key": key, "value": value}, default=_plain)


def _line(record: Any, key: dict[str, Any], value: dict[str, Any] | None) -> str:
    stamp = datetime.fromtimestamp(record.timestamp / 1000, UTC).strftime("%H:%M:%S.%f")[:-3]
    where = f"{stamp} {record.topic}[{record.partition}]@{record.offset}"
    if value is None:
        return f"{where} {_short(key)} (tombstone)"
    if "op" not in value:
        return f"{where} {_short(key)} {json.dumps(value, default=_plain)}"
    source = value["source"]
    body = value["after"] if value["after"] is not None else value["before"]
    shown = {k: v for k, v in body.items() if v is not None and v != {}}
    mark = value["op"] if source["snapshot"] == "false" else f"{value['op']}/{source['snapshot']}"
    return f"{where} {mark} {source['epoch']}.{source['seq']} {json.dumps(shown, default=_plain)}"


def _short(key: dict[str, Any]) -> str:
    return "/".join(str(v) for v in key.values())


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    raise TypeError(f"{type(value).__name__} does not stand in a record")
