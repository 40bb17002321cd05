"""Two instances and one shard: who may own it, who must not notice, and what is true afterwards. Kafka is in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from bridge.app import cluster as parts
from bridge.config import Settings
from bridge.entities import schemas
from bridge.errors import KafkaUnusable, Replaced
from bridge.kafka.framing import Confluent, Framing, SingleObject
from bridge.shard.chronicle import LATE_MS
from tests.component.shard.conftest import Start, decoded
from tests.component.shard.instance import NOON_US, framed, settings_of
from tests.component.shard.partition import Partition

FLOOD = 4000
"""Frames; more than the channel and one transaction hold under the settings of its test."""


def order(number: int, status: str = "Working") -> dict[str, Any]:
    return {"id": number, "accountId": 5, "ordStatus": status}


def told(partition: Partition) -> list[Any]:
    return decoded(partition, "bridge.events", schemas.control_schema("Event"))


def events(partition: Partition) -> list[tuple[str, str | None]]:
    return [(event["event"], event["cause"]) for event in told(partition)]


def published(partition: Partition) -> list[tuple[int, int, str]]:
    found = decoded(partition, "order", schemas.envelope_schema("order"))
    return [(e["source"]["seq"], e["source"]["epoch"], e["after"]["ordStatus"]) for e in found]


async def test_an_owner_notices_nothing_until_its_successor_can_claim(start: Start, partition: Partition) -> None:
    """The registry of the newer instance comes up late; its session syncs meanwhile, and again after the fence."""
    older, _ = start()
    older.desk.snapshot(order(1))
    await older.published(1)
    registry: asyncio.Future[Framing] = asyncio.get_running_loop().create_future()

    async def late() -> Framing:
        return await asyncio.shield(registry)

    newer, _ = start(late)
    newer.desk.snapshot(order(1))
    await newer.until(lambda: newer.runner.stats.sessions == 1)
    older.desk.live(order(1, "Filled"), order(1, "Canceled"))
    await older.published(3)
    assert partition.producers == 1
    registry.set_result(SingleObject())
    await newer.until(lambda: newer.desk.conversations == 2)
    newer.desk.snapshot(order(1, "Canceled"))
    await newer.until(lambda: newer.runner.stats.ready)
    older.desk.live(order(1, "Rejected"))
    with pytest.raises(Replaced):
        await older.until(lambda: False)
    newer.desk.live(order(1, "Expired"))
    await newer.published(4)
    assert published(partition) == [(1, 1, "Working"), (2, 1, "Filled"), (3, 1, "Canceled"), (4, 2, "Expired")]
    assert (partition.producers, newer.runner.stats.recoveries) == (2, 0)
    assert events(partition)[2:] == [
        ("session_opened", None),
        ("session_lost", "stale_snapshot"),
        ("session_opened", None),
        ("snapshot_completed", None),
        ("gap", "restart"),
    ]


async def test_without_a_former_owner_what_was_synced_before_the_fence_is_kept(start: Start) -> None:
    registry: asyncio.Future[Framing] = asyncio.get_running_loop().create_future()

    async def late() -> Framing:
        return await asyncio.shield(registry)

    only, _ = start(late)
    only.desk.snapshot(order(1))
    await only.until(lambda: only.runner.stats.sessions == 1)
    registry.set_result(SingleObject())
    await only.published(1)
    assert only.desk.conversations == 1


def other_expression() -> tuple[Any, Settings]:
    settings = settings_of("127.0.0.1:1", "p", "exactly_once", sharding={"divisor": 1, "expression": "modUserId"})
    return framed(SingleObject()), settings


def other_framing() -> tuple[Any, Settings]:
    settings = settings_of("127.0.0.1:1", "p", "exactly_once")
    ids = {subject: number for number, subject in enumerate(parts.subjects(settings), 1)}
    return framed(Confluent(ids)), settings


@pytest.mark.parametrize("misconfigured", [other_expression, other_framing])
async def test_a_misconfigured_instance_disturbs_nobody(
    start: Start, partition: Partition, misconfigured: Callable[[], tuple[Any, Settings]]
) -> None:
    older, log = start()
    older.desk.snapshot(order(1))
    await older.published(1)
    framing, settings = misconfigured()
    newer, _ = start(framing, settings=settings)
    with pytest.raises(KafkaUnusable, match="were written with"):
        await newer.until(lambda: False)
    older.desk.live(order(1, "Filled"))
    await older.published(2)
    assert (partition.producers, older.runner.stats.recoveries) == (1, 0)
    assert {head.instance for head in partition.heads} == {older.name}
    assert log.commits == len(partition.heads)


async def test_an_owner_that_takes_the_shard_back_before_the_claim_loses_nothing(
    start: Start, partition: Partition
) -> None:
    """The successor's claim is lost on its way; what the former owner commits meanwhile must not be numbered again."""
    older, _ = start()
    older.desk.snapshot(order(1))
    await older.published(1)
    newer, log = start()
    log.held[1] = asyncio.Event()
    await newer.until(lambda: log.commits == 1)
    older.desk.live(order(1, "Filled"), order(1, "Canceled"))
    await older.published(3)
    assert older.runner.stats.recoveries == 1
    log.held[1].set()
    newer.desk.snapshot(order(1, "Expired"))
    await newer.published(4)
    older.desk.live(order(1, "Rejected"))
    with pytest.raises(Replaced):
        await older.until(lambda: False)
    assert published(partition) == [(1, 1, "Working"), (2, 1, "Filled"), (3, 1, "Canceled"), (4, 2, "Expired")]
    transactions = [head.transaction for head in partition.heads]
    assert transactions == sorted(set(transactions))


async def test_an_overflow_tells_since_when_events_are_missing(start: Start, partition: Partition) -> None:
    """The gap begins before the first frame that was thrown away, not when the server was heard last."""
    pressure = {"high_water_kb": 64, "memory_mb": 1}
    only, log = start(settings=settings_of("127.0.0.1:1", "p", "exactly_once", pressure=pressure))
    only.desk.snapshot(order(1))
    await only.until(lambda: ("snapshot_completed", None) in events(partition))
    held = log.commits + 1
    log.held[held] = asyncio.Event()
    only.desk.live(order(2))
    await only.until(lambda: log.commits == held)
    for number in range(3, FLOOD):
        only.desk.now_us = NOON_US + number * 1_000_000
        only.desk.live({**order(number), "text": "x" * 600})
    await only.until(lambda: only.runner.stats.lost["overflow"] == 1)
    never_came = only.desk.lose()
    log.held[held].set()
    only.desk.snapshot(order(1))
    await only.until(lambda: ("gap", "overflow") in events(partition))

    written = len(published(partition))
    assert [seq for seq, _, _ in published(partition)] == list(range(1, written + 1))
    (lost, gap) = [e for e in told(partition) if e["event"] in {"session_lost", "gap"}]
    assert lost["counts"] == {"dropped_frames": FLOOD - 1 - written - never_came}
    assert written > 1
    assert gap["from_ms"] == lost["from_ms"] - timedelta(milliseconds=LATE_MS)
    assert lost["from_ms"].timestamp() == NOON_US // 1_000_000 + written + 1
