"""The embedded Kafka in the foreground, as a user runs it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import aiohttp
import psutil
import pytest

from tests.integration.reading import read_topics
from tests.integration.writing import create, send

PROGRAM = """
import asyncio, pathlib, sys
from bridge.devkit.broker import run_broker
asyncio.run(run_broker(data_dir=pathlib.Path(sys.argv[1])))
"""


async def start(data: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, str(data), stdout=asyncio.subprocess.PIPE
    )


async def addresses(process: asyncio.subprocess.Process) -> tuple[str, str]:
    assert process.stdout is not None
    lines = [(await process.stdout.readline()).decode().rstrip() for _ in range(3)]
    assert lines[2].endswith("Ctrl-C stops it")
    return lines[0].removeprefix("kafka.bootstrap_servers = "), lines[1].removeprefix("registry.url = ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_prints_its_addresses_works_and_stops_in_order(tmp_path: Path, number: signal.Signals) -> None:
    process = await start(tmp_path)
    bootstrap, registry = await addresses(process)
    await create(bootstrap, "t")
    await send(bootstrap, "t", b"1")
    assert len(await read_topics(bootstrap, "t")) == 1
    async with aiohttp.ClientSession() as session, session.get(f"{registry}/subjects") as answer:
        assert await answer.json(content_type=None) == []
    family = psutil.Process(process.pid).children(recursive=True)
    assert family
    process.send_signal(number)
    assert await process.wait() == 0
    assert not [each for each in family if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]


async def test_stopped_while_kafka_starts_it_leaves_nothing_behind(tmp_path: Path) -> None:
    process = await start(tmp_path)
    parent, deadline = psutil.Process(process.pid), time.monotonic() + 30
    while not (family := parent.children(recursive=True)):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    os.kill(process.pid, signal.SIGTERM)
    assert await process.wait() == 0
    psutil.wait_procs(family, timeout=30)
    assert not [each for each in family if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
