"""`syncbridge demo`: see it work, and have it judged."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer

from bridge.cli.common import execute, stop_signals

T = TypeVar("T")


def demo(
    seconds: Annotated[float | None, typer.Option(help="Run so long, then verify; default until Ctrl-C.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="No live view; the last line on stdout is the verdict as JSON.")
    ] = False,
    accounts: Annotated[int, typer.Option(help="Accounts that trade.")] = 200,
    rate: Annotated[float, typer.Option(help="Events a second.")] = 200.0,
    shards: Annotated[int, typer.Option(help="Sockets, and partitions of every topic.")] = 4,
    seed: Annotated[int, typer.Option(help="The same seed gives the same world.")] = 1,
) -> None:
    """Run Kafka, registry, simulator and bridge, all embedded, with a live view; Ctrl-C stops everything.

    With --seconds the run is verified: an independent reader compares the topics with the simulator's ledger, and the
    exit code is 0 only if nothing is lost, doubled, out of order or in the wrong place.
    """
    # `run` is not to wait for what it does not need.
    from bridge.cli.judging import conclude  # noqa: PLC0415
    from bridge.devkit.demo import DemoOptions, run_demo  # noqa: PLC0415

    options = DemoOptions(seconds=seconds, view=not as_json, accounts=accounts, rate=rate, shards=shards, seed=seed)
    report = execute(_stoppable(lambda stop: run_demo(options, stop)))
    if report is not None:
        conclude(report, as_json=as_json)


async def _stoppable(run: Callable[[asyncio.Event], Awaitable[T]]) -> T:
    stop = asyncio.Event()
    with stop_signals(stop.set):
        return await run(stop)
