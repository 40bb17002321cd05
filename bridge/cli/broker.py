"""`syncbridge broker`: the embedded Kafka alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bridge.cli.common import execute


def broker(
    port: Annotated[int | None, typer.Option(help="Port of the listener; default any free one.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Keep data here; default a temporary folder.")] = None,
    nodes: Annotated[int, typer.Option(help="1, or 3 for a cluster that survives the loss of one.")] = 1,
    registry: Annotated[bool, typer.Option(help="Run the development schema registry too.")] = True,
    fetch_only: Annotated[bool, typer.Option("--fetch-only", help="Fetch and verify Kafka, start nothing.")] = False,
) -> None:
    """Run the embedded Apache Kafka on loopback until Ctrl-C; no Docker, Java or Maven needed."""
    # `run` is not to wait for what it does not need.
    from bridge.devkit.broker import fetch_all, run_broker  # noqa: PLC0415

    if fetch_only:
        typer.echo(fetch_all(), err=True)
        return
    execute(run_broker(port=port, data_dir=data_dir, nodes=nodes, registry=registry))
