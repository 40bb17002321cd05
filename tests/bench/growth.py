"""Whether an event costs the whole process more when more entities are known, and each event is of another one."""

from __future__ import annotations

import argparse
from contextlib import AsyncExitStack
from typing import Any

from bridge.devkit.kafka import EmbeddedKafka
from tests.bench.figures import Run, summary
from tests.bench.rig import SAY
from tests.bench.saturated import blast, bridge_runner

SIZES = (1_000, 1_000_000)
SHARDS = 4


async def growth(options: argparse.Namespace) -> dict[str, Any]:
    """A bridge for each size, in alternation; as many events as there are entities in the larger."""
    found: dict[int, list[Run]] = {size: [] for size in SIZES}
    async with AsyncExitStack() as stack:
        kafka = await stack.enter_async_context(EmbeddedKafka())
        runners = {size: await bridge_runner(stack, kafka, options, f"knows{size}") for size in SIZES}
        for round_ in range(options.runs + 1):
            for size, runner in runners.items():
                one = await blast(runner, max(SIZES) // SHARDS, 10, keys=size // SHARDS)
                if round_:
                    SAY.print(f"{size:,} entities: {one}")
                    found[size].append(one)
    return {f"{size}_entities": summary(runs) for size, runs in found.items()}
