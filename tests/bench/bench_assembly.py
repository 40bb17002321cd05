"""What one event costs between socket and producer, without either: `python -m tests.bench.bench_assembly`."""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import orjson

from bridge.app.implementation import READ_ROWS, READER, RECONCILER
from bridge.app.restoring import Memory
from bridge.app.shards import Shared, assembler_of, kinds, state_codec
from bridge.changes.reconciler import Reconciler
from bridge.config import load
from bridge.entities.encoder import Encoder
from bridge.kafka.client import Cluster
from bridge.kafka.framing import SingleObject
from bridge.kafka.statelog import Head
from bridge.shard.assembly import Assembler
from bridge.shard.notes import Frame
from bridge.speed.choice import IMPLEMENTATION
from tests.bench.rig import payloads

EVENTS, ROUNDS = 20_000, 7
NOW_MS = 1_700_040_000_000
"""Far from the roll, around which every event is looked at more closely."""


async def _framing() -> SingleObject:
    return SingleObject()


def main() -> None:
    """Print microseconds an event, and J."""
    print(f"implementation: {IMPLEMENTATION}")
    common = shared()
    for per_frame in (10, 1):
        figures = _measure(common, per_frame)
        j = figures["loads"]
        for name, us in figures.items():
            print(f"{per_frame:2} a frame  {name:10} {us:6.2f} us  {us / j:5.2f} J")


@dataclass(frozen=True, slots=True)
class Bench:
    """What stands between socket and producer, for one shard."""

    memory: Memory
    reconciler: Reconciler
    assembler: Assembler

    @classmethod
    def of(cls, shared: Shared) -> Self:
        """With nothing published yet."""
        memory, framing = Memory(), SingleObject()
        known = kinds(memory.state, shared.encoders, "modAccountId")
        reconciler = RECONCILER(memory.state, known, divisor=4, remainder=0, max_value_bytes=900_000)
        codec = state_codec(shared.settings, framing)
        return cls(memory, reconciler, assembler_of(shared, 0, framing, codec, memory, known, reconciler, 1))


def shared() -> Shared:
    """With the settings of the environment, and no cluster."""
    return Shared(load(), Cluster(""), READER, _framing)


def frames(per_frame: int, **more: int) -> list[Frame]:
    """Of the simulator's load, unread."""
    return [Frame(i, raw, None, NOW_MS * 1000) for i, raw in enumerate(payloads(per_frame, **more))]


def assemble_us(assembler: Assembler, some: list[Frame], events: int) -> float:
    """CPU microseconds an event from parsed frames to records."""
    return _timed(partial(_run, assembler, some)) * EVENTS / events


def _measure(shared: Shared, per_frame: int) -> dict[str, float]:
    bench = Bench.of(shared)
    state, reconciler = bench.memory.state, bench.reconciler
    figures: dict[str, list[float]] = {"loads": [], "rows": [], "encode": [], "reconcile": [], "assemble": []}
    for _ in range(ROUNDS):
        some = frames(per_frame, events=EVENTS)
        raw = [each.raw for each in some]
        messages = [orjson.loads(r[1:]) for r in raw]
        events = [(m["d"]["entityType"], m["d"]["entity"]) for frame in messages for m in frame]
        rows = [READ_ROWS(m)[0] for m in messages]
        figures["loads"].append(_timed(partial(_each, orjson.loads, [r[1:] for r in raw])))
        figures["rows"].append(_timed(partial(_each, READ_ROWS, messages)))
        figures["encode"].append(_timed(partial(_encode, shared.encoders, events)))
        state.begin()
        figures["reconcile"].append(_timed(partial(_each, reconciler.apply, rows)))
        state.rollback()
        figures["assemble"].append(_timed(partial(_run, bench.assembler, some)))
    return {name: statistics.median(values[1:]) for name, values in figures.items()}


def _each(function: Callable[[Any], Any], items: list[Any]) -> None:
    for item in items:
        function(item)


def _encode(encoders: Mapping[str, Encoder], events: list[tuple[str, Any]]) -> None:
    for name, entity in events:
        encoders[name].encode(entity)


def _run(assembler: Assembler, frames: list[Frame]) -> None:
    asyncio.run(_assemble(assembler, frames))


async def _assemble(assembler: Assembler, frames: list[Frame]) -> None:
    transaction = assembler.begin(Head())
    for start in range(0, len(frames), 200):
        await assembler.add(frames[start : start + 200], transaction, NOW_MS)
        assembler.close(transaction)
        transaction = assembler.begin(transaction.head)


def _timed(work: Callable[[], Any]) -> float:
    gc.collect()
    gc.disable()
    began = time.process_time()
    work()
    used = time.process_time() - began
    gc.enable()
    return used / EVENTS * 1e6


if __name__ == "__main__":
    main()
