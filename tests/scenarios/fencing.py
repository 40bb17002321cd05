"""One instance takes over from another, which is frozen in mid-transaction or goes on committing; again and again."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from random import Random
from typing import Any

import aiohttp

from bridge.kafka.names import TopicNames
from bridge.oracle.decode import Decoder
from tests.integration.bridge.scene import Bridge, Scene, until
from tests.integration.reading import read_topics
from tests.scenarios.churn import TYPES, Churn
from tests.scenarios.common import Ends, accounts, judged, of_state, scene
from tests.scenarios.registry import Figures, Ground, scenario

SHARDS, ACCOUNTS, ENTITIES = 2, 20, 500
EXIT_S = 10.0
REPLACED = 5
MOST_TRIES = 1_000


@scenario(
    "fencing", "Freeze an instance in mid-transaction, let another take over, thaw the first; 50 times", minutes=4
)
async def fencing(ground: Ground) -> Figures:
    """What the older one had open never becomes visible; it stops, and does not fence its successor back."""
    times, rate = (1, 200) if ground.small else (50, 500)
    tries, pending, exits = 0, Counter[int](), list[float]()
    async with scene(ground, shards=SHARDS, accounts=ACCOUNTS) as made:
        await made.create_topics()
        async with Churn(made, await accounts(made), ENTITIES) as churn, of_state(made) as ends:
            churn.go(rate)
            older = await settled(made.start())
            for _ in range(times):
                tried, open_in = await freeze(older, ends)
                tries, pending = tries + tried, pending + Counter(open_in)
                newer = await settled(made.start())
                older.process.child.resume()
                exits.append(await replaced(older))
                assert ground.small or exits[-1] < EXIT_S, exits
                older = newer
            await churn.stop()
            await made.calm(older)
            report = await judged(made, exact=not ground.small)
        if not ground.small:  # where all is slow a successor's claim may come so late that the older one tries again
            undisturbed(made)
            assert {s["epoch"] for s in await older.shards()} == {times + 1}
        deleted = await in_order(made)
    return {
        "times": times, "tries_to_freeze_in_mid_transaction": tries, "open_transactions": pending.total(),
        "thaw_to_exit_s_at_most": max(exits), "events": churn.events, "envelopes": report.records_committed,
        "records_after_a_newer_instance": 0, "keys_deleted": deleted, "keys_that_returned": 0,
    }  # fmt: skip


@scenario("rolling", "Start an instance while another one commits under load; 50 times", minutes=7, small=False)
async def rolling(ground: Ground) -> Figures:
    """No key goes back to an older version, no deleted key returns."""
    times, rate = 50, 500
    meanwhile, exits = list[int](), list[float]()
    async with scene(ground, shards=SHARDS, accounts=ACCOUNTS) as made:
        await made.create_topics()
        async with Churn(made, await accounts(made), ENTITIES) as churn:
            churn.go(rate)
            older = await settled(made.start())
            for _ in range(times):
                before, newer = await committed(older), made.start()
                watching = asyncio.create_task(last_commits(older))
                exits.append(await replaced(older))
                meanwhile.append(await watching - before)
                older = await settled(newer)
            await churn.stop()
            await made.calm(older)
            report = await judged(made, exact=True)
        undisturbed(made)
        assert any(meanwhile), "the older instance never committed while the newer one started"
        deleted = await in_order(made)
    return {
        "times": times, "envelopes_of_the_older_while_the_newer_started": sum(meanwhile),
        "start_to_exit_of_the_older_s_at_most": max(exits), "events": churn.events,
        "envelopes": report.records_committed, "records_after_a_newer_instance": 0, "keys_deleted": deleted,
        "keys_that_returned": 0,
    }  # fmt: skip


async def settled(bridge: Bridge) -> Bridge:
    """Wait until every shard has committed something beside its claim."""
    await bridge.ready()

    async def look() -> bool:
        return all(s["transactions"] > 3 for s in await bridge.shards())

    await until(look, "transactions go on")
    return bridge


async def freeze(bridge: Bridge, ends: Ends) -> tuple[int, list[int]]:
    """Stop it where a transaction is open; how many times that took, and the shards with an open transaction."""
    rng = Random(3)  # noqa: S311 - a run is to be repeatable
    for tried in range(1, MOST_TRIES):
        bridge.process.child.pause()
        if await ends.pending():
            await asyncio.sleep(0.1)  # what it had sent already may have ended it
            if found := await ends.pending():
                return tried, found
        bridge.process.child.resume()
        await asyncio.sleep(rng.random() / 10)
    raise AssertionError(f"no transaction was open in {MOST_TRIES} tries")


async def replaced(bridge: Bridge) -> float:
    """It must end as one that has been replaced; the seconds until then."""
    began = time.monotonic()
    assert await bridge.ended(60.0) == REPLACED, bridge.process.tail()
    assert "has been claimed by another instance" in bridge.process.tail()
    return round(time.monotonic() - began, 2)


async def committed(bridge: Bridge) -> int:
    """Envelopes that its shards have committed in their lives."""
    return sum(s["seq"] for s in await bridge.shards())


async def last_commits(bridge: Bridge) -> int:
    """The same as it was last told before the process ended."""
    last = 0
    while bridge.process.child.returncode is None:
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            last = max(last, await committed(bridge))
        await asyncio.sleep(0.02)
    return last


def undisturbed(made: Scene) -> None:
    """Nobody was fenced but by a successor: who was not replaced has settled every transaction at once."""
    newest = made.bridges[-1]
    assert newest.log("transaction_unsettled") == newest.log("claim_unsettled") == []
    for bridge in made.bridges[:-1]:
        assert not [line for line in bridge.log("transaction_settled") if not line["committed"]]


async def in_order(made: Scene) -> int:
    """By Kafka's own time no record of an instance follows one of a newer, and no deleted key returns.

    Gives the number of deleted keys.
    """
    decoder, deleted = Decoder(made.stage.registry_url), set[tuple[str, bytes]]()
    written: dict[int, list[tuple[int, int]]] = {}
    for record in await read_topics(made.bootstrap, *(TopicNames(made.prefix).entity(name) for name in TYPES)):
        if record.value is None:
            continue
        value: dict[str, Any] = await decoder.value(record.value)
        assert (record.topic, record.key) not in deleted, f"a deleted key has returned: {value}"
        if value["op"] == "d":
            deleted.add((record.topic, record.key))
        written.setdefault(record.partition, []).append((record.timestamp, value["source"]["epoch"]))
    for partition, some in written.items():
        newest = 0
        for at_ms, epoch in sorted(some):
            assert epoch >= newest, f"partition {partition}: epoch {epoch} wrote at {at_ms}, after epoch {newest}"
            newest = epoch
    return len(deleted)
