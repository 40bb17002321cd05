"""The demo: everything embedded, a live view, and at the end a verdict by an independent reader."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.live import Live

from bridge.devkit.stage import Plan, Stage
from bridge.devkit.view import Sample, render
from bridge.oracle.reader import Follower
from bridge.oracle.report import Report
from bridge.oracle.verify import verify

REFRESH_S = 0.5
DRAIN_S = 30.0


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What to show.

    Attributes:
        seconds: run so long, then verify; None runs until `stop` is set.
        view: show the live view on the terminal.
    """

    seconds: float | None = None
    view: bool = True
    accounts: int = 200
    rate: float = 200.0
    shards: int = 4
    seed: int = 1


async def run_demo(options: DemoOptions, stop: asyncio.Event) -> Report | None:
    """Put everything on the stage, let it trade, and judge it if a time was given.

    Returns:
        The verdict, or None if the demo was stopped by hand.
    """
    plan = Plan(
        shards=options.shards,
        simulator={"accounts": str(options.accounts), "seed": str(options.seed), "rate": "0"},
    )
    say = Console(stderr=True)
    say.print("starting Kafka, schema registry and simulator ...")
    async with Stage(plan) as stage:
        await stage.create_topics()
        async with Follower(stage.kafka.bootstrap_servers, stage.prefix) as follower:
            stage.start_bridge()
            await _ready(stage, stop, say)
            await stage.control("POST", "rate", {"rate": options.rate})
            await _show(stage, options, stop, say)
            if options.seconds is None or stop.is_set():
                say.print("stopping ...")
                return None
            return await _judge(stage, follower, say)


async def _ready(stage: Stage, stop: asyncio.Event, say: Console) -> None:
    waiting = asyncio.create_task(stage.wait_until_ready())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([waiting, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if waiting.done():
        say.print(f"ready after {waiting.result():.1f} s")
    else:
        waiting.cancel()


async def _show(stage: Stage, options: DemoOptions, stop: asyncio.Event, say: Console) -> None:
    """Until the time is over or `stop` is set; any process that ends by itself ends the demo with its log."""
    addresses = _addresses(stage)
    until = time.monotonic() + options.seconds if options.seconds is not None else float("inf")
    before: Sample | None = None
    shown = options.view and sys.stdout.isatty()
    if not shown:
        for name, address in addresses.items():
            say.print(f"{name}: {address}", highlight=False)
    with Live(console=Console(), auto_refresh=False, screen=False, transient=False) if shown else nullcontext() as live:
        while not stop.is_set() and time.monotonic() < until:
            stage.check()
            status = await stage.status()
            now = Sample(time.monotonic(), status) if status else None
            if isinstance(live, Live):
                live.update(render(addresses, now, before, options.rate), refresh=True)
            before = now
            await _sleep(stop, min(REFRESH_S, max(0.0, until - time.monotonic())))


async def _judge(stage: Stage, follower: Follower, say: Console) -> Report:
    """Stop the trading, let the bridge drain and end, then compare the topics with the simulator's ledger."""
    await stage.control("POST", "pause", {})
    await _drained(stage)
    status = await stage.stop_bridge()
    say.print("verifying: the topics against the simulator's ledger ...")
    report = await verify(
        stage.kafka.bootstrap_servers,
        stage.prefix,
        stage.control_url,
        stage.registry_url,
        stage.plan.shards,
        follower=follower,
    )
    if status:
        report.blame("state_differs", f"the bridge ended with status {status}")
    return report


async def _drained(stage: Stage) -> None:
    """Wait until the bridge has committed nothing new for a second."""
    last: tuple[Any, ...] = ()
    since = began = time.monotonic()
    while time.monotonic() - since < 1.0 and time.monotonic() - began < DRAIN_S:
        status = await stage.status()
        now = tuple(s["seq"] for s in status["shards"]) if status else ()
        if now != last:
            last, since = now, time.monotonic()
        await asyncio.sleep(0.1)


def _addresses(stage: Stage) -> dict[str, str]:
    return {
        "bridge": f"{stage.bridge_url}  (status page, /metrics, /readyz)",
        "Kafka": stage.kafka.bootstrap_servers,
        "schema registry": stage.registry_url or "none",
        "simulator": f"{stage.rest_url}  {stage.socket_url}",
        "simulator control": stage.control_url,
        "topics": f"{stage.prefix}.*",
    }


async def _sleep(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
