"""`syncbridge verify`: an independent reader judges the topics against a simulator's ledger."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bridge.cli.common import ConfigOption, execute, settings


def verify(
    simulator: Annotated[str | None, typer.Option(help="The simulator's own address, http://host:port/sim.")] = None,
    ledger: Annotated[Path | None, typer.Option(help="A folder with its ledger instead, written by it.")] = None,
    config: ConfigOption = None,
    watch: Annotated[
        float | None, typer.Option(help="Poll so many seconds while it runs, pause the world, let it drain, judge.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdict as JSON.")] = False,
) -> None:
    """Compare all records with what the simulator has done and sent; exit 1 if anything is wrong.

    The topics must hold everything since the run began. While the world trades, what is missing so far is not judged.
    """
    # `run` is not to wait for what it does not need.
    from bridge.cli.judging import conclude, verdict  # noqa: PLC0415

    truth = _truth(simulator, ledger, watch)
    conclude(execute(verdict(settings(config), truth, watch)), as_json=as_json)


def _truth(simulator: str | None, ledger: Path | None, watch: float | None) -> str | Path:
    """Where the truth is: the simulator's own endpoints, whichever of its addresses was given, or a folder."""
    if (simulator is None) == (ledger is None):
        raise typer.BadParameter("give either --simulator or --ledger")
    if ledger is not None:
        if watch is not None:
            raise typer.BadParameter("--watch needs a --simulator")
        if not (ledger / "events.ndjson").is_file():
            raise typer.BadParameter(f"{ledger} holds no ledger; the simulator writes one by POST /sim/ledger/write")
        return ledger
    base = str(simulator).rstrip("/").removesuffix("/v1").removesuffix("/sim")
    return f"{base}/sim"
