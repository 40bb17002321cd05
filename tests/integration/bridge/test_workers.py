"""Several processes under one command: one bridge to whoever looks at it, one fate, one token, one refusal."""

from __future__ import annotations

import os
import signal
import stat
from pathlib import Path
from typing import Any

import psutil
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.bridge.conftest import Make
from tests.integration.bridge.scene import Bridge, Scene, until

WORKERS = ("--workers", "2")
SHARDS = 4
STOP_LIMIT_S = 10.0
TYPE = "userAccountAutoLiq"
Samples = dict[str, dict[frozenset[tuple[str, str]], float]]


async def test_two_workers_look_and_stop_like_one_bridge(scene: Make, tmp_path: Path) -> None:
    made = await scene(
        shards=SHARDS, simulator={"accounts": "60", "deletes": "0"}, settings={"snapshot.delete_quiet_s": "1"}
    )
    folder = own_temporary_folder(made, tmp_path)
    bridge = made.start(*WORKERS)
    await until(lambda: unready(bridge), "it listens before its workers are ready")
    await bridge.ready()
    await made.rate(500)
    await until(lambda: committed(bridge, 1000), "a thousand events are committed")
    await made.calm(bridge)
    await made.judged_ok()
    assert await issued(made) == 1

    status = await bridge.status()
    assert [(s["shard"], s["worker"]) for s in status["shards"]] == [(0, 1), (1, 2), (2, 1), (3, 2)]
    assert (status["ready"], status["divisor"], status["remainders"]) == (True, SHARDS, [0, 1, 2, 3])
    assert all(worker["answers"] for worker in status["workers"])
    assert (await bridge.get("/livez"))[0] == 200
    await metrics_are_those_of_both(bridge)
    await held_deletions_are_decided_by_their_worker(made, bridge)
    await made.judged_ok(gaps=await made.announced_gaps())

    (private,) = folder.iterdir()
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    await a_refusal_holds_both(made, bridge)
    processes = await family(bridge)
    code, seconds = await bridge.stop()
    assert (code, seconds < STOP_LIMIT_S) == (0, True)
    assert [p for p in processes if runs(p)] == []
    assert list(folder.iterdir()) == []
    closed = [s["remainder"] for s in await made.sessions() if s["code"] == 1000]
    assert sorted(closed) == [1, 2, 3], "shard 0 was kept away from the broker"
    assert all("worker" in line for line in bridge.log() if "shard" in line)
    assert bridge.log("token_trouble") == []
    assert await issued(made) == 1


async def test_none_goes_on_without_the_others(scene: Make, tmp_path: Path) -> None:
    made = await scene(shards=SHARDS)
    folder = own_temporary_folder(made, tmp_path)

    bridge = await made.start(*WORKERS).ready()
    first, second = (await bridge.status())["workers"]
    os.kill(second["pid"], signal.SIGKILL)
    assert await bridge.ended() == 1
    said = bridge.process.tail().splitlines()[-1]
    assert said == "syncbridge: worker 2 (shards 1, 3) was ended by SIGKILL; the others have been stopped"
    assert [(x["worker"], x["status"]) for x in bridge.log("worker_ended")] == [(2, -signal.SIGKILL), (1, 0)]
    assert {s["remainder"] for s in await made.sessions() if s["code"] == 1000} == set(first["shards"])

    orphaned = await made.start(*WORKERS).ready()
    workers = (await family(orphaned))[1:]
    await orphaned.process.child.kill()
    await until(lambda: gone(workers), "the workers have noticed")
    assert [x["worker"] for x in orphaned.log("stopped") if x["reason"] == "asked to"] in ([1, 2], [2, 1])
    assert [s["code"] for s in (await made.sessions())[-SHARDS:]] == [1000] * SHARDS
    assert list(folder.iterdir()) == []

    older = await made.start(*WORKERS).ready()
    newer = await made.start(*WORKERS).ready()
    assert await older.ended() == 5
    said = older.process.tail().splitlines()[-1]
    assert said.startswith("syncbridge: worker ")
    assert "has ended with exit code 5: " in said
    assert "claimed by another instance" in said
    await made.step(20)
    await newer.drained()
    assert [s["epoch"] for s in await newer.shards()] == [4] * SHARDS
    await made.judged_ok(gaps=await made.announced_gaps())
    assert (await newer.stop())[0] == 0


def own_temporary_folder(made: Scene, tmp_path: Path) -> Path:
    """Where the bridges of a scene make theirs."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    made.variables["TMPDIR"] = str(folder)
    return folder


async def unready(bridge: Bridge) -> bool:
    return await bridge.answers("/readyz") == 503


async def committed(bridge: Bridge, events: int) -> bool:
    return bool(sum(s["events"] for s in await bridge.shards()) >= events)


async def issued(made: Scene) -> int:
    """Tokens that the broker has given."""
    found: int = (await made.control("GET", ""))["tokens"]
    return found


async def samples(bridge: Bridge) -> Samples:
    found: Samples = {}
    for family_ in text_string_to_metric_families((await bridge.get("/metrics"))[1]):
        for sample in family_.samples:
            place = found.setdefault(sample.name, {})
            labels = frozenset(sample.labels.items())
            assert labels not in place, f"{sample.name} twice"
            place[labels] = sample.value
    return found


async def metrics_are_those_of_both(bridge: Bridge) -> None:
    found = await samples(bridge)
    assert sum(found["syncbridge_shard_ready"].values()) == SHARDS
    assert sum(found["syncbridge_changes_committed_total"].values()) == sum(s["seq"] for s in await bridge.shards())
    assert found["syncbridge_worker_up"] == {frozenset({("worker", n)}): 1 for n in ("1", "2")}
    labels = [dict(each) for name in found for each in found[name]]
    assert all(("worker" in each) != ("shard" in each) for each in labels)
    assert {dict(each)["worker"] for each in found["process_cpu_seconds_total"]} == {"supervisor", "1", "2"}


async def held_deletions_are_decided_by_their_worker(made: Scene, bridge: Bridge) -> None:
    """Shard 1 belongs to worker 2; its next snapshot lacks a list."""
    await made.arm("list_lost", remainder=1, type=TYPE)
    await dropped(made, 1)

    async def held() -> dict[str, Any]:
        found: dict[str, Any] = (await bridge.shards())[1]["deletes_held"]
        return found

    count = (await until(held, "deletions are held"))[TYPE]
    assert (await made.faults())["list_lost"] == 1
    listed = (await verb(made, bridge, "list"))["shards"]
    assert [(s["shard"], TYPE in s["held"]) for s in listed] == [(0, False), (1, True), (2, False), (3, False)]
    decided = await verb(made, bridge, "discard", "--shard", "1")
    assert decided == {"shards": [{"shard": 1, "keys": {TYPE: count}}]}
    assert await held() == {}


async def verb(made: Scene, bridge: Bridge, *arguments: str) -> dict[str, Any]:
    outcome = await made.verb("deletes", *arguments, "--url", bridge.url, "--json")
    assert outcome.status == 0, outcome.err
    return outcome.lines()[0]


async def a_refusal_holds_both(made: Scene, bridge: Bridge) -> None:
    """429 meets a socket of worker 1; worker 2, which has lost none, begins nothing new either."""
    await made.arm("upgrade_status", status=429)
    await dropped(made, 0)
    await made.fired("upgrade_status")

    async def held() -> bool:
        holds = (await samples(bridge))["syncbridge_source_hold_seconds"]
        return [labels for labels, value in holds.items() if value > 0] == list(holds)

    await until(held, "both stay away")
    assert [line["worker"] for line in bridge.log("staying_away")] == [1]


async def dropped(made: Scene, shard: int) -> None:
    """Reset the socket of a shard; a frame for it has to come along."""
    before = (await made.faults()).get("drop", 0)
    await made.arm("drop", remainder=shard)

    async def fired() -> bool:
        await made.step(1)
        return (await made.faults())["drop"] > before

    await until(fired, f"the socket of shard {shard} is dropped")


async def family(bridge: Bridge) -> list[psutil.Process]:
    """The supervisor and its workers."""
    workers = [worker["pid"] for worker in (await bridge.status())["workers"]]
    return [psutil.Process(pid) for pid in (bridge.process.child.pid, *workers)]


def runs(process: psutil.Process) -> bool:
    """Whether it has not ended; one whose parent has gone may wait for ever to be asked how it ended."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def gone(processes: list[psutil.Process]) -> bool:
    return not any(runs(process) for process in processes)
