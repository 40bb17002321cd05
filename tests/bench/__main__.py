"""`python -m tests.bench`: what the bridge costs and how fast it is, on the embedded Kafka; JSON to a file.

The bridge runs alone on one processor, everything else on another. CPU per event is the main figure: rates differ
between machines by a factor of three. It is also given in J, the CPU that `orjson.loads` takes per event for the same
frames in the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.bench.base import checkout, ratios
from tests.bench.busy import busy
from tests.bench.figures import machine, table
from tests.bench.growth import growth
from tests.bench.latency import MODES, latency
from tests.bench.rig import CPUS, SAY, on
from tests.bench.saturated import saturated
from tests.bench.starting import starting

PARTS: dict[str, Callable[[argparse.Namespace], Coroutine[Any, Any, dict[str, Any]]]] = {
    "saturated": saturated,
    "latency": latency,
    "busy": busy,
    "growth": growth,
    "starting": starting,
}


def main() -> None:
    """Measure what was asked for, print a table, write the file."""
    options = _options()
    figures: dict[str, Any] = {"machine": machine()}
    with on({CPUS[0]}):
        for part in options.parts:
            figures[part] = asyncio.run(PARTS[part](options))
    path = Path(options.out or f"bench-{time.strftime('%Y%m%d-%H%M%S')}.json")
    path.write_text(json.dumps(figures, indent=2) + "\n")
    Console().print(table(figures))
    for line in ratios(figures) if options.base else ():
        Console().print(line)
    SAY.print(f"written to {path}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench BENCH_ARGS=...")
    parser.add_argument("--parts", nargs="+", default=[*PARTS], choices=[*PARTS])
    parser.add_argument("--runs", type=int, default=5, help="counted runs of each; one more warms up")
    parser.add_argument("--events", type=int, default=50_000, help="events for each socket and run")
    parser.add_argument("--workers", type=int, nargs="+", default=[1], help="processes of the bridge, when saturated")
    parser.add_argument("--rate", type=int, default=2_000, help="events a second, for the latency")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a latency run")
    parser.add_argument("--modes", nargs="+", default=[*MODES], choices=[*MODES], help="for the latency")
    parser.add_argument("--entities", type=int, nargs="+", default=[20_000, 200_000], help="sizes of the snapshot")
    parser.add_argument("--setting", action="append", default=[], help="further setting, section.key=value")
    parser.add_argument("--no-peers", dest="peers", action="store_false", help="the bridge only")
    parser.add_argument("--no-control", dest="control", action="store_false", help="the bridge only")
    parser.add_argument("--base", type=checkout, metavar="COMMIT", help="measure that commit too, in alternation")
    parser.add_argument("--out", help="file for the figures")
    return parser.parse_args()


if __name__ == "__main__":
    main()
