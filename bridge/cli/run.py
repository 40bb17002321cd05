"""`syncbridge run`: the main job."""

from __future__ import annotations

from typing import Annotated

import typer

from bridge.app.run import Bridge
from bridge.app.supervisor import Supervisor
from bridge.cli.common import ConfigOption, execute, settings, stop_signals

WORKER = "bridge.cli.worker"

WorkersOption = Annotated[
    int,
    typer.Option("--workers", min=1, help="Processes that share the shards; one carries 90,000 to 250,000 events/s."),
]


def run(config: ConfigOption = None, workers: WorkersOption = 1) -> None:
    """Bridge the broker's stream to Kafka until SIGTERM or Ctrl-C."""
    loaded = settings(config)
    execute(_run(Bridge(loaded) if workers == 1 else Supervisor(loaded, config, workers, WORKER)))


async def _run(bridge: Bridge | Supervisor) -> None:
    with stop_signals(bridge.stop):
        await bridge.run()
