"""The bridge with all it can take, and with four fifths of it: are heartbeats in time, and how late are records?"""

from __future__ import annotations

import argparse
import time
from contextlib import AsyncExitStack
from typing import Any

from bridge.devkit.process import ChildProcess
from bridge.devkit.stage import Stage
from tests.bench.figures import Run, spread, summary
from tests.bench.latency import paced
from tests.bench.probe import Probe
from tests.bench.rig import SAY, bridge, events, plan, sessions, until

SHARE = 0.8
HEARTBEAT_S = 2.5
FLOOD_S = 20.0
"""Long enough for some heartbeats of each socket."""


async def busy(options: argparse.Namespace) -> dict[str, Any]:
    """Floods for a while, and then runs at four fifths of the rate that the floods came to, at 10 and 1 a frame."""
    found: dict[str, Any] = {}
    async with AsyncExitStack() as stack:
        stage = await stack.enter_async_context(Stage(plan(options)))
        child = await bridge(stage)
        for per_frame in (10, 1):
            async with Probe(stage, shards=1):
                rates = await _flood(stage, options, per_frame)
            found[f"flood_{per_frame}_per_frame"] = {"events_s": spread(rates), "heartbeat": await _heartbeats(stage)}
            rate = SHARE * sorted(rates)[len(rates) // 2]
            runs = [await _at(stage, child, options, rate, per_frame) for _ in range(options.runs + 1)][1:]
            found[f"at_80_percent_{per_frame}_per_frame"] = summary(runs)
    return found


async def _flood(stage: Stage, options: argparse.Namespace, per_frame: int) -> list[float]:
    """Events a second of one flood after the other."""
    rates: list[float] = []
    ends = time.monotonic() + FLOOD_S
    while time.monotonic() < ends or len(rates) < 3:
        before, began = await events(stage), time.monotonic()
        load = {"events": options.events, "per_frame": per_frame, "rate": 0}
        total = (await stage.control("POST", "load", load))["events"]
        await until(stage, lambda: events(stage), before + total)
        rates.append(total / (time.monotonic() - began))
    SAY.print(f"{len(rates)} floods, {min(rates):,.0f} to {max(rates):,.0f} events/s")
    return rates[1:]


async def _heartbeats(stage: Stage) -> dict[str, float]:
    """What the simulator has seen of all sockets so far."""
    found = await sessions(stage)
    late_s = max(session["longest_pause_us"] for session in found) / 1e6 - HEARTBEAT_S
    return {"latest_ms": late_s * 1000, "fewest": float(min(session["heartbeats"] for session in found))}


async def _at(stage: Stage, child: ChildProcess, options: argparse.Namespace, rate: float, per_frame: int) -> Run:
    run = await paced(stage, child, rate, options.seconds, per_frame=per_frame, probed=1)
    SAY.print(f"at {rate:,.0f} events/s, {per_frame} a frame: {run}")
    return {"rate": rate, **run}
