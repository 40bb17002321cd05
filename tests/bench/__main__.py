"""`python -m tests.bench`: what the bridge costs and how fast it is, on the embedded Kafka; JSON to a file.

The bridge runs alone on one processor, everything else on another. CPU per event is the main figure: rates differ
between machines by a factor of three. It is also given in J, the CPU that `orjson.loads` takes per event for the same
frames in the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import psutil
from rich.console import Console
from rich.table import Table

from bridge.devkit.stage import Plan, Stage
from bridge.oracle.report import percentile
from bridge.simulator.load import LoadStream, keys
from bridge.simulator.population import Account
from bridge.speed.choice import IMPLEMENTATION
from tests.bench.probe import Probe

SAY = Console(stderr=True)
MOST_S = 300.0


def main() -> None:
    """Measure what was asked for, print a table, write the file."""
    options = _options()
    cpus = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpus[0]})
    bridge_cpu = str(cpus[-1])
    figures: dict[str, Any] = {"machine": _machine(), "aims": {"saturated_10_J": 15, "latency_p99_ms": 50}}
    if "saturated" in options.parts:
        figures["saturated"] = asyncio.run(_saturated(bridge_cpu, options))
    if "latency" in options.parts:
        figures["latency"] = {"bridge_alone": asyncio.run(_latency(bridge_cpu, options))}
        os.sched_setaffinity(0, cpus)
        figures["latency"]["shared"] = asyncio.run(_latency(None, options))
        os.sched_setaffinity(0, {cpus[0]})
    if "snapshot" in options.parts:
        figures["snapshot"] = asyncio.run(_snapshot(bridge_cpu, options))
    path = Path(options.out or f"bench-{time.strftime('%Y%m%d-%H%M%S')}.json")
    path.write_text(json.dumps(figures, indent=2) + "\n")
    _show(figures)
    SAY.print(f"written to {path}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench BENCH_ARGS=...")
    parser.add_argument("--parts", nargs="+", default=["saturated", "latency", "snapshot"])
    parser.add_argument("--runs", type=int, default=5, help="counted runs of each; one more warms up")
    parser.add_argument("--events", type=int, default=50_000, help="events for each socket and run")
    parser.add_argument("--rate", type=int, default=2_000, help="events a second, for the latency")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a latency run")
    parser.add_argument("--entities", type=int, default=100_000, help="size of the snapshot")
    parser.add_argument("--setting", action="append", default=[], help="further setting, section.key=value")
    parser.add_argument("--out", help="file for the figures")
    return parser.parse_args()


def _settings(options: argparse.Namespace) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in options.setting)


async def _saturated(cpu: str, options: argparse.Namespace) -> dict[str, Any]:
    """As many events as the bridge takes, at 10 and 1 events a frame, in alternating order."""
    plan = Plan(simulator={"accounts": "200"}, settings=_settings(options), cpus=cpu)
    found: dict[int, list[dict[str, float]]] = {10: [], 1: []}
    async with Stage(plan) as stage:
        process = await _bridge(stage)
        for run in range(options.runs + 1):
            for per_frame, runs in found.items():
                one = await _blast(stage, process, options.events, per_frame)
                one["j_us"] = _parse_us(per_frame, cpu)
                if run:
                    runs.append(one)
                    SAY.print(f"{per_frame} a frame: {one}")
    return {f"{n}_per_frame": _summary(runs) for n, runs in found.items()}


async def _blast(stage: Stage, process: psutil.Process, events: int, per_frame: int) -> dict[str, float]:
    before = await _events(stage)
    cpu, began = _cpu(process), time.monotonic()
    told = await stage.control("POST", "load", {"events": events, "per_frame": per_frame, "rate": 0})
    await _until(stage, before + told["events"])
    seconds, used = time.monotonic() - began, _cpu(process) - cpu
    total = told["events"]
    return {"events_s": total / seconds, "cpu_us": used / total * 1e6, "rss_mb": process.memory_info().rss / 2**20}


async def _latency(cpu: str | None, options: argparse.Namespace) -> dict[str, Any]:
    """From the simulator's write to a `read_committed` reader that polls all the time, 1 event a frame.

    Once with the bridge alone on a processor, where all others together hardly get along on one; and once with all
    processes sharing the processors as the system likes.
    """
    plan = Plan(simulator={"accounts": "200"}, settings=_settings(options), cpus=cpu)
    runs = []
    async with Stage(plan) as stage:
        process = await _bridge(stage)
        for run in range(options.runs + 1):
            one = await _paced(stage, process, options)
            if run:
                runs.append(one)
                SAY.print(f"latency: {one}")
    return _summary(runs)


async def _paced(stage: Stage, process: psutil.Process, options: argparse.Namespace) -> dict[str, float]:
    count = int(options.rate * options.seconds / stage.plan.shards)
    async with Probe(stage) as probe:
        before = await _events(stage)
        cpu, began = _cpu(process), time.monotonic()
        rate = options.rate / stage.plan.shards
        told = await stage.control("POST", "load", {"events": count, "per_frame": 1, "rate": rate})
        await _until(stage, before + told["events"])
        seconds, used = time.monotonic() - began, _cpu(process) - cpu
        times = await probe.latencies_ms(told["events"])
    return {
        "p50_ms": percentile(times, 0.5) or 0.0,
        "p99_ms": percentile(times, 0.99) or 0.0,
        "measured": float(len(times)),
        "core": used / seconds,
        "cpu_us": used / told["events"] * 1e6,
    }


async def _snapshot(cpu: str, options: argparse.Namespace) -> dict[str, Any]:
    """Time from process start until a large first snapshot is committed, then until a restart is ready."""
    accounts = max(4, options.entities // ROWS_PER_ACCOUNT)
    plan = Plan(simulator={"accounts": str(accounts)}, settings=_settings(options), cpus=cpu)
    async with Stage(plan) as stage:
        await stage.create_topics()
        first = await _start(stage)
        await stage.stop_bridge()
        again = await _start(stage)
    return {
        "entities": first[1],
        "first_ready_s": first[0],
        "first_peak_mb": first[2],
        "restart_ready_s": again[0],
        "restart_peak_mb": again[2],
    }


ROWS_PER_ACCOUNT = 13
"""Snapshot rows the simulated world has per account at its start, all types together."""


async def _start(stage: Stage) -> tuple[float, int, float]:
    began = time.monotonic()
    stage.start_bridge()
    await stage.wait_until_ready(MOST_S)
    seconds = time.monotonic() - began
    status = await stage.status() or {"shards": []}
    entities = sum(s["entities"] for s in status["shards"])
    return seconds, entities, _peak_mb(_bridge_pid(stage))


def _peak_mb(pid: int) -> float:
    """Most memory it ever had, from the kernel."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


async def _bridge(stage: Stage) -> psutil.Process:
    await stage.create_topics()
    stage.start_bridge()
    SAY.print(f"ready after {await stage.wait_until_ready():.1f} s")
    process = psutil.Process(_bridge_pid(stage))
    SAY.print(f"idle memory {process.memory_info().rss / 2**20:.0f} MB")
    return process


def _bridge_pid(stage: Stage) -> int:
    assert stage.bridge is not None
    return stage.bridge.child.pid


async def _events(stage: Stage) -> int:
    """Changes committed so far; asks again when a busy bridge does not answer in time."""
    while (status := await stage.status()) is None:
        stage.check()
    return sum(s["events"] for s in status["shards"])


async def _until(stage: Stage, wanted: int) -> None:
    async with asyncio.timeout(MOST_S):
        while await _events(stage) < wanted:
            stage.check()
            await asyncio.sleep(0.05)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _parse_us(per_frame: int, cpu: str) -> float:
    """CPU of `orjson.loads` per event for the same frames, on the bridge's processor, in microseconds."""
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {int(cpu)})
    try:
        frames = payloads(per_frame)
        for _ in range(2):
            began = time.process_time()
            for payload in frames:
                orjson.loads(payload[1:])
            used = time.process_time() - began
        return used / (len(frames) * per_frame) * 1e6
    finally:
        os.sched_setaffinity(0, mine)


def payloads(per_frame: int, events: int = 20_000) -> list[bytes]:
    accounts = [Account(4_294_967_000 + 4 * n, 15_460, n) for n in range(50)]
    stream = LoadStream(keys(accounts, None, 1000, 0), per_frame, 0)
    data, found = stream.take(events // per_frame, time.time_ns() // 1000), []
    at = 0
    while at < len(data):
        size, head = data[at + 1], 2
        if size == 126:
            size, head = int.from_bytes(data[at + 2 : at + 4], "big"), 4
        elif size == 127:
            size, head = int.from_bytes(data[at + 2 : at + 10], "big"), 10
        found.append(data[at + head : at + head + size])
        at += head + size
    return found


def _summary(runs: list[dict[str, float]]) -> dict[str, Any]:
    names = runs[0].keys()
    table = {name: _spread([run[name] for run in runs]) for name in names}
    if "j_us" in table:
        table["J"] = _spread([run["cpu_us"] / run["j_us"] for run in runs])
    return {"runs": len(runs), **table}


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def _machine() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "implementation": IMPLEMENTATION,
        "processor": platform.machine(),
        "cpus": os.cpu_count(),
        "date": time.strftime("%Y-%m-%d"),
    }


def _show(figures: Mapping[str, Any]) -> None:
    table = Table("measure", "figure", "median", "min", "max", title=f"{IMPLEMENTATION} implementation")
    for part, content in figures.items():
        for name, figure in content.items() if isinstance(content, Mapping) else ():
            if isinstance(figure, Mapping):
                for key, value in figure.items():
                    if isinstance(value, Mapping):
                        table.add_row(f"{part} {name}", key, *(f"{value[k]:,.2f}" for k in ("median", "min", "max")))
            elif isinstance(figure, float):
                table.add_row(part, name, f"{figure:,.2f}", "", "")
    Console().print(table)


if __name__ == "__main__":
    main()
