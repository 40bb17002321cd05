from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from bridge.devkit.process import ChildProcess

SLEEPER = "import time; print('up', flush=True); time.sleep(3600)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPER}"


def start(tmp_path: Path, code: str) -> ChildProcess:
    return ChildProcess([sys.executable, "-c", code], tmp_path / "out")


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def up(tmp_path: Path) -> None:
    await until(lambda: (tmp_path / "out").read_text() == "up\n")


async def test_program_is_the_pid_itself_and_its_output_goes_to_the_file(tmp_path: Path) -> None:
    child = start(tmp_path, "import os, sys; print(os.getpid()); print(repr(sys.stdin.read())); sys.exit(7)")
    assert await child.wait(30) == 7
    assert (tmp_path / "out").read_text().splitlines() == [str(child.pid), "''"]


async def test_stop_asks_first(tmp_path: Path) -> None:
    child = start(tmp_path, SLEEPER)
    await up(tmp_path)
    await child.stop(30)
    assert child.returncode == -signal.SIGTERM


async def test_stop_kills_what_does_not_listen(tmp_path: Path) -> None:
    child = start(tmp_path, DEAF)
    await up(tmp_path)
    await child.stop(0.1)
    assert child.returncode == -signal.SIGKILL


async def test_paused_program_can_be_stopped(tmp_path: Path) -> None:
    child = start(tmp_path, SLEEPER)
    await up(tmp_path)
    child.pause()
    await until(lambda: psutil.Process(child.pid).status() == psutil.STATUS_STOPPED)
    await child.stop(30)
    assert child.returncode == -signal.SIGTERM


async def test_wait_has_an_end(tmp_path: Path) -> None:
    child = start(tmp_path, SLEEPER)
    with pytest.raises(TimeoutError):
        await child.wait(0.05)
    await child.kill()
    assert child.returncode == -signal.SIGKILL
    await child.kill()


async def test_watcher_ends_with_the_program(tmp_path: Path) -> None:
    child = start(tmp_path, SLEEPER)
    await up(tmp_path)
    (watcher,) = psutil.Process(child.pid).children()
    await child.kill()
    await until(lambda: not watcher.is_running() or watcher.status() == psutil.STATUS_ZOMBIE)
