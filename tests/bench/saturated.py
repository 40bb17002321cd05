"""As many events as a program takes: the bridge, and the two straightforward programs, in alternating order."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge.devkit.kafka import EmbeddedKafka
from bridge.devkit.process import ChildProcess
from bridge.devkit.stage import Stage
from tests.bench.figures import Run, summary
from tests.bench.rig import CPUS, SAY, Ends, Meter, bridge, events, on, parse_us, plan, until

AWAITED_SHARE = 20
"""The program that awaits each record gets so much less to do: it takes ten times as long."""


@dataclass(frozen=True, slots=True)
class Runner:
    """A program that follows the simulator.

    Attributes:
        count: how many events or records it has written so far.
        share: of the events, one in so many.
    """

    name: str
    stage: Stage
    child: ChildProcess
    count: Callable[[], Awaitable[int]]
    share: int = 1


async def saturated(options: argparse.Namespace) -> dict[str, Any]:
    """Each program at 10 and 1 events a frame, one after the other; one round warms up and is not counted."""
    found: dict[str, dict[int, list[Run]]] = {}
    async with AsyncExitStack() as stack:
        kafka = await stack.enter_async_context(EmbeddedKafka())
        runners = [await _workers(stack, kafka, options, count) for count in options.workers]
        if options.base is not None:
            runners.append(await bridge_runner(stack, kafka, options, "base", options.base))
        if options.peers:
            runners += [await _peer(stack, kafka, options, name) for name in ("pipelined", "awaited")]
        for round_ in range(options.runs + 1):
            for per_frame in (10, 1):
                for runner in runners:
                    one = await blast(runner, options.events, per_frame)
                    if round_:
                        SAY.print(f"{runner.name}, {per_frame} a frame: {one}")
                        found.setdefault(runner.name, {}).setdefault(per_frame, []).append(one)
    return {name: {f"{n}_per_frame": summary(runs) for n, runs in each.items()} for name, each in found.items()}


async def bridge_runner(
    stack: AsyncExitStack, kafka: EmbeddedKafka, options: argparse.Namespace, name: str, tree: Path | None = None
) -> Runner:
    """A bridge of its own on this Kafka, ready."""
    stage = await stack.enter_async_context(Stage(plan(options, kafka=kafka, prefix=f"bench.{name}")))
    child = await bridge(stage, tree)
    return Runner(name, stage, child, lambda: events(stage))


async def _workers(stack: AsyncExitStack, kafka: EmbeddedKafka, options: argparse.Namespace, count: int) -> Runner:
    """Several workers have all processors, which they share with Kafka and the simulator: no measure of scaling."""
    if count == 1:
        return await bridge_runner(stack, kafka, options, "bridge")
    made = plan(options, kafka=kafka, prefix=f"bench.workers{count}", cpus=None)
    stage = await stack.enter_async_context(Stage(made))
    with on(set(CPUS)):
        child = await bridge(stage, arguments=("--workers", str(count)))
    return Runner(f"{count}_workers", stage, child, lambda: events(stage))


async def _peer(stack: AsyncExitStack, kafka: EmbeddedKafka, options: argparse.Namespace, name: str) -> Runner:
    stage = await stack.enter_async_context(Stage(plan(options, kafka=kafka, prefix=f"peer.{name}")))
    await stage.create_topics()
    child = stage.start_bridge(name, module=f"tests.bench.peers.{name}").child
    ends = await stack.enter_async_context(Ends(stage))
    await ends.at_rest()
    return Runner(name, stage, child, ends.count, AWAITED_SHARE if name == "awaited" else 1)


async def blast(runner: Runner, count: int, per_frame: int, keys: int = 1000) -> Run:
    """What so many events for each socket cost, of so many entities, sent as fast as they are read."""
    before, meter = await runner.count(), Meter(runner.child)
    load = {"events": count // runner.share, "per_frame": per_frame, "rate": 0, "keys": keys}
    total = (await runner.stage.control("POST", "load", load))["events"]
    await until(runner.stage, runner.count, before + total)
    seconds, used, own, memory = meter.seconds(), meter.cpu_s(), meter.own_s(), meter.memory_mb()
    j_us = await asyncio.to_thread(parse_us, per_frame)
    return {
        "events_s": total / seconds,
        "cpu_us": used / total * 1e6,
        "rss_mb": memory,
        "j_us": j_us,
        **({"supervisor_us": own / total * 1e6} if meter.workers else {}),
    }
