"""One of four shards is cut off for five seconds while its part of the world changes."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
import orjson

from bridge.devkit.stage import Plan
from bridge.oracle.decode import Decoder
from bridge.oracle.reader import read_all, read_told
from bridge.oracle.report import percentile
from tests.integration.bridge.scene import QUICK, Bridge, Scene, until
from tests.integration.reading import read_topics
from tests.scenarios.registry import Figures, Ground, scenario

SHARDS, CUT = 4, 2
TYPE = "cashBalance"
PULSE_S = 0.02
CLOCK_MS = 1.0
"""Kafka's timestamps are no finer."""
FRESH = 10_000_000
"""Ids of entities that the scenario creates begin here."""
Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Alive:
    """The content of an entity, and its shard if it has an account."""

    content: bytes
    shard: int | None


World = dict[Key, Alive]


@dataclass(frozen=True, slots=True)
class Size:
    """How much of the world there is, how much of the cut shard's part changes, and for how long others are watched.

    Before the cut they are watched for longer, because a p99 of few is mere chance.
    """

    accounts: int
    creates: int
    updates: int
    deletes: int
    before_s: float
    cut_s: float


FULL, SMALL = Size(2_900, 300, 500, 200, 20.0, 5.0), Size(120, 30, 50, 20, 1.5, 1.5)


@scenario(
    "reconcile",
    "Cut one shard of four off while 300 creates, 500 updates and 200 deletes happen",
    minutes=1,
    paced=True,
)
async def play(ground: Ground) -> Figures:
    """Only net differences may be published, each once; the others must not feel it."""
    size = SMALL if ground.small else FULL
    settings = {**QUICK, "snapshot.delete_quiet_s": "1", "snapshot.delete_share": "1"}
    plan = Plan(
        shards=SHARDS, registry=False, folder=ground.folder, kafka=ground.kafka, prefix=ground.prefix,
        simulator={"accounts": str(size.accounts), "deletes": "0"}, settings=settings,
    )  # fmt: skip
    async with Scene(plan) as made:
        await made.create_topics()
        bridge = await made.start().ready()
        await bridge.drained()
        return await cut(made, bridge, size, exact_pace=not ground.small)


async def cut(made: Scene, bridge: Bridge, size: Size, *, exact_pace: bool) -> Figures:
    """The cut itself, and what is to be found afterwards."""
    before = await world(made)
    heart = asyncio.create_task(elsewhere(made, before))
    try:
        await asyncio.sleep(size.before_s)
        began_us = time.time_ns() // 1000
        await made.arm("upgrade_drop", times=None)
        await made.arm("drop", remainder=CUT)
        await made.fired("drop")
        down = time.monotonic()
        happened = await change(made, before, size)
        await asyncio.sleep(max(0.0, size.cut_s - (time.monotonic() - down)))
        await made.fired("upgrade_drop")
        await made.control("DELETE", "faults")
        await until(lambda: again(bridge), "the shard is live again")
        ended_us = time.time_ns() // 1000
    finally:
        heart.cancel()
        await asyncio.wait([heart])
    after = await world(made)
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    net = {key for key in changed if (before.get(key) or after[key]).shard == CUT}
    await until(lambda: gone(made, net, after), "what vanished is deleted")
    await bridge.drained()
    report = await made.judged_ok()
    decoder = Decoder()
    records, _ = await read_all(made.bootstrap, made.prefix, decoder)
    told, _ = await read_told(made.bootstrap, made.prefix, decoder)
    found = [r for r in records if r.source is not None and r.source.snapshot == "reconcile"]
    assert Counter(r.key for r in found) == Counter(net), "one record for each key with a net change, none for others"
    assert {r.partition for r in found} == {CUT}
    pace = await latencies(made, decoder, began_us, ended_us)
    if exact_pace:
        assert pace["p99_ms_of_others_meanwhile"] <= 1.2 * pace["p99_ms_of_others_before"] + CLOCK_MS, pace
    (gap,) = (gap for gap in told.gaps or () if gap.partition == CUT)
    return {
        "entities": len(before),
        **happened,
        "keys_with_a_net_change": len(net),
        "reconcile_records": len(found),
        **{f"reconcile_{op}": count for op, count in sorted(Counter(r.op for r in found).items())},
        "gap_s": round((gap.to_us - gap.from_us) / 1e6, 2),
        "certificates_that_agree": report.certificates,
        **pace,
    }


async def change(made: Scene, before: World, size: Size) -> Mapping[str, int]:
    """Creates, updates and deletes of the cut shard's entities; a fifth of the new ones is not there for long."""
    accounts = [n for (t, n), alive in before.items() if t == "account" and alive.shard == CUT]
    owners = {n: account_of(alive) for (t, n), alive in before.items() if t == TYPE and alive.shard == CUT}
    known = sorted(owners)
    fresh = [FRESH + n for n in range(size.creates)]
    owners |= {n: accounts[n % len(accounts)] for n in fresh}
    short = fresh[: size.creates // 5]
    doomed = known[: size.deletes - len(short)]
    kept = (known[len(doomed) :] + fresh[len(short) :])[: size.updates]
    for number in fresh:
        await put(made, "Created", number, owners[number], 1.0)
    for turn in range(size.updates):
        number = kept[turn % len(kept)]
        await put(made, "Updated", number, owners[number], turn + 0.5)
    for number in (*doomed, *short):
        await put(made, "Deleted", number, owners[number], 0.0)
    return {"creates": len(fresh), "updates": size.updates, "deletes": len(doomed) + len(short)}


async def put(made: Scene, event: str, number: int, account: int, amount: float) -> None:
    entity = {"id": number, "accountId": account, "amount": amount}
    await made.control("POST", "inject", {"entityType": TYPE, "eventType": event, "entity": entity})


async def elsewhere(made: Scene, before: World) -> None:
    """Something happens in the other shards all the time."""
    chosen = [(n, account_of(alive)) for (t, n), alive in before.items() if t == TYPE and alive.shard != CUT]
    turn = 0
    while True:
        turn += 1
        await put(made, "Updated", *chosen[turn % len(chosen)], turn + 0.5)
        await asyncio.sleep(PULSE_S)


def account_of(alive: Alive) -> int:
    account: int = orjson.loads(alive.content)["accountId"]
    return account


async def world(made: Scene) -> World:
    """Everything alive in the simulator."""
    url = f"{made.stage.control_url}/ledger/state"
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        lines = [orjson.loads(line) for line in (await answer.read()).splitlines()]
    return {
        (x["type"], x["id"]): Alive(
            orjson.dumps(x["entity"], option=orjson.OPT_SORT_KEYS),
            None if x["account"] is None else x["account"] % SHARDS,
        )
        for x in lines
    }


async def again(bridge: Bridge) -> bool:
    shard = (await bridge.shards())[CUT]
    return bool(shard["sessions"] == 2 and shard["phase"] == "live")


async def gone(made: Scene, net: set[Key], after: World) -> bool:
    """Whether a deletion has been published for each key that vanished."""
    records, _ = await read_all(made.bootstrap, made.prefix, Decoder())
    deleted = {r.key for r in records if r.op == "d"}
    return {key for key in net if key not in after} <= deleted


async def latencies(made: Scene, decoder: Decoder, began_us: int, ended_us: int) -> dict[str, float]:
    """From a frame's arrival to its record's being in Kafka, of the other shards, before and during the cut."""
    before: list[float] = []
    meanwhile: list[float] = []
    for record in await read_topics(made.bootstrap, f"{made.prefix}.{TYPE}"):
        source = (await decoder.value(record.value))["source"] if record.value is not None else {}
        if record.partition == CUT or source.get("snapshot") != "false" or source["received_us"] > ended_us:
            continue
        waited_ms = record.timestamp - source["received_us"] / 1000
        (before if source["received_us"] < began_us else meanwhile).append(waited_ms)
    found = percentile(before, 0.99), percentile(meanwhile, 0.99)
    assert found[0] is not None, "nothing happened in the other shards before"
    assert found[1] is not None, "nothing happened in the other shards meanwhile"
    return {"p99_ms_of_others_before": round(found[0], 1), "p99_ms_of_others_meanwhile": round(found[1], 1)}
