"""`syncbridge run`: the main job."""

from __future__ import annotations

from bridge.app.run import Bridge
from bridge.cli.common import ConfigOption, execute, settings, stop_signals


def run(config: ConfigOption = None) -> None:
    """Bridge the broker's stream to Kafka until SIGTERM or Ctrl-C."""
    execute(_run(Bridge(settings(config))))


async def _run(bridge: Bridge) -> None:
    with stop_signals(bridge.stop):
        await bridge.run()
