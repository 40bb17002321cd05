"""Scenarios, played against a client that comes back; and as a command."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
import structlog

from bridge.simulator.__main__ import main
from bridge.simulator.director import Director, Outcome, load, shipped
from bridge.simulator.options import Options
from bridge.simulator.scenario import Scenario, parse
from bridge.simulator.server import Simulator
from tests.component.simulator.client import DEADLINE_S, until

SPEED = 20.0
HEARTBEAT_S = 0.2
IDLE_S = 1.0
"""A server that says nothing for so long is gone."""
BODY = {
    "splitResponses": True,
    "entityTypes": ["account", "order", "fill"],
    "shardingExpression": {"expressionType": "modAccountId", "divisor": 1, "remainder": 0},
}


@pytest.fixture(autouse=True)
def plain_logs() -> Iterator[None]:
    """A command sets up logging for its process; here others use it afterwards."""
    yield
    structlog.reset_defaults()


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


def hastened(name: str) -> Scenario:
    """A shipped scenario whose tickets and delays are as much shorter as its waits will be."""
    text = re.sub(r"seconds = ([\d.]+)", lambda found: f"seconds = {float(found[1]) / SPEED}", shipped()[name])
    return parse(text.replace("heartbeat_s = 8.0", f"heartbeat_s = {2 * HEARTBEAT_S}"))


async def played(name: str) -> Outcome:
    scenario = hastened(name)
    options = Options(**{"heartbeat_s": HEARTBEAT_S, **scenario.options})
    async with Simulator(options) as simulator, coming_back(simulator):
        outcome = await Director(simulator, scenario, speed=SPEED).play()
        assert simulator.ledger.sessions
        assert all(fault.fired for fault in simulator.faults.all())
        return outcome


async def test_shipped_scenarios_succeed_with_a_client_that_comes_back() -> None:
    """All at once, since they spend their time waiting."""
    names = list(shipped())
    outcomes = dict(zip(names, await asyncio.gather(*map(played, names)), strict=True))
    assert {name: outcome.problems for name, outcome in outcomes.items() if not outcome.ok} == {}
    assert {n: o.done for n, o in outcomes.items()} == {n: len(load(n).steps) for n in names}
    assert min(outcome.done for outcome in outcomes.values()) > 1


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


@pytest.fixture
def _log_as_before() -> Iterator[None]:
    """The command sets up the log of its process, which here is that of other tests too."""
    yield
    structlog.reset_defaults()


@pytest.mark.usefixtures("_log_as_before")
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--scenario", "nonsense"], "cannot read nonsense"),
        (["--speed", "0"], "speed is greater than 0"),
        (["--fault", "dorp"], "there is no fault 'dorp'"),
        (["--accounts", "-3"], "accounts is not negative"),
    ],
)
def test_a_wrong_flag_is_a_usage_error(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.usefixtures("_log_as_before")
def test_the_shipped_scenarios_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--list-scenarios"])
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(shipped())


async def test_faults_by_flag_must_fire_and_the_ledger_is_left_behind(tmp_path: Path) -> None:
    process = await command(
        "--fault", "token_error:text=no", "--fault", "drop", "--accounts", "3", "--ledger", str(tmp_path / "run")
    )  # fmt: skip
    assert process.stdout is not None
    ready = orjson.loads(await asyncio.wait_for(process.stdout.readline(), DEADLINE_S))
    async with aiohttp.ClientSession() as http:
        async with http.post(f"{ready['rest']}/auth/accesstokenrequest", json={"name": "a", "password": "b"}) as answer:
            assert await answer.json() == {"errorText": "no"}
        async with http.get(f"{ready['control']}/faults") as answer:
            assert [fault["fired"] for fault in await answer.json()] == [1, 0]
    process.send_signal(signal.SIGTERM)
    out, err = await asyncio.wait_for(process.communicate(), DEADLINE_S)
    assert process.returncode == 1
    assert orjson.loads(out)["problems"] == ["fault 2 (drop) has not fired"]
    assert b"fault 2 (drop) has not fired" in err
    names = {"events.ndjson", "sessions.ndjson", "deliveries.ndjson"}
    assert {path.name for path in (tmp_path / "run").iterdir()} == names
    assert orjson.loads((tmp_path / "run" / "events.ndjson").read_bytes().splitlines()[0])["n"] == 1
