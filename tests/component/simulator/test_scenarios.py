"""Scenarios, played against a client that comes back; and as a command."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from bridge.simulator.director import Director, load, shipped
from bridge.simulator.options import Options
from bridge.simulator.scenario import parse
from bridge.simulator.server import Simulator
from tests.component.simulator.client import DEADLINE_S, until

SPEED = 20.0
IDLE_S = 4.0
BODY = {
    "splitResponses": True,
    "entityTypes": ["account", "order", "fill"],
    "shardingExpression": {"expressionType": "modAccountId", "divisor": 1, "remainder": 0},
}


async def log_in(http: aiohttp.ClientSession, rest: str) -> str:
    body = {"name": "a", "password": "b"}
    while True:
        async with http.post(f"{rest}/auth/accesstokenrequest", json=body) as answer:
            found = await answer.json()
        if "accessToken" in found:
            return str(found["accessToken"])
        await asyncio.sleep(found["p-time"])
        body["p-ticket"] = found["p-ticket"]


def answered(text: str | bytes) -> Any:
    """The answer in a frame, None if it holds something else."""
    try:
        found = orjson.loads(text[1:])[0]
        found = orjson.loads(found) if isinstance(found, str) else found
    except (orjson.JSONDecodeError, IndexError, KeyError):
        return None
    return found if "s" in found else None


async def once(http: aiohttp.ClientSession, simulator: Simulator) -> None:
    """One session, to its end."""
    token = await log_in(http, simulator.rest_url)
    async with http.ws_connect(simulator.socket_url, max_msg_size=0) as ws:
        await ws.receive_str(timeout=IDLE_S)
        await ws.send_str(f"authorize\n0\n\n{token}")
        body, asked = dict(BODY), False
        while (message := await ws.receive(timeout=IDLE_S)).type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            await ws.send_str("[]")
            answer = answered(message.data)
            if answer is None:
                continue
            if answer["s"] >= 400:
                return
            if "p-ticket" in (answer.get("d") or {}):
                await asyncio.sleep(answer["d"]["p-time"])
                body["p-ticket"], asked = answer["d"]["p-ticket"], False
            if not asked:
                asked = True
                await ws.send_str(f"user/syncrequest\n1\n\n{orjson.dumps(body).decode()}")


@asynccontextmanager
async def coming_back(simulator: Simulator) -> AsyncIterator[None]:
    """A client that reconnects at once, whatever happens."""

    async def run() -> None:
        async with aiohttp.ClientSession() as http:
            while True:
                with contextlib.suppress(aiohttp.ClientError, TimeoutError, TypeError):
                    await once(http, simulator)
                await asyncio.sleep(0.02)

    task = asyncio.create_task(run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("name", [name for name in shipped() if load(name).steps])
async def test_shipped_scenarios_succeed_with_a_client_that_comes_back(name: str) -> None:
    scenario = load(name)
    async with Simulator(Options(**scenario.options)) as simulator, coming_back(simulator):
        director = Director(simulator, scenario, speed=SPEED)
        outcome = await director.play()
        assert outcome.problems == []
        assert (outcome.ok, outcome.done) == (True, len(scenario.steps))
        assert simulator.ledger.sessions


async def test_a_fault_that_never_fired_fails_a_scenario() -> None:
    scenario = parse("title = 't'\n[[steps]]\nfaults = [{kind = 'sync_penalty', remainder = 3}]")
    async with Simulator(Options(accounts=2)) as simulator:
        outcome = await Director(simulator, scenario, grace_s=0.1).play()
    assert outcome.problems == ["fault 1 (sync_penalty on shard 3) has not fired"]
    assert not outcome.ok


async def test_waiting_in_vain_fails_a_scenario() -> None:
    for condition, sentence in (
        ("sockets = 2", "step 1 waited 0.1 s: 0 of 2 sockets are synced"),
        ("events = 5", "step 1 waited 0.1 s: 0 of 5 events have happened"),
    ):
        scenario = parse(f"title = 't'\n[[steps]]\nwithin_s = 0.1\n{condition}")
        async with Simulator(Options(accounts=2)) as simulator:
            outcome = await Director(simulator, scenario).play()
        assert outcome.problems[0] == sentence


async def test_what_cannot_be_done_fails_a_scenario() -> None:
    scenario = parse(
        "title = 't'\n[[steps]]\ninject = {entityType = 'order', eventType = 'Deleted', entity = {id = 5}}"
    )
    async with Simulator(Options(accounts=2)) as simulator:
        outcome = await Director(simulator, scenario).play()
    assert outcome.problems == ["step 1: there is no order 5"]


async def test_steps_keep_their_times_and_order() -> None:
    text = """
        title = "t"
        [[steps]]
        step = 5
        [[steps]]
        events = 20
        at_s = 0.3
        options = { split = "C" }
        disarm = true
        [[steps]]
        after_s = 0.2
        roll = { resend = 1 }
    """
    async with Simulator(Options(accounts=2)) as simulator, aiohttp.ClientSession() as http:
        began = time.monotonic()
        director = Director(simulator, parse(text), grace_s=0.1)
        playing = asyncio.create_task(director.play())
        await until(lambda: director.outcome.done == 1)
        async with http.get(f"{simulator.control_url}/scenario") as answer:
            status = await answer.json()
            assert (status["scenario"], status["steps"], status["over"]) == ("t", 3, False)
        simulator.arm("drop")  # disarmed by the second step, and yet it has not fired
        await simulator.step(20)
        outcome = await asyncio.wait_for(playing, DEADLINE_S)
        assert time.monotonic() - began >= 0.5
        assert simulator.options.split == "C"
        assert outcome.problems == ["fault 1 (drop) has not fired"]


async def command(*words: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bridge.simulator", *words, stdout=PIPE, stderr=PIPE
    )


async def test_the_command_plays_a_scenario_and_ends_with_its_outcome(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text("title = 't'\n[options]\naccounts = 7\nseed = 3\n[[steps]]\nafter_s = 1\nstep = 1\n")
    process = await command("--scenario", str(path), "--speed", "10", "--seed", "4")
    out, err = await asyncio.wait_for(process.communicate(), DEADLINE_S)
    ready, outcome = map(orjson.loads, out.splitlines())
    assert (process.returncode, err) == (0, b"")
    assert (ready["accounts"], outcome["ok"], outcome["done"]) == (7, True, 1)


async def test_the_command_fails_with_its_scenario(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text("title = 't'\n[[steps]]\nfaults = [{kind = 'drop'}]\n[[steps]]\nafter_s = 600\n")
    process = await command("--scenario", str(path), "--stay")
    assert process.stdout is not None
    await asyncio.wait_for(process.stdout.readline(), DEADLINE_S)
    process.send_signal(signal.SIGTERM)
    out, err = await asyncio.wait_for(process.communicate(), DEADLINE_S)
    assert process.returncode == 1
    assert orjson.loads(out)["problems"] == ["ended before step 2 of 2", "fault 1 (drop) has not fired"]
    assert b"the scenario has failed: ended before step 2 of 2; fault 1 (drop)" in err


async def test_a_wrong_scenario_is_a_usage_error() -> None:
    for words in (("--scenario", "nonsense"), ("--speed", "0")):
        process = await command(*words)
        _, err = await asyncio.wait_for(process.communicate(), DEADLINE_S)
        assert process.returncode == 2
        assert b"cannot read nonsense" in err or b"speed" in err
    process = await command("--list-scenarios")
    out, _ = await asyncio.wait_for(process.communicate(), DEADLINE_S)
    assert [line.split()[0] for line in out.decode().splitlines()] == list(shipped())
