"""What a server sends that nobody can read becomes a dead letter, whenever it comes. Kafka is in memory."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections import deque
from typing import Any

import fastavro
import pytest
from websockets.asyncio.server import ServerConnection

from bridge.app import cluster as parts
from bridge.app import shards
from bridge.app.reading import frame_reader
from bridge.app.shards import Shared, build
from bridge.entities import schemas
from bridge.errors import SessionLost, Unread
from bridge.kafka.framing import SingleObject
from bridge.shard import runner
from bridge.shard.ports import Listener
from bridge.simulator.options import Options
from bridge.simulator.server import Simulator
from bridge.source.backoff import Backoff
from bridge.source.broker import Broker, Endpoint
from bridge.source.budget import BudgetLimits
from bridge.source.conversation import ShardSource
from bridge.source.credentials import Credentials
from bridge.source.plan import SyncPlan
from bridge.source.refusals import SessionLimits
from tests.component.shard.instance import Desk, Instance, Talk, framed, settings_of
from tests.component.shard.partition import Partition, PartitionLog
from tests.component.source.scripted import eventually, serving, stay, wanted

PLAN = SyncPlan(entity_types=("order",), expression="modAccountId")


def letters(partition: Partition) -> list[Any]:
    parsed = fastavro.parse_schema(schemas.control_schema("DeadLetter"))
    records = partition.topics.get("p.bridge.dead-letter", ())
    return [fastavro.schemaless_reader(io.BytesIO(v[10:]), parsed, None) for _, v in records if v is not None]


@pytest.fixture
def partition(monkeypatch: pytest.MonkeyPatch) -> Partition:
    """Takes the place of Kafka."""
    made = Partition(parts.names(settings_of("127.0.0.1:1", "p", "exactly_once")).state)
    monkeypatch.setattr(shards, "ShardLog", lambda *_, **__: PartitionLog(made))
    return made


async def test_garbage_and_frames_that_are_too_long_are_kept_before_and_after_the_syncrequest(
    partition: Partition,
) -> None:
    """The real way from the socket to the record."""
    openings = deque(["<html>busy</html>", "o" + "x" * 3000])

    async def script(ws: ServerConnection) -> None:
        if openings:
            await ws.send(openings.popleft())
            await ws.wait_closed()
            return
        await ws.send("o")
        await ws.recv()
        await ws.send('a[{"s":200,"i":0}]')
        await wanted(ws)
        await ws.send('a[{"s":200,"i":1,"d":{"orders":[]}}]')
        if not late.is_set():
            late.set()
            await ws.send('a[{"e":"props"')
        await stay(ws)

    late = asyncio.Event()
    async with Simulator(Options(accounts=1)) as simulator, serving(script) as url:
        broker = Broker(
            Endpoint(simulator.rest_url, url),
            Credentials(environment="demo", name="acme", password="pw"),
            limits=SessionLimits(heartbeat_s=0.05, frame_bytes=2000, snapshot_quiet_s=0.05),
            budget=BudgetLimits(connect_rate=100.0),
        )
        settings = settings_of("127.0.0.1:1", "p", "exactly_once")
        async with broker:
            shared = Shared(settings, parts.cluster(settings), frame_reader(), framed(SingleObject()))
            shard, _ = build(shared, 0, ShardSource(broker, PLAN, Backoff(0.01, 0.01)))
            running = asyncio.create_task(shard.run())
            await eventually(lambda: len(letters(partition)) >= 3 or running.done())
            shard.stop()
            await running

    first, second, third = letters(partition)
    assert [x["reason"] for x in (first, second, third)] == ["garbage", "oversized", "garbage"]
    assert (first["raw"], first["length"]) == (b"<html>busy</html>", 17)
    assert first["sha256"] == hashlib.sha256(first["raw"]).hexdigest()
    assert (second["raw"][:2], second["length"]) == (b"ox", 3001)
    assert third["raw"] == b'a[{"e":"props"'
    assert shard.stats.lost == {"garbage": 2, "oversized": 1}


class Flood(Desk):
    """A broker that never gets beyond a frame of a MiB that nobody can read."""

    def converse(self, listener: Listener) -> Talk:
        talk = super().converse(listener)
        raw = b"x" * 2**20
        talk.give_up(SessionLost("garbage", "none", unread=Unread(raw, len(raw), hashlib.sha256(raw).hexdigest())))
        return talk


async def test_what_waits_for_kafka_is_bounded_and_what_is_left_out_is_still_told(
    partition: Partition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "MOST_KEPT_BYTES", 3 * 2**20)
    registered = asyncio.Event()

    async def framing() -> SingleObject:
        await registered.wait()
        return SingleObject()

    monkeypatch.setattr("tests.component.shard.instance.Desk", Flood)
    instance = Instance(settings_of("127.0.0.1:1", "p", "exactly_once"), framing)
    await instance.until(lambda: instance.desk.conversations > 10)
    registered.set()
    await instance.until(lambda: len(letters(partition)) >= 12)
    await instance.stop()

    whole = (hashlib.sha256(b"x" * 2**20).hexdigest(), 2**20)
    found = letters(partition)[:12]
    assert {(letter["sha256"], letter["length"]) for letter in found} == {whole}
    assert [(letter["parts"], len(letter["raw"])) for letter in found] == [(2, 2**19)] * 6 + [(1, 0)] * 6
