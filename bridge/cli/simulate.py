"""`syncbridge simulate`: the simulator alone."""

from __future__ import annotations

import typer

from bridge.simulator.__main__ import main


def simulate(context: typer.Context) -> None:
    """Run a fake Tradovate on loopback; `simulate --help` lists its many switches, docs/simulator.md explains them."""
    main(context.args)
