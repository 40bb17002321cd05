"""Runs the simulator as a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from bridge.simulator.director import Director, Outcome
from bridge.simulator.ledger import write_ledger
from bridge.simulator.options import Options
from bridge.simulator.scenario import Scenario
from bridge.simulator.server import Simulator

_PARENT_CHECK_S = 0.5


@dataclass(frozen=True, slots=True)
class Course:
    """How a run goes.

    Attributes:
        parent_pid: process whose end ends this one too, None for none.
        shards: if given, hints in the ready line how clients should shard; the simulator itself takes any divisor.
        faults: armed from the beginning, each as arguments of `arm`.
        ledger: folder to write the ledger to in the end, None for none.
        scenario: what to play, None for nothing.
        speed: the scenario's waits are divided by it.
        stay: go on serving when the scenario is over.
    """

    parent_pid: int | None = None
    shards: int = 0
    faults: tuple[dict[str, Any], ...] = ()
    ledger: Path | None = None
    scenario: Scenario | None = None
    speed: float = 1.0
    stay: bool = False


async def run(options: Options, course: Course) -> Outcome | None:
    """Serves until SIGINT or SIGTERM, until the parent process is gone, or until the scenario is over.

    Prints one line of JSON with the addresses when it is ready, and one with the outcome when a scenario is over.

    Returns:
        How the scenario came out, None if there was none.
    """
    simulator = Simulator(options)
    outcome = await _serve_with(simulator, course)
    if course.ledger is not None:
        write_ledger(simulator.ledger, course.ledger)
    return outcome


async def _serve_with(simulator: Simulator, course: Course) -> Outcome | None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with simulator:
        for fault in course.faults:
            simulator.arm(**fault)
        _say({
            "rest": simulator.rest_url, "socket": simulator.socket_url, "control": simulator.control_url,
            "accounts": simulator.options.accounts, "pid": os.getpid(),
            **({"shards": course.shards} if course.shards else {}),
        })  # fmt: skip

        def gone() -> bool:
            return course.parent_pid not in (None, os.getppid())

        if course.scenario is None:
            await _serve(stop, gone)
            return None
        return await _play(simulator, course, course.scenario, stop, gone)


async def _play(
    simulator: Simulator, course: Course, scenario: Scenario, stop: asyncio.Event, gone: Callable[[], bool]
) -> Outcome:
    director = Director(simulator, scenario, speed=course.speed)
    playing: asyncio.Task[Outcome] | None = None
    if scenario.steps:  # options alone go on until the user ends them
        playing = asyncio.create_task(director.play())
        if not course.stay:
            playing.add_done_callback(lambda _: stop.set())
    await _serve(stop, gone)
    if playing is not None and playing.done():
        playing.result()  # an error of ours is not to be lost
    elif playing is not None:
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)
    outcome = director.end()
    _say(outcome.as_json())
    return outcome


async def _serve(stop: asyncio.Event, gone: Callable[[], bool]) -> None:
    while not stop.is_set() and not gone():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _PARENT_CHECK_S)


def _say(line: dict[str, Any]) -> None:
    sys.stdout.write(orjson.dumps(line).decode() + "\n")
    sys.stdout.flush()
