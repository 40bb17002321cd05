"""`syncbridge schemas list|check|register`; `drift` has a module of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from bridge.app import cluster as parts
from bridge.cli import drift
from bridge.cli.common import ConfigOption, execute, settings
from bridge.config import Settings
from bridge.entities import schemas
from bridge.errors import ConfigurationError, KafkaUnusable
from bridge.kafka.registry import Registry

app = typer.Typer(no_args_is_help=True, help="The Avro schemas that records are written with.")
app.command()(drift.drift)


@app.command("list")
def list_(
    config: ConfigOption = None,
    show: Annotated[str | None, typer.Option(help="Print the schema of this subject.")] = None,
) -> None:
    """List subjects with record name and fingerprint (CRC-64-AVRO, as in single-object encoding)."""
    known = parts.subjects(settings(config))
    if show is not None:
        if show not in known:
            raise ConfigurationError(f"there is no subject {show}; `syncbridge schemas list` names them all")
        typer.echo(json.dumps(known[show], indent=2))
        return
    for subject, schema in known.items():
        typer.echo(f"{subject}\t{_name(schema)}\t{schemas.fingerprint(dict(schema)).hex()}")


@app.command()
def check(config: ConfigOption = None) -> None:
    """Ask the registry whether every schema is compatible with what it holds; exit 4 if one is not."""
    wrong = execute(_check(settings(config)))
    for subject, reasons in wrong.items():
        typer.echo(f"{subject}: {'; '.join(reasons)}")
    if wrong:
        raise KafkaUnusable(f"{len(wrong)} schemas are not compatible with what the registry holds (listed above)")
    typer.echo("all schemas are compatible")


@app.command()
def register(config: ConfigOption = None) -> None:
    """Register all schemas and print their ids; `run` does the same at start."""
    for subject, number in execute(_register(settings(config))).items():
        typer.echo(f"{subject}\t{number}")


async def _check(loaded: Settings) -> dict[str, list[str]]:
    async with _registry(loaded) as client:
        found = {s: await client.incompatible(s, schema) for s, schema in parts.subjects(loaded).items()}
    return {subject: reasons for subject, reasons in found.items() if reasons}


async def _register(loaded: Settings) -> dict[str, int]:
    async with _registry(loaded) as client:
        return await client.register_all(parts.subjects(loaded))


def _registry(loaded: Settings) -> Registry:
    client = parts.registry(loaded)
    if client is None:
        raise ConfigurationError("no registry is configured; set registry.url")
    return client


def _name(schema: Mapping[str, Any]) -> str:
    return f"{schema['namespace']}.{schema['name']}"
