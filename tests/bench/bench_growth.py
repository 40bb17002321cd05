"""Whether an event costs more when more entities are known: `python -m tests.bench.bench_growth`.

CPU from a frame's bytes to records, for events spread over all entities.
"""

from __future__ import annotations

import statistics

from bridge.speed.choice import IMPLEMENTATION
from tests.bench.bench_assembly import Bench, assemble_us, frames, shared

SIZES = (1_000, 10_000, 100_000, 1_000_000)
EVENTS, ROUNDS = 20_000, 7


def main() -> None:
    """Print microseconds an event for each size, in alternating order, and the ratio to the smallest."""
    print(f"implementation: {IMPLEMENTATION}")
    common = shared()
    benches = {size: _filled(Bench.of(common), size) for size in SIZES}
    found: dict[int, list[float]] = {size: [] for size in SIZES}
    for _ in range(ROUNDS):
        for size, bench in benches.items():
            some = frames(10, events=EVENTS, entities=size, stride=max(1, size // EVENTS))
            found[size].append(assemble_us(bench.assembler, some, EVENTS))
    least = statistics.median(found[SIZES[0]])
    for size, values in found.items():
        middle = statistics.median(values)
        print(f"{size:9,} entities {middle:6.2f} us ({min(values):.2f} to {max(values):.2f}), {middle / least:.2f}")


def _filled(bench: Bench, size: int) -> Bench:
    """With so many entities published."""
    assemble_us(bench.assembler, frames(10, events=size, entities=size), size)
    assert len(bench.memory.state) == size
    return bench


if __name__ == "__main__":
    main()
