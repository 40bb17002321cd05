"""`syncbridge deletes`: what the brake on inferred deletions holds, and what is to become of it.

A running bridge is asked over HTTP: it alone may write.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bridge.cli.asking import UrlOption, asking
from bridge.cli.common import ConfigOption, execute, settings
from bridge.config import Settings

app = typer.Typer(help="Deletions that were inferred from a snapshot and are held by the brake.", no_args_is_help=True)

ShardOption = Annotated[int | None, typer.Option(help="Only this shard.")]
TypeOption = Annotated[str | None, typer.Option("--type", help="Only this entity type.")]
IdOption = Annotated[list[int] | None, typer.Option("--id", help="Only these ids; may be given several times.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command(name="list")
def list_(config: ConfigOption = None, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """Show what is held, by shard and entity type."""
    loaded = settings(config)
    found = execute(_ask(loaded, url, "GET", "deletes", None))
    if as_json:
        typer.echo(json.dumps(found))
        return
    rows = [(s["shard"], name, held) for s in found["shards"] for name, held in s["held"].items()]
    if not rows:
        typer.echo("nothing is held")
        return
    table = Table("shard", "type", "keys", "since", "ids")
    for shard, name, held in rows:
        since = datetime.fromtimestamp(held["since_ms"] / 1000, UTC).isoformat(timespec="seconds")
        ids = ", ".join(map(str, held["ids"][:10])) + (" ..." if held["count"] > 10 else "")
        table.add_row(str(shard), name, str(held["count"]), since, ids)
    Console().print(table)


@app.command()
def confirm(
    config: ConfigOption = None,
    url: UrlOption = None,
    shard: ShardOption = None,
    entity_type: TypeOption = None,
    ids: IdOption = None,
    as_json: JsonOption = False,
) -> None:
    """Publish the deletions that are held."""
    _decide(config, url, "confirm", "deleted", shard, entity_type, ids, as_json)


@app.command()
def discard(
    config: ConfigOption = None,
    url: UrlOption = None,
    shard: ShardOption = None,
    entity_type: TypeOption = None,
    ids: IdOption = None,
    as_json: JsonOption = False,
) -> None:
    """Forget them: the keys stay published, until a later snapshot lacks them again."""
    _decide(config, url, "discard", "kept", shard, entity_type, ids, as_json)


def _decide(
    config: Any,
    url: str | None,
    what: str,
    word: str,
    shard: int | None,
    entity_type: str | None,
    ids: list[int] | None,
    as_json: bool,
) -> None:
    loaded = settings(config)
    chosen = {"shard": shard, "entity_type": entity_type, "ids": ids or []}
    found = execute(_ask(loaded, url, "POST", f"deletes/{what}", chosen))
    if as_json:
        typer.echo(json.dumps(found))
        return
    for one in found["shards"]:
        for name, count in one["keys"].items():
            typer.echo(f"shard {one['shard']}: {count} x {name} {word}")
    if not found["shards"]:
        typer.echo("nothing like that is held")


async def _ask(
    loaded: Settings, url: str | None, method: str, path: str, body: Mapping[str, Any] | None
) -> dict[str, Any]:
    async with asking(loaded, url) as bridge:
        return await bridge.ask(method, path, body=body)
