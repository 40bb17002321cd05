"""`syncbridge schemas drift`: what the broker sends that the schemas do not know, and what could be added to them.

The bridge tells each drift once, in P.bridge.events; that is where to look. The values stand in the map `unmapped` of
the records. Everything is read from Kafka, nothing is written.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

import typer

from bridge.app import cluster as parts
from bridge.cli.common import ConfigOption, execute, settings
from bridge.cli.reading import decoding
from bridge.config import Settings
from bridge.entities import schemas
from bridge.entities.catalogue import CATALOGUE
from bridge.entities.drift import UNKNOWN_TYPE
from bridge.entities.exact import exact_loads
from bridge.entities.proposals import Proposal, Seen, extended, propose
from bridge.errors import BridgeError
from bridge.kafka.follow import follow

LEVEL = "FULL_TRANSITIVE"
BEFORE_MS = 300_000
"""So much earlier than the record of a drift its values are looked for: a transaction may wait for Kafka."""


@dataclass(slots=True)
class Told:
    """What the bridge has told about drift.

    Attributes:
        kinds: by entity type and name.
        since_ms: when the first of a type was told, by type.
        types: unknown types.
    """

    kinds: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    since_ms: dict[str, int] = field(default_factory=dict)
    types: set[str] = field(default_factory=set)

    def note(self, written_ms: int, event: Mapping[str, Any]) -> None:
        """Take a record of P.bridge.events into account."""
        if event["event"] != "drift":
            return
        entity_type, _, name = event["reason"].partition(".")
        if event["cause"] == UNKNOWN_TYPE or entity_type not in CATALOGUE:
            self.types.add(event["reason"])
            return
        self.kinds[entity_type, name].add(event["cause"])
        self.since_ms.setdefault(entity_type, written_ms)
        self.since_ms[entity_type] = min(written_ms, self.since_ms[entity_type])


def drift(
    config: ConfigOption = None, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """Show what has drifted, and propose what could be added to the schemas."""
    told, seen = execute(_read(settings(config)))
    proposals = [
        propose(entity_type, schemas.value_schema(entity_type), name, found)
        for (entity_type, name), found in sorted(seen.items())
    ]
    for entity_type, mine in _by_type(proposals).items():
        reasons = refused(entity_type, mine)
        if reasons:
            raise BridgeError(f"what would be proposed for {entity_type} is not {LEVEL}: {'; '.join(reasons)}")
    if as_json:
        shown = [{**asdict(p), "kinds": sorted(told.kinds[p.entity_type, p.name])} for p in proposals]
        typer.echo(json.dumps({"proposals": shown, "unknown_types": sorted(told.types)}))
        return
    for line in _lines(told, proposals):
        typer.echo(line)


def refused(entity_type: str, proposals: Sequence[Proposal]) -> list[str]:
    """Why a registry would refuse the envelope with what is proposed; nothing if it would take it."""
    from bridge.devkit.avro import SchemaError, read_schema  # noqa: PLC0415 - `run` does not need it
    from bridge.devkit.compatibility import incompatibilities  # noqa: PLC0415

    def normal(schema: Mapping[str, Any]) -> Any:
        return read_schema(json.dumps(schema))

    new = extended(schemas.value_schema(entity_type), proposals, "")
    earlier = []
    for version in schemas.released_versions():
        try:
            earlier.append(normal(schemas.value_schema(entity_type, version)))
        except LookupError:
            continue  # the type came later
    try:
        return incompatibilities(normal(new), earlier, LEVEL)
    except SchemaError as error:
        return [str(error)]


async def _read(loaded: Settings) -> tuple[Told, dict[tuple[str, str], Seen]]:
    """What has been told, and the values that were kept of it."""
    told, names, cluster = Told(), parts.names(loaded), parts.cluster(loaded)
    seen: dict[tuple[str, str], Seen] = defaultdict(Seen)
    async with decoding(loaded, CATALOGUE) as decoder:
        async for record in follow(cluster, [names.events], from_beginning=True, until_end=True):
            told.note(record.timestamp, await decoder.decode(record.value))
        for entity_type, since_ms in told.since_ms.items():
            topic, begin = names.entity(entity_type), since_ms - BEFORE_MS
            async for record in follow(cluster, [topic], from_beginning=False, until_end=True, since_ms=begin):
                value = await decoder.decode(record.value)
                for name, text in ((value or {}).get("after") or {}).get("unmapped", {}).items():
                    seen[entity_type, name].add(exact_loads(text))
    return told, seen


def _by_type(proposals: Sequence[Proposal]) -> dict[str, list[Proposal]]:
    found: dict[str, list[Proposal]] = {}
    for each in proposals:
        found.setdefault(each.entity_type, []).append(each)
    return found


def _lines(told: Told, proposals: Sequence[Proposal]) -> Iterator[str]:
    if not proposals and not told.types:
        yield "nothing has drifted"
        return
    version = schemas.released_versions()[-1] + 1
    for entity_type, mine in _by_type(proposals).items():
        yield f"{entity_type}:"
        for p in mine:
            kinds = ", ".join(sorted(told.kinds[entity_type, p.name])) or "told before"
            yield f"  {p.name} ({kinds}, {p.count} values)"
            if p.add == "field":
                yield f'    + {{"name": "{p.name}", "type": "{p.type}", "since": {version}, "doc": "..."}}'
            elif p.add == "symbols":
                yield f'    + "{p.enum}": {{... "{version}": {json.dumps(list(p.symbols))}}}'
            else:
                yield f"    stays in `unmapped`: {p.why}"
    for name in sorted(told.types):
        yield f"{name}: no known type; see the topic for unknown things"
    if any(p.add for p in proposals):
        yield (
            f"Rows with + belong into schemas/entities.json, with versions: {version}; "
            f"all of it together is {LEVEL} with every released version."
        )
