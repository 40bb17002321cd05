"""Stopped in order or killed: the next start repeats nothing, loses nothing and goes on counting."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.devkit.registry import DevRegistry
from tests.integration.bridge.conftest import Make
from tests.integration.bridge.scene import Bridge, Scene, until

STOP_LIMIT_S = 10.0
UNREAD_US = 2_000_000
"""What was sent so shortly before we hung up may not have been read, on a slow machine."""


@pytest.mark.parametrize(("delivery", "registry"), [("exactly_once", True), ("at_least_once", False)])
async def test_restarts_publish_nothing_for_what_has_not_changed(scene: Make, delivery: str, registry: bool) -> None:
    made = await scene(registry=registry, settings={"kafka.delivery": delivery})
    exactly_once = delivery == "exactly_once"

    first = await made.start().ready()
    await made.step(50)
    await first.drained()
    before = await first.shards()
    status, seconds = await first.stop()
    assert (status, seconds < STOP_LIMIT_S) == (0, True)
    assert [s["code"] for s in await made.sessions()] == [1000, 1000]
    report = await made.judged_ok(exactly_once=exactly_once)

    second = await made.start().ready()
    await second.drained()
    after = await second.shards()
    assert [s["seq"] for s in after] == [s["seq"] for s in before]
    assert [s["epoch"] for s in after] == [s["epoch"] + 1 for s in before]
    assert (await made.judge(exactly_once=exactly_once)).records_committed == report.records_committed

    await made.rate(200)
    await until(lambda: grown(second, after), "some events have been committed")
    await second.process.child.kill()
    await made.step(20)
    third = await made.start().ready()
    await made.calm(third)
    # Without transactions a crash may leave records whose state was not written: they are repeated under a new epoch.
    report = await made.judge(exactly_once=exactly_once)
    allowed = set() if exactly_once else {"duplicated", "before_wrong", "op_wrong"}
    assert {fault for fault, count in report.wrong.items() if count} <= allowed, report.offences[:5]
    assert [s["epoch"] for s in await third.shards()] == [s["epoch"] + 2 for s in before]

    await made.rate(200)
    calm = await third.shards()
    await until(lambda: grown(third, calm), "some events have been committed")
    status, seconds = await third.stop()
    assert (status, seconds < STOP_LIMIT_S) == (0, True)
    report = await made.judge(exactly_once=exactly_once, uncertain_clean_us=UNREAD_US)
    assert {fault for fault, count in report.wrong.items() if count} <= allowed, report.offences[:5]

    assert report.certificates == (6 if exactly_once else 0)
    await lifecycle_is_told(made)
    await other_framing_is_refused(made)


async def grown(bridge: Bridge, before: list[dict[str, Any]]) -> bool:
    return all(now["seq"] > old["seq"] + 20 for now, old in zip(await bridge.shards(), before, strict=True))


async def lifecycle_is_told(made: Scene) -> None:
    """Three runs, the second of which was killed: it could not say that it ended."""
    told: dict[int, list[dict[str, Any]]] = {0: [], 1: []}
    for record in await made.tail("bridge.events"):
        told[record["partition"]].append(record["value"])
    for shard, events in told.items():
        assert [e["event"] for e in events] == [
            "session_opened", "snapshot_completed", "session_lost", "stopped",
            "session_opened", "snapshot_completed", "gap",
            "session_opened", "snapshot_completed", "gap", "session_lost", "stopped",
        ]  # fmt: skip
        assert {e["shard"] for e in events} == {shard}
        assert [e["epoch"] for e in events] == [1] * 4 + [2] * 3 + [3] * 5
        quiet, crash = (e for e in events if e["event"] == "gap")
        assert (quiet["cause"], quiet["counts"]) == ("restart", {})
        assert crash["cause"] == "restart"
        assert sum(crash["counts"].values()) > 0
        assert quiet["from_ms"] < quiet["to_ms"] < crash["from_ms"] < crash["to_ms"]


async def other_framing_is_refused(made: Scene) -> None:
    """The keys of existing records would be split in two."""
    async with DevRegistry() as other:
        refused = made.start(registry__url="" if made.stage.registry_url else other.url)
        assert await refused.ended() == 4
    said = refused.process.tail().splitlines()[-1]
    assert said.startswith("syncbridge: the topics of shard ")
    assert "choose another kafka.topic_prefix" in said
