"""A newer instance takes the shards over while the older one works or is frozen; the older one stops by itself."""

from __future__ import annotations

import pytest

from tests.integration.bridge.conftest import Make
from tests.integration.bridge.scene import Bridge, until

RATE = 300


@pytest.mark.parametrize("frozen", [False, True], ids=["working", "frozen"])
async def test_newer_instance_replaces_the_older_one(scene: Make, frozen: bool) -> None:
    made = await scene()
    older = await made.start().ready()
    await made.rate(RATE)
    await busy(older)
    if frozen:
        older.process.child.pause()
    newer = await made.start().ready()
    await busy(newer)
    if frozen:
        older.process.child.resume()
    assert await older.ended() == 5
    assert "has been claimed by another instance" in older.process.tail()
    await made.calm(newer)
    assert [(s["epoch"], s["sessions"]) for s in await newer.shards()] == [(2, 1), (2, 1)]
    gaps = await made.announced_gaps()
    assert sorted(shard for shard, _, _ in gaps) == [0, 1]
    await made.judged_ok(gaps=gaps)
    assert (await newer.stop())[0] == 0


async def test_without_transactions_the_older_one_looks_for_a_successor(scene: Make) -> None:
    made = await scene(settings={"kafka.delivery": "at_least_once"})
    older = await made.start().ready()
    newer = await made.start().ready()
    assert await older.ended() == 5
    await made.step(20)
    await newer.drained()
    await made.judged_ok(exactly_once=False)


async def busy(bridge: Bridge) -> None:
    """Wait until every shard has written something that was not in its snapshot."""
    before = [s["transactions"] for s in await bridge.shards()]

    async def look() -> bool:
        return all(s["transactions"] > n + 5 for s, n in zip(await bridge.shards(), before, strict=True))

    await until(look, "transactions go on")
