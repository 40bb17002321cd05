"""`syncbridge topics plan|apply`: what the cluster lacks, and mending it."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from bridge.app import cluster as parts
from bridge.cli.common import ConfigOption, execute, settings
from bridge.kafka import topics
from bridge.kafka.plan import Difference, fatal

app = typer.Typer(no_args_is_help=True, help="The topics of the contract: show what differs, create what is missing.")
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def plan(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show how the cluster differs from what is needed; exit 4 if `run` would refuse it."""
    loaded = settings(config)
    found = execute(topics.inspect(parts.cluster(loaded), parts.plan(loaded)))
    _show(found, as_json=as_json, done=False)
    if fatal(found):
        raise typer.Exit(4)


@app.command()
def apply(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Create missing topics and mend configurations; never touches a partition count."""
    loaded = settings(config)
    factor = loaded.kafka.replication_factor
    found = execute(topics.apply(parts.cluster(loaded), parts.plan(loaded), factor))
    _show(found, as_json=as_json, done=True)


def _show(found: list[Difference], *, as_json: bool, done: bool) -> None:
    if as_json:
        rows = [{"topic": d.topic, "kind": d.kind, "key": d.key, "wanted": d.wanted, "found": d.found} for d in found]
        typer.echo(json.dumps({"applied": done, "differences": rows}))
        return
    if not found:
        typer.echo("all topics are as they should be")
        return
    table = Table("topic", "created" if done else "what", "from", "to")
    for d in found:
        table.add_row(d.topic, "topic" if d.kind == "missing" else d.key, d.found, d.wanted)
    Console().print(table)
