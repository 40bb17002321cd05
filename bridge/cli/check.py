"""`syncbridge check`: is the configuration right, and can everything be reached?"""

from __future__ import annotations

import typer

from bridge.app.doctor import examine
from bridge.cli.common import ConfigOption, execute, settings
from bridge.errors import BridgeError


def check(config: ConfigOption = None) -> None:
    """Check configuration, broker's API, Kafka, topics, registry and the spool's disk; exit code of the worst."""
    worst: BridgeError | None = None
    for finding in execute(examine(settings(config))):
        typer.echo(f"{'ok ' if finding.error is None else 'BAD'} {finding.what}: {finding.error or finding.detail}")
        worst = worst or finding.error
    if worst is not None:
        raise typer.Exit(worst.exit_code)
