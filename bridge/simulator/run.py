"""Runs the simulator as a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys

import orjson

from bridge.simulator.options import Options
from bridge.simulator.server import Simulator

_PARENT_CHECK_S = 0.5


async def run(options: Options, *, parent_pid: int | None = None, shards: int = 0) -> None:
    """Serves until SIGINT or SIGTERM, or until the parent process is gone.

    Prints one line of JSON with the addresses when it is ready.

    Args:
        options: the switches.
        parent_pid: process whose end ends this one too, None for none.
        shards: if given, hints in the ready line how clients should shard; the simulator itself takes any divisor.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with Simulator(options) as simulator:
        ready = {
            "rest": simulator.rest_url, "socket": simulator.socket_url, "control": simulator.control_url,
            "accounts": options.accounts, "pid": os.getpid(), **({"shards": shards} if shards else {}),
        }  # fmt: skip
        sys.stdout.write(orjson.dumps(ready).decode() + "\n")
        sys.stdout.flush()
        while not stop.is_set() and (parent_pid is None or os.getppid() == parent_pid):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _PARENT_CHECK_S)
