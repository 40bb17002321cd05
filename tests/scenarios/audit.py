"""The server loses frames in silence, and audits find what was in them; they find nothing where nothing was lost."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bridge.devkit.stage import Plan
from bridge.entities.catalogue import CATALOGUE
from bridge.oracle.decode import Decoder
from bridge.oracle.reader import read_all
from bridge.oracle.records import Record
from tests.integration.bridge.scene import QUICK, Bridge, Scene, until
from tests.integration.reading import read_topics
from tests.scenarios.reconcile import world
from tests.scenarios.registry import Figures, Ground, scenario

PERIODS = 2
DELETED, DELETIONS = "userAccountAutoLiq", 4


@dataclass(frozen=True, slots=True)
class Size:
    """How large the world is and how long everything takes; durations in seconds.

    Attributes:
        rate: events a second.
        plain, lagging: audits of each shard while nothing is lost, and while their snapshots lag besides.
        lag_s: how far.
        control_s: all of that takes so long, at least.
        share: of frames that are lost, afterwards.
        lost: so many of them, at least.
    """

    shards: int
    accounts: int
    rate: int
    settings: Mapping[str, str]
    plain: int
    lagging: int
    lag_s: float
    control_s: float
    share: float
    lost: int


FULL = Size(
    shards=4, accounts=2_000, rate=1_000, plain=3, lagging=3, lag_s=5.0, control_s=600.0, share=0.01, lost=200,
    settings={"audit.interval_s": "60", "snapshot.delete_quiet_s": "10"},
)  # fmt: skip
SMALL = Size(
    shards=2, accounts=60, rate=200, plain=0, lagging=1, lag_s=0.7, control_s=0.0, share=0.05, lost=15,
    settings={
        "audit.interval_s": "3", "audit.before_s": "1.5", "audit.after_s": "0.7", "snapshot.delete_quiet_s": "0.7",
    },
)  # fmt: skip


@scenario("audit", "Lose 1 % of the frames in silence; before, audit for ten minutes while nothing is lost", minutes=16)
async def play(ground: Ground) -> Figures:
    """No repair without a loss, also when the audits' snapshots lag; all repaired within two periods after one."""
    size = SMALL if ground.small else FULL
    plan = Plan(
        shards=size.shards, registry=False, folder=ground.folder, kafka=ground.kafka, prefix=ground.prefix,
        simulator={"accounts": str(size.accounts), "deletes": "0"}, settings={**QUICK, **size.settings},
    )  # fmt: skip
    async with Scene(plan) as made:
        await made.create_topics()
        bridge = await made.start().ready()
        await made.rate(size.rate)
        control = await nothing_lost(made, size)
        lost = await some_lost(made, size)
        await made.control("POST", "pause", {})
        gone = await some_deleted(made)
        paused_ms = time.time_ns() // 1_000_000
        await until(lambda: audited(made, size, paused_ms, PERIODS), "two audits after the loss", 300.0)
        found = await repairs(made)
        assert found[DELETED] >= len(gone), "the deletions were not found"
        assert set(found) > {DELETED}, "nothing was found of the events that were lost"
        records = await published(made)
        assert gone <= {record.id for record in records if record.op == "d"}
        late = await beyond(made, paused_ms)
        assert not late, f"repaired only by a third audit: {late}"
        await bridge.drained()
        report = await made.judged_ok()
        assert await metric(bridge) == found == told_in_log(bridge)
        assert Counter(record.key[0] for record in records) == found
        skipped = Counter(line["reason"] for line in bridge.log("audit_skipped"))
    return {**control, "frames_lost": lost, "keys_repaired": sum(found.values()), "by_type": dict(found),
            "events": report.events_sent, "audits_skipped": dict(skipped)}  # fmt: skip


async def nothing_lost(made: Scene, size: Size) -> Figures:
    """Events at the rate, no loss: audits that are punctual, then audits whose snapshots lag."""
    began = time.monotonic()
    began_ms = time.time_ns() // 1_000_000
    await asyncio.sleep(size.control_s / 2)
    await until(lambda: audited(made, size, began_ms, size.plain), "plain audits", 120.0)
    await made.options(snapshot_lag_s=size.lag_s)
    await asyncio.sleep(max(size.lag_s, size.control_s / 2))
    lagging_ms = time.time_ns() // 1_000_000 if not size.control_s else began_ms + round(size.control_s * 500)
    await until(lambda: audited(made, size, lagging_ms, size.lagging), "audits that lag", 120.0)
    told = [each for each in await events(made) if each["event"] == "audit_completed"]
    assert await repairs(made) == Counter(), "something was repaired although nothing was lost"
    await made.options(snapshot_lag_s=0)
    return {
        "control_s": round(time.monotonic() - began),
        "control_audits": len(told),
        "rows_compared": sum(each["counts"]["rows"] for each in told),
        "rows_left_out": sum(each["counts"]["left_out"] for each in told),
    }


async def some_lost(made: Scene, size: Size) -> int:
    """Frames are lost until they are enough; how many."""
    fault = {"kind": "frame_drop", "times": None, "probability": size.share}
    await made.control("POST", "faults", fault)

    async def look() -> int:
        fired = (await made.faults())["frame_drop"]
        return fired if fired >= size.lost else 0

    fired: int = await until(look, f"{size.lost} frames are lost", 600.0)
    await made.control("DELETE", "faults")
    return fired


async def some_deleted(made: Scene) -> set[int]:
    """Entities are deleted while every frame is lost; which."""
    numbers = sorted(number for name, number in await world(made) if name == DELETED)[:DELETIONS]
    await made.arm("frame_drop", times=None)
    for number in numbers:
        await made.control("POST", "inject", {"entityType": DELETED, "eventType": "Deleted", "entity": {"id": number}})
    await made.fired("frame_drop", len(numbers))
    await made.control("DELETE", "faults")
    return set(numbers)


async def events(made: Scene) -> list[dict[str, Any]]:
    """What the bridge has said about its shards."""
    decoder = Decoder()
    found = await read_topics(made.bootstrap, f"{made.prefix}.bridge.events")
    return [await decoder.value(record.value) for record in found if record.value is not None]


async def audited(made: Scene, size: Size, since_ms: int, times: int) -> bool:
    """Whether every shard has ended so many audits that began after this moment."""
    ended = Counter(e["shard"] for e in await events(made) if completed(e) and start_ms(e) > since_ms)
    return all(ended[shard] >= times for shard in range(size.shards))


def completed(event: Mapping[str, Any]) -> bool:
    return bool(event["event"] == "audit_completed")


def start_ms(event: Mapping[str, Any]) -> int:
    return int(event["from_ms"])


async def repairs(made: Scene) -> Counter[str]:
    """Keys repaired so far, by type."""
    found: Counter[str] = Counter()
    for event in await events(made):
        if event["event"] == "audit_repaired":
            found.update(event["counts"])
    return found


async def beyond(made: Scene, since_ms: int) -> list[Mapping[str, Any]]:
    """What was repaired by a shard's third audit after this moment, or later."""
    ended: Counter[int] = Counter()
    found: list[Mapping[str, Any]] = []
    for event in await events(made):
        if completed(event) and start_ms(event) > since_ms:
            ended[event["shard"]] += 1
        elif event["event"] == "audit_repaired" and ended[event["shard"]] >= PERIODS:
            found.append(event)
    return found


async def published(made: Scene) -> list[Record]:
    """What audits have published."""
    records, _ = await read_all(made.bootstrap, made.prefix, Decoder())
    return [record for record in records if record.source is not None and record.source.snapshot == "audit"]


async def metric(bridge: Bridge) -> Counter[str]:
    """Repairs by type, as the metric says."""
    lines = (await bridge.get("/metrics"))[1].splitlines()
    found: Counter[str] = Counter()
    for line in lines:
        if line.startswith("syncbridge_audit_repairs_total{"):
            found[line.split('entity_type="')[1].split('"')[0]] += round(float(line.split()[-1]))
    return found


def told_in_log(bridge: Bridge) -> Counter[str]:
    """The same by the log."""
    found: Counter[str] = Counter()
    for line in bridge.log("silent_loss"):
        found.update({name: count for name, count in line.items() if name in CATALOGUE})
    return found
