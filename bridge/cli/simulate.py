"""`syncbridge simulate`: the simulator alone."""

from __future__ import annotations

import typer


def simulate(context: typer.Context) -> None:
    """Run a fake Tradovate on loopback; `simulate --help` lists its many switches, docs/simulator.md explains them."""
    # `run` is not to wait for what it does not need.
    from bridge.simulator.__main__ import main  # noqa: PLC0415

    main(context.args)
