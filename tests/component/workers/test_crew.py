"""One fate: real processes on real links, that end in all the ways there are."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from bridge.errors import AuthorizationRefused, BridgeError, ConfigurationError, KafkaUnusable, Replaced
from bridge.workers.crew import Crew, WorkerEnded

ROOT = Path(__file__).resolve().parents[3]
CREWMAN = "tests.component.workers.crewman"
STOP_S = 30.0
Order = dict[str, Any]


@pytest.fixture(autouse=True)
def _found_from_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker finds modules where its supervisor does."""
    monkeypatch.syspath_prepend(str(ROOT))


@asynccontextmanager
async def crew(*orders: Order, stop_s: float = STOP_S) -> AsyncIterator[Crew]:
    shards = [(n, n + len(orders)) for n in range(len(orders))]
    async with Crew(shards, CREWMAN, stop_s=stop_s) as made:
        made.order(orders)
        yield made
    assert_all_gone(made)


def assert_all_gone(made: Crew) -> None:
    assert [child.number for child in made.children if child.pid is None or psutil.pid_exists(child.pid)] == []


async def begun(made: Crew) -> None:
    await until(lambda: all(child.address for child in made.children))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(STOP_S):
        while not condition():  # noqa: ASYNC110 - processes tell no event
            await asyncio.sleep(0.02)


async def test_when_asked_to_all_stop() -> None:
    stop = asyncio.Event()
    async with crew({}, {}) as made:
        await begun(made)
        assert [child.address for child in made.children] == [f"http://127.0.0.1:{c.pid}" for c in made.children]
        running = asyncio.create_task(made.run(stop))
        stop.set()
        await running


async def test_workers_that_never_got_an_order_stop_too() -> None:
    stop = asyncio.Event()
    stop.set()
    async with Crew([(0,), (1,)], CREWMAN, stop_s=STOP_S) as made:
        await made.run(stop)
    assert_all_gone(made)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (1, WorkerEnded),
        (2, ConfigurationError),
        (3, AuthorizationRefused),
        (4, KafkaUnusable),
        (5, Replaced),
        (77, WorkerEnded),
    ],
)
async def test_its_exit_code_is_that_of_all(code: int, kind: type[BridgeError]) -> None:
    async with crew({}, {"exit": code, "reason": "somebody else has it"}) as made:
        with pytest.raises(kind) as error:
            await made.run(asyncio.Event())
    assert error.value.exit_code == (code if code < 6 else 1)
    sentence = f"worker 2 (shards 1, 3) has ended with exit code {code}: somebody else has it"
    assert str(error.value) == f"{sentence}; the others have been stopped"


async def test_a_killed_worker_ends_all() -> None:
    async with crew({"kill": True}, {}) as made:
        with pytest.raises(WorkerEnded, match=r"worker 1 \(shards 0, 2\) was ended by SIGKILL") as error:
            await made.run(asyncio.Event())
    assert error.value.exit_code == 1


async def test_a_worker_that_somebody_stopped_stops_all_in_order() -> None:
    """Supervisors of services may signal all processes of a group at once, and the worker may be quicker."""
    async with crew({}, {}, {"exit": 0}) as made:
        await made.run(asyncio.Event())
    async with crew({}, {}) as made:
        await begun(made)
        assert made.children[0].pid is not None
        os.kill(made.children[0].pid, signal.SIGTERM)
        await made.run(asyncio.Event())


async def test_a_worker_that_cannot_write_what_is_left_tells_at_the_end() -> None:
    stop = asyncio.Event()
    stop.set()
    async with crew({}, {"at_last": 4}) as made:
        await begun(made)
        with pytest.raises(KafkaUnusable, match=r"worker 2 .* exit code 4"):
            await made.run(stop)


async def test_a_worker_that_does_not_stop_is_killed() -> None:
    stop = asyncio.Event()
    stop.set()
    async with crew({"deaf": True}, {}, stop_s=1.0) as made:
        await begun(made)
        with pytest.raises(WorkerEnded, match=r"worker 1 \(shards 0, 2\) did not stop in time and was killed"):
            await made.run(stop)


async def test_a_worker_that_says_no_more_and_does_not_leave_is_killed() -> None:
    async with crew({}, {"exit": 4, "reason": "its topics", "linger": 60}, stop_s=1.0) as made:
        with pytest.raises(WorkerEnded, match=r"worker 2 \(shards 1, 3\) was ended by SIGKILL: its topics"):
            await made.run(asyncio.Event())


async def test_news_reach_all_others() -> None:
    async with crew({"news": ["hold", 60.0]}, {}, {}) as made:
        with pytest.raises(WorkerEnded, match=r"exit code 9: heard \['hold', 60\.0\]"):
            await made.run(asyncio.Event())
        assert [child.reason for child in made.children] == ["", *["heard ['hold', 60.0]"] * 2]


async def test_whoever_is_interrupted_leaves_nobody_behind() -> None:
    async with crew({}, {}) as made:
        await begun(made)
        running = asyncio.create_task(made.run(asyncio.Event()))
        await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled()
    assert_all_gone(made)


async def test_workers_stop_when_their_supervisor_is_killed() -> None:
    code = (
        "import asyncio, sys\n"
        "from bridge.workers.crew import Crew\n"
        "async def main():\n"
        f"    async with Crew([(0,), (1,)], {CREWMAN!r}) as crew:\n"
        "        crew.order([{}, {}])\n"
        "        while not all(child.address for child in crew.children):\n"
        "            await asyncio.sleep(0.02)\n"
        "        print(*(child.pid for child in crew.children), flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen(  # noqa: ASYNC220, S603 - our own program
        [sys.executable, "-P", "-c", code], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}
    ) as supervisor:
        assert supervisor.stdout is not None
        workers = [psutil.Process(int(pid)) for pid in supervisor.stdout.readline().split()]
        assert len(workers) == 2
        supervisor.kill()
    await until(lambda: all(ended(worker) for worker in workers))


def ended(process: psutil.Process) -> bool:
    """An orphan may remain as a zombie where nobody collects them."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
