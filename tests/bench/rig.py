"""What all measures need: the stage with its processors, the cost of a process, and waiting until all is committed."""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import aiohttp
import orjson
import psutil
from aiokafka import AIOKafkaConsumer, TopicPartition
from rich.console import Console

from bridge.cli.run import WORKER
from bridge.devkit.process import ChildProcess
from bridge.devkit.stage import Plan, Stage
from bridge.simulator.load import LoadStream, keys
from bridge.simulator.population import Account

SAY = Console(stderr=True)
MOST_S = 300.0
PARSINGS = 9
CPUS = sorted(os.sched_getaffinity(0))
BRIDGE_CPU = str(CPUS[-1])
TYPES = ("order", "fill", "position", "cashBalance", "marginSnapshot")
"""The types of the simulator's load."""


@contextmanager
def on(cpus: set[int]) -> Iterator[None]:
    """Run this process, and what it starts inside the block, on these processors."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def plan(options: argparse.Namespace, **more: Any) -> Plan:
    """The usual stage: 200 accounts, the settings of the command line, the bridge alone on a processor."""
    settings = dict(pair.split("=", 1) for pair in options.setting) | more.pop("settings", {})
    simulator = {"accounts": "200"} | more.pop("simulator", {})
    return Plan(**{"simulator": simulator, "settings": settings, "cpus": BRIDGE_CPU, **more})


class Meter:
    """CPU and wall time of a process, and of the workers it has, since this was made."""

    def __init__(self, child: ChildProcess) -> None:
        self.process = psutil.Process(child.pid)
        self.workers = [each for each in self.process.children() if WORKER in each.cmdline()]
        self._cpu, self._began = self._used(), time.monotonic()
        self._own = _cpu_s(self.process)

    def cpu_s(self) -> float:
        """CPU seconds, user and system, of all."""
        return self._used() - self._cpu

    def own_s(self) -> float:
        """The same without the workers."""
        return _cpu_s(self.process) - self._own

    def memory_mb(self) -> float:
        """Memory of all at this moment."""
        return sum(each.memory_info().rss for each in (self.process, *self.workers)) / 2**20

    def seconds(self) -> float:
        """Wall time."""
        return time.monotonic() - self._began

    def _used(self) -> float:
        return sum(map(_cpu_s, (self.process, *self.workers)))


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


async def bridge(stage: Stage, tree: Path | None = None, arguments: Sequence[str] = ()) -> ChildProcess:
    """Start it, from another checkout if told so, and wait until it is ready."""
    await stage.create_topics()
    child = stage.start_bridge(tree=tree, arguments=arguments).child
    SAY.print(f"ready after {await stage.wait_until_ready():.1f} s")
    return child


async def events(stage: Stage) -> int:
    """Changes committed so far; asks again when a busy bridge does not answer in time."""
    while (status := await stage.status()) is None:
        stage.check()
    return sum(s["events"] for s in status["shards"])


async def sessions(stage: Stage) -> list[dict[str, Any]]:
    """The simulator's ledger of sockets."""
    async with aiohttp.ClientSession() as http, http.get(f"{stage.control_url}/ledger/sessions") as answer:
        return [orjson.loads(line) for line in (await answer.read()).splitlines()]


async def until(stage: Stage, count: Callable[[], Awaitable[int]], wanted: int) -> None:
    """Wait until so many are there."""
    async with asyncio.timeout(MOST_S):
        while await count() < wanted:
            stage.check()
            await asyncio.sleep(0.05)


class Ends:
    """Counts the records of the load's topics by their end offsets; for writers without transactions."""

    def __init__(self, stage: Stage) -> None:
        shards = range(stage.plan.shards)
        self._partitions = [TopicPartition(f"{stage.prefix}.{name}", p) for name in TYPES for p in shards]
        self._consumer = AIOKafkaConsumer(bootstrap_servers=stage.kafka.bootstrap_servers)

    async def __aenter__(self) -> Self:
        """Connect."""
        await self._consumer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Disconnect."""
        await self._consumer.stop()

    async def count(self) -> int:
        """All records ever written to these topics."""
        ends = await self._consumer.end_offsets(self._partitions)
        return sum(ends.values())

    async def at_rest(self) -> int:
        """The count once it has not moved for a second and there is something."""
        async with asyncio.timeout(MOST_S):
            before, now = -1, 0
            while now != before or not now:
                await asyncio.sleep(1)
                before, now = now, await self.count()
        return now


def peak_mb(child: ChildProcess) -> float:
    """Most memory it ever had, from the kernel."""
    lines = Path(f"/proc/{child.pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def parse_us(per_frame: int) -> float:
    """CPU of `orjson.loads` per event for the same frames, on the bridge's processor, in microseconds: one J."""
    with on({int(BRIDGE_CPU)}):
        frames, used = payloads(per_frame), []
        for _ in range(PARSINGS):
            began = time.thread_time()  # other threads of this process drive the rig
            for payload in frames:
                orjson.loads(payload[1:])
            used.append(time.thread_time() - began)
    return statistics.median(used) / (len(frames) * per_frame) * 1e6


def payloads(per_frame: int, events: int = 20_000, entities: int = 1000, stride: int = 1) -> list[bytes]:
    """Frames as the simulator's load sends them.

    Args:
        events: how many in all; they cycle over the entities.
        stride: leave out all but every so manieth entity.
    """
    accounts = [Account(4_294_967_000 + 4 * n, 15_460, n) for n in range(50)]
    stream = LoadStream(keys(accounts, None, entities, 0)[::stride], per_frame, 0)
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
