"""From the simulator's write to a `read_committed` reader that polls all the time, next to a control in the same run.

The control is bare aiokafka producers that write the same records at the same pace (`tests.bench.control`).
"""

from __future__ import annotations

import argparse
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

from bridge.devkit.process import ChildProcess
from bridge.devkit.stage import Plan, Stage
from bridge.oracle.report import percentile
from tests.bench.control import Control
from tests.bench.figures import Run, summary
from tests.bench.probe import Probe
from tests.bench.rig import CPUS, SAY, Meter, bridge, events, on, plan, until

MODES: dict[str, dict[str, str]] = {
    "default": {},
    "12_ms": {"kafka.commit_interval_ms": "12"},
    "at_least_once": {"kafka.delivery": "at_least_once"},
}


async def latency(options: argparse.Namespace) -> dict[str, Any]:
    """Each mode with the bridge alone on a processor, and the default once with all processors shared by all."""
    found: dict[str, Any] = {}
    for mode in options.modes:
        found[mode] = await _mode(plan(options, settings=MODES[mode]), options)
    if "default" in options.modes:
        with on(set(CPUS)):
            found["default_shared"] = await _mode(plan(options, cpus=None), options)
    return found


async def _mode(staged: Plan, options: argparse.Namespace) -> dict[str, Any]:
    runs: dict[str, list[Run]] = {"bridge": [], "base": [], "control": []}
    async with AsyncExitStack() as stack:
        stage = await stack.enter_async_context(Stage(staged))
        child = await bridge(stage)
        SAY.print(f"idle memory {Meter(child).process.memory_info().rss / 2**20:.0f} MB")
        if options.base is not None:
            beside = replace(staged, kafka=stage.kafka, prefix="bench.base")
            base = await stack.enter_async_context(Stage(beside))
            base_child = await bridge(base, options.base)
        for round_ in range(options.runs + 1):
            one = {"bridge": await paced(stage, child, options.rate, options.seconds)}
            if options.base is not None:
                one["base"] = await paced(base, base_child, options.rate, options.seconds)
            if options.control:
                one["control"] = await _control(stage, options)
            for name, run in one.items() if round_ else ():
                runs[name].append(run)
                SAY.print(f"{name}: {run}")
    return {name: summary(each) for name, each in runs.items() if each}


async def paced(
    stage: Stage,
    child: ChildProcess,
    events_s: float,
    seconds: float,
    *,
    per_frame: int = 1,
    probed: int | None = None,
) -> Run:
    """What a consumer sees, and what the bridge uses, at a rate of all shards together.

    Args:
        probed: of so many shards one type's records are read, None for all of all: at high rates the reader would be
            the limit.
    """
    rate = events_s / stage.plan.shards
    async with Probe(stage, probed) as probe:
        before, meter = await events(stage), Meter(child)
        load = {"events": int(rate * seconds), "per_frame": per_frame, "rate": rate}
        total = (await stage.control("POST", "load", load))["events"]
        await until(stage, lambda: events(stage), before + total)
        used, took = meter.cpu_s(), meter.seconds()
        times = await probe.latencies_ms(total)
    return _figures(times, total, used, took)


async def _control(stage: Stage, options: argparse.Namespace) -> Run:
    async with Control(stage, options.rate, options.seconds) as control, Probe(stage) as probe:
        meter = Meter(control.child)
        total = await control.go()
        used, seconds = meter.cpu_s(), meter.seconds()
        times = await probe.latencies_ms(total)
    return _figures(times, total, used, seconds)


def _figures(times: list[float], total: int, used: float, seconds: float) -> Run:
    return {
        "p50_ms": percentile(times, 0.5) or 0.0,
        "p99_ms": percentile(times, 0.99) or 0.0,
        "core": used / seconds,
        "cpu_us": used / total * 1e6,
        "measured": float(len(times)),
    }
