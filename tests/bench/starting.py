"""How long a start takes, and what memory: a first snapshot, a restart with that state, many idle shards."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from bridge.devkit.stage import Plan, Stage
from tests.bench.rig import MOST_S, SAY, bridge, peak_mb, plan

ROWS_PER_ACCOUNT = 13
"""Snapshot rows the simulated world has per account at its start, all types together."""
SHARDS_IDLE = 16


async def starting(options: argparse.Namespace) -> dict[str, Any]:
    """Snapshot and restart for each size, and the memory of idle shards."""
    found: dict[str, Any] = {}
    for entities in options.entities:
        found[f"{entities}_entities"] = await _sized(options, entities)
        SAY.print(f"{entities} entities: {found[f'{entities}_entities']}")
    async with Stage(plan(options, shards=SHARDS_IDLE)) as stage:
        child = await bridge(stage)
        found["idle_16_shards_mb"] = psutil.Process(child.pid).memory_info().rss / 2**20
    return found


async def _sized(options: argparse.Namespace, entities: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        accounts = str(max(4, entities // ROWS_PER_ACCOUNT))
        token = {"source.token_path": str(Path(folder) / "token")}
        staged: Plan = plan(options, simulator={"accounts": accounts}, settings=token)
        async with Stage(staged) as stage:
            await stage.create_topics()
            first = await _start(stage)
            await stage.stop_bridge()
            again = await _start(stage)
    named = {"first": first, "restart": again}
    return {f"{name}_{key}": value for name, each in named.items() for key, value in each.items()}


async def _start(stage: Stage) -> dict[str, float]:
    """From the start of the process until all sockets have synced, and until it is ready."""
    began = time.monotonic()
    child = stage.start_bridge().child
    synced_s = await _synced(stage) - began
    await stage.wait_until_ready(MOST_S)
    ready_s = time.monotonic() - began
    status = await stage.status() or {"shards": []}
    return {
        "synced_s": synced_s,
        "ready_s": ready_s,
        "peak_mb": peak_mb(child),
        "entities": float(sum(s["entities"] for s in status["shards"])),
    }


async def _synced(stage: Stage) -> float:
    async with asyncio.timeout(MOST_S):
        while True:
            stage.check()
            status = await stage.status()
            if status and status["shards"] and all(s["sessions"] for s in status["shards"]):
                return time.monotonic()
            await asyncio.sleep(0.01)
