"""A newer instance takes the shards over while the older one works; the older one stops by itself.

One that is frozen in mid-transaction: `tests/scenarios/fencing.py`.
"""

from __future__ import annotations

from tests.integration.bridge.conftest import Make
from tests.integration.bridge.scene import Bridge, until

RATE = 300


async def test_newer_instance_replaces_the_older_one(scene: Make) -> None:
    made = await scene()
    older = await made.start().ready()
    await made.rate(RATE)
    await busy(older)
    newer = await made.start().ready()
    await busy(newer)
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
