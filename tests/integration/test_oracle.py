"""The oracle against a real Kafka, with a bridge of forty lines that is right until a test makes it wrong.

The small bridge keeps all fields in `unmapped`, which is legal, and writes single-object or Confluent framing.
"""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import fastavro
import orjson
import pytest
from aiokafka import AIOKafkaProducer

from bridge.devkit.kafka import EmbeddedKafka
from bridge.devkit.registry import DevRegistry
from bridge.oracle.decode import Decoder
from bridge.oracle.reader import Follower, read_told
from bridge.oracle.records import Certificate, Gap, Told
from bridge.oracle.schemas import mark, shipped
from bridge.oracle.verify import verify
from bridge.simulator.options import Options
from bridge.simulator.server import Simulator
from tests.integration.writing import create

TYPES = ["account", "order", "fill", "position", "cashBalance", "userAccountAutoLiq"]
DIVISOR = 2
SCHEMAS = shipped()
Spoil = Callable[[dict[str, Any]], dict[str, Any] | None]


def _file(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SCHEMAS / name).read_text())
    return found


def schemas(entity_type: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Key and envelope schema of a type, put together from the shipped files."""
    value, source, key = _file(f"{entity_type}.avsc"), _file("envelope/Source.avsc"), _file("keys/Key.avsc")
    fields = [
        {"name": "before", "type": ["null", value], "default": None},
        {"name": "after", "type": ["null", value["namespace"] + ".Value"], "default": None},
        {"name": "source", "type": source},
        {"name": "op", "type": "string"},
        {"name": "ts_ms", "type": "long"},
    ]
    envelope = {"type": "record", "name": "Envelope", "namespace": value["namespace"], "fields": fields}
    return {**key, "namespace": value["namespace"]}, envelope


class SmallBridge:
    """One shard."""

    def __init__(self, bootstrap: str, prefix: str, remainder: int, registry: str | None, spoil: Spoil | None) -> None:
        self.prefix, self.remainder, self.registry, self.spoil = prefix, remainder, registry, spoil
        self.producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=f"{prefix}.{remainder}")
        self.state: dict[tuple[str, int], dict[str, Any]] = {}
        self.committed: dict[tuple[str, int], dict[str, Any]] = {}
        self.seq = self.frames = 0
        self._heads: dict[str, tuple[bytes, bytes]] = {}
        self._parsed: dict[str, tuple[Any, Any]] = {}

    async def run(self, simulator: Simulator) -> None:
        await self.producer.start()
        token = simulator.tokens.grant("small", time.time()).text
        sharding = {"expressionType": "modAccountId", "divisor": DIVISOR, "remainder": self.remainder}
        body = {"splitResponses": True, "entityTypes": TYPES, "shardingExpression": sharding}
        try:
            async with aiohttp.ClientSession() as http, http.ws_connect(simulator.socket_url, max_msg_size=0) as ws:
                await ws.send_str(f"authorize\n0\n\n{token}")
                await ws.send_str(f"user/syncrequest\n1\n\n{orjson.dumps(body).decode()}")
                while True:
                    await self._frames_until_quiet(ws)
        finally:
            await self.producer.stop()

    async def _frames_until_quiet(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        """All frames up to a pause of 20 ms are one transaction."""
        text = await ws.receive_str()
        await self.producer.begin_transaction()
        try:
            while True:
                if text.startswith("a["):
                    await self._frame(orjson.loads(text[1:]))
                text = await ws.receive_str(timeout=0.02)
        except TimeoutError:
            await self.producer.commit_transaction()
            self.committed = dict(self.state)

    async def _frame(self, messages: list[Any]) -> None:
        self.frames += 1
        envelopes = []
        for message in messages:
            data = message.get("d", {})
            if message.get("e") == "props":
                envelopes.append((data["entityType"], data["eventType"], data["entity"], "false"))
            for entity_type in TYPES:
                rows = data.get(entity_type + "s", ()) if "i" in message else ()
                envelopes += [(entity_type, "Snapshot", row, "true") for row in rows]
        envelopes = [e for e in envelopes if e[1] == "Deleted" or self.state.get((e[0], e[2]["id"])) != e[2]]
        last = self.seq + len(envelopes)
        for entity_type, event, entity, snapshot in envelopes:
            await self._publish(entity_type, event, entity, snapshot, last)

    async def _publish(self, entity_type: str, event: str, entity: dict[str, Any], snapshot: str, last: int) -> None:
        self.seq += 1
        key = (entity_type, entity["id"])
        before, after = self.state.get(key), None if event == "Deleted" else entity
        envelope: dict[str, Any] | None = {
            "before": self._value(before),
            "after": self._value(after),
            "source": {
                "version": "0", "connector": "tradovate", "name": self.prefix, "environment": "demo", "ts_ms": 0,
                "snapshot": snapshot, "shard": self.remainder, "divisor": DIVISOR, "epoch": 1, "seq": self.seq,
                "frame": self.frames, "frame_last": last, "account_id": self._account(entity), "user_id": None,
                "received_us": time.time_ns() // 1000, "resend": False,
            },
            "op": "d" if after is None else ("r" if snapshot == "true" else "c") if before is None else "u",
            "ts_ms": 0,
        }  # fmt: skip
        if self.spoil and envelope:
            envelope = self.spoil(envelope)
        if envelope is not None:
            await self._send(entity_type, entity["id"], envelope)
            if after is None:
                await self._send(entity_type, entity["id"], None)
        if after is None:
            self.state.pop(key, None)
        else:
            self.state[key] = after

    @staticmethod
    def _account(entity: dict[str, Any]) -> int | None:
        number = entity.get("accountId")
        return number if isinstance(number, int) else None

    @staticmethod
    def _value(entity: dict[str, Any] | None) -> dict[str, Any] | None:
        if entity is None:
            return None
        return {"id": entity["id"], "unmapped": {k: json.dumps(v) for k, v in entity.items() if k != "id"}}

    async def _send(self, entity_type: str, number: int, envelope: dict[str, Any] | None) -> None:
        if entity_type not in self._heads:
            self._heads[entity_type] = await self._framing(entity_type)
            key_schema, value_schema = schemas(entity_type)
            self._parsed[entity_type] = fastavro.parse_schema(key_schema), fastavro.parse_schema(value_schema)
        heads, parsed = self._heads[entity_type], self._parsed[entity_type]
        await self.producer.send(
            f"{self.prefix}.{entity_type}",
            key=heads[0] + _avro(parsed[0], {"id": number}),
            value=None if envelope is None else heads[1] + _avro(parsed[1], envelope),
            partition=self.remainder,
        )

    async def _framing(self, entity_type: str) -> tuple[bytes, bytes]:
        key, value = schemas(entity_type)
        if self.registry is None:
            return b"\xc3\x01" + mark(key), b"\xc3\x01" + mark(value)
        numbers = []
        async with aiohttp.ClientSession() as http:
            for part, schema in (("key", key), ("value", value)):
                url = f"{self.registry}/subjects/{self.prefix}.{entity_type}-{part}/versions"
                async with http.post(url, json={"schema": json.dumps(schema)}) as answer:
                    numbers.append((await answer.json(content_type=None))["id"])
        heads = [b"\x00" + n.to_bytes(4, "big") for n in numbers]
        return heads[0], heads[1]


def _avro(schema: Any, value: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, schema, value)
    return stream.getvalue()


async def judged(kafka: EmbeddedKafka, prefix: str, registry: str | None = None, spoil: Spoil | None = None) -> Any:
    """Runs both shards for a while beside a follower, and verifies."""
    bootstrap = kafka.bootstrap_servers
    for entity_type in TYPES:
        await create(bootstrap, f"{prefix}.{entity_type}", partitions=DIVISOR)
    await create(bootstrap, f"{prefix}.bridge.state", partitions=DIVISOR)
    async with (
        Simulator(Options(accounts=20, deletes=0.2, seed=3, client_timeout_s=0)) as simulator,
        Follower(bootstrap, prefix) as follower,
    ):
        bridges = [SmallBridge(bootstrap, prefix, r, registry, spoil) for r in range(DIVISOR)]
        tasks = [asyncio.create_task(bridge.run(simulator)) for bridge in bridges]
        await _until(lambda: len(simulator.ledger.sessions) == DIVISOR, tasks)
        for _ in range(10):
            await simulator.step(8)
            await asyncio.sleep(0.05)
        await simulator.quiesce()
        await _settled(bridges, simulator, tasks)
        await _until(lambda: follower.count > 100, tasks)
        report = await verify(bootstrap, prefix, simulator.control_url, registry, DIVISOR, follower=follower)
        await _until(lambda: follower.count == report.records_committed, tasks)
        assert follower.marks[-1].ends.keys() >= {("order", 0), ("order", 1)}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return report


async def _until(condition: Callable[[], bool], tasks: list[asyncio.Task[None]]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            assert not any(task.done() for task in tasks), [task for task in tasks if task.done()]
            await asyncio.sleep(0.02)


async def _settled(bridges: list[SmallBridge], simulator: Simulator, tasks: list[asyncio.Task[None]]) -> None:
    truth = {(c.entity_type, c.id): orjson.loads(c.json) for c in simulator.ledger.state() if c.entity_type in TYPES}
    await _until(lambda: {k: v for b in bridges for k, v in b.committed.items()} == truth, tasks)


async def test_a_right_bridge_is_found_right(kafka: EmbeddedKafka, unique_prefix: str) -> None:
    report = await judged(kafka, unique_prefix)
    assert report.ok, report.offences[:3]
    assert report.records_committed > report.events_sent > 100
    assert report.latency_ms["p50"] is not None
    assert 0 < report.latency_ms["p50"] <= report.latency_ms["p99"] < 60_000


async def test_registry_framing_is_read(kafka: EmbeddedKafka, unique_prefix: str, registry: DevRegistry) -> None:
    report = await judged(kafka, unique_prefix, registry.url)
    assert report.ok, report.offences[:3]
    assert report.records_committed > 100


def _loses_one(envelope: dict[str, Any]) -> dict[str, Any] | None:
    return None if envelope["source"]["seq"] == 60 else envelope


def _forgets_before(envelope: dict[str, Any]) -> dict[str, Any]:
    return {**envelope, "before": None} if envelope["op"] == "u" else envelope


def _alters(envelope: dict[str, Any]) -> dict[str, Any]:
    if envelope["source"]["seq"] % 20 == 0 and envelope["after"]:
        envelope["after"]["unmapped"]["invented"] = "true"
    return envelope


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [(_loses_one, "seq_wrong"), (_forgets_before, "before_wrong"), (_alters, "invented")],
)
async def test_a_wrong_bridge_is_found_wrong(
    kafka: EmbeddedKafka, unique_prefix: str, spoil: Spoil, expected: str
) -> None:
    report = await judged(kafka, unique_prefix, spoil=spoil)
    assert not report.ok
    assert report.wrong[expected] > 0, report.wrong


def _forges_an_account(envelope: dict[str, Any]) -> dict[str, Any]:
    return {**envelope, "source": {**envelope["source"], "account_id": 1}}


async def test_a_wrong_account_is_found_wrong(kafka: EmbeddedKafka, unique_prefix: str) -> None:
    report = await judged(kafka, unique_prefix, spoil=_forges_an_account)
    assert set(report.wrong) == {"source_wrong"}


async def test_gaps_and_certificates_are_read_from_their_topic(kafka: EmbeddedKafka, unique_prefix: str) -> None:
    bootstrap, topic = kafka.bootstrap_servers, f"{unique_prefix}.bridge.events"
    schema = _file("control/Event.avsc")
    event = {
        "event": "gap", "ts_ms": 9, "shard": 1, "divisor": 2, "epoch": 1, "seq": 5, "session": 2, "cause": "dropped",
        "code": None, "reason": None, "from_ms": 7, "to_ms": 9, "counts": {}, "certificate": None,
    }  # fmt: skip
    proof = {"types": {"order": {"count": 2, "hash": "07"}}, "offsets": {f"{unique_prefix}.order": 4}}
    completed = {**event, "event": "snapshot_completed", "certificate": proof}
    assert await read_told(bootstrap, unique_prefix, Decoder()) == (Told(), [])
    await create(bootstrap, topic, partitions=DIVISOR)
    head = b"\xc3\x01" + mark(schema)
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        for value in (event, completed, {**event, "event": "stopped"}):
            await producer.send_and_wait(topic, head + _avro(fastavro.parse_schema(schema), value), partition=1)
        await producer.send_and_wait(topic, b"rubbish", partition=0)
    told, broken = await read_told(bootstrap, unique_prefix, Decoder())
    assert told == Told((Gap(1, 7000, 9000),), (Certificate(1, 5, {"order": (2, "07")}, {"order": 4}),))
    assert [place[:3] for place in broken] == [(topic, 0, 0)]


async def test_unreadable_bytes_and_a_world_that_does_not_add_up_are_reported(
    kafka: EmbeddedKafka, unique_prefix: str
) -> None:
    bootstrap = kafka.bootstrap_servers
    await create(bootstrap, f"{unique_prefix}.order")
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        await producer.send_and_wait(f"{unique_prefix}.order", b"rubbish", key=b"key", partition=1)
    async with Simulator(Options(accounts=2)) as simulator:
        simulator.world.store.update("account", simulator.world.accounts[0].id, userId=1)
        report = await verify(bootstrap, unique_prefix, simulator.control_url, None, DIVISOR)
    assert dict(report.wrong) == {"undecodable": 1, "truth_wrong": 1}
    assert report.offences[0]["what"] == f"account {simulator.world.accounts[0].id}: userId 1 is no user"
    assert report.offences[1]["partition"] == 1
    assert not report.ok
