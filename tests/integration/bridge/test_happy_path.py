"""One run that meets every shape of the wire; afterwards many look at what it wrote and says."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from confluent_kafka import DeserializingConsumer, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from prometheus_client.parser import text_string_to_metric_families

from bridge.devkit.kafka import EmbeddedKafka
from bridge.devkit.stage import Plan
from tests.integration.bridge.scene import DEADLINE_S, QUICK, Bridge, Scene

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONTENTS = ("nulls", "missing-ms", "integer-doubles", "unknown-fields", "unknown-symbols", "unknown-types")
SHAPES: list[dict[str, Any]] = [
    {"split": "B", "entity_array": True, "empty_lists": "absent", "messages_per_frame": 1, "unknown_lists": True},
    {"split": "C", "event_array": True, "entity_array": False, "empty_lists": "null", "messages_per_frame": 3},
    {"split": "D", "string_elements": True, "event_array": False, "fill_before_order": True, "messages_per_frame": 0},
    {"split": "A", "events_between_parts": True, "part_delay_s": 0.05, "string_elements": False, "ownerless": "first"},
]
TAILED = ("order", "fill", "userAccountAutoLiq", "tradingPermission", "bridge.unmapped", "bridge.dead-letter")


@dataclass(slots=True)
class Run:
    """What happened before the tests look.

    Attributes:
        unready: status of `/readyz` before the first snapshot was committed.
        topics: everything in some topics, as `syncbridge tail` shows it.
    """

    scene: Scene
    bridge: Bridge
    unready: int
    topics: dict[str, list[dict[str, Any]]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def run(kafka: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Run]:
    plan = Plan(
        shards=3,
        folder=tmp_path_factory.mktemp("happy"),
        kafka=kafka,
        prefix=f"test.{uuid.uuid4().hex[:12]}",
        settings=QUICK,
        simulator={"accounts": "30", **dict.fromkeys(CONTENTS, ""), "duplicates": "0.1"},
    )
    async with Scene(plan) as scene:
        await scene.create_topics()
        await scene.arm("part_delay", remainder=0, seconds=1.5)
        bridge = scene.start()
        await scene.fired("part_delay")
        unready = (await bridge.get("/readyz"))[0]
        await bridge.ready()
        await scene.step(60)
        for number, shape in enumerate(SHAPES, 2):
            await reconnect_in_another_shape(scene, bridge, shape, number)
        await bridge.drained()
        yield Run(scene, bridge, unready, await scene.topics(*TAILED))


async def reconnect_in_another_shape(scene: Scene, bridge: Bridge, shape: dict[str, Any], sessions: int) -> None:
    """What happens while frames are withheld is learnt from the next snapshot, the rest from events."""
    await scene.options(**shape, deletes=0.0)
    await scene.arm("frame_drop", times=None)
    await scene.step(25)
    await scene.control("DELETE", "faults")
    await scene.arm("drop", times=3)
    await scene.fired("drop", 3 * (sessions - 1))
    await bridge.live(sessions)
    await scene.options(deletes=0.05)
    await scene.step(40)
    await bridge.drained()


async def test_topics_equal_the_truth(run: Run) -> None:
    report = await run.scene.judged_ok()
    assert report.events_sent > 1000
    withheld = (await run.scene.faults())["frame_drop"]
    assert withheld > 100
    assert await run.scene.control("GET", "check") == []


async def test_unknown_types_and_lists_are_kept(run: Run) -> None:
    records = [r["value"] for r in run.topics["bridge.unmapped"]]
    assert {r["entity_type"] for r in records} == {"simThing"}
    assert {r["list_name"] for r in records if r["snapshot"]} == {"simThings", None}
    assert {r["event_type"] for r in records if not r["snapshot"]} == {"Created", "Updated"}
    assert all(json.loads(r["raw"])["id"] for r in records)


async def test_list_that_was_not_asked_for_is_taken(run: Run) -> None:
    assert run.topics["tradingPermission"]


async def test_nothing_was_refused(run: Run) -> None:
    assert run.topics["bridge.dead-letter"] == []


async def test_unknown_fields_and_symbols_are_kept_in_the_record(run: Run) -> None:
    orders = [r["value"]["after"] for r in run.topics["order"]]
    assert all(o["unmapped"]["simLabel"] == f'"label of {o["id"]}"' for o in orders)
    assert {o["unmapped"].get("ordStatus") for o in orders} == {None, '"WorkingElsewhere"'}
    assert all((o["ordStatus"] is None) == ("ordStatus" in o["unmapped"]) for o in orders)


async def test_confluents_client_reads_keys_values_and_tombstones(run: Run) -> None:
    names = ("order", "userAccountAutoLiq")
    tailed = [r for name in names for r in run.topics[name]]
    records = await asyncio.to_thread(read_as_confluent, run.scene, names, len(tailed))
    assert Counter(r[:3] for r in records) == Counter((r["topic"], r["partition"], r["offset"]) for r in tailed)
    envelopes = [value for *_, value in records if value is not None]
    assert {value["op"] for value in envelopes} == {"r", "c", "u", "d"}
    assert {value["source"]["connector"] for value in envelopes} == {"tradovate"}
    assert len(records) - len(envelopes) == sum(value["op"] == "d" for value in envelopes)
    assert all(v is None or key["id"] == (v["after"] or v["before"])["id"] for *_, key, v in records)


def read_as_confluent(scene: Scene, names: tuple[str, ...], count: int) -> list[tuple[Any, ...]]:
    """Topic, partition, offset, key and value of so many records."""
    found: list[tuple[Any, ...]] = []
    with SchemaRegistryClient({"url": scene.stage.registry_url}) as registry:
        consumer = DeserializingConsumer(
            {
                "bootstrap.servers": scene.bootstrap,
                "group.id": f"{scene.prefix}.confluent",
                "isolation.level": "read_committed",
                "key.deserializer": AvroDeserializer(registry),
                "value.deserializer": AvroDeserializer(registry),
            }
        )
        topics = [f"{scene.prefix}.{name}" for name in names]
        places = [TopicPartition(topic, number, 0) for topic in topics for number in range(scene.stage.plan.shards)]
        consumer.assign(places)
        deadline = time.monotonic() + DEADLINE_S
        while len(found) < count:
            assert time.monotonic() < deadline, f"{len(found)} of {count} records"
            record = consumer.poll(1.0)
            if record is not None:
                found.append((record.topic(), record.partition(), record.offset(), record.key(), record.value()))
        consumer.close()
    return found


async def test_tail_filters_by_account_and_id(run: Run) -> None:
    everything = run.topics["order"] + run.topics["fill"]
    chosen = run.topics["fill"][0]["value"]
    account, number = chosen["source"]["account_id"], chosen["after"]["id"]
    assert account is not None

    of_account, of_id, limited = await asyncio.gather(
        run.scene.tail("order", "fill", "--account", str(account)),
        run.scene.tail("fill", "--id", str(number)),
        run.scene.tail("order", "--limit", "3"),
    )
    wanted = [r for r in everything if r["value"]["source"]["account_id"] == account]
    assert len(of_account) == len(wanted) > 1
    assert {r["key"]["id"] for r in of_id} == {number}
    assert len(limited) == 3


async def test_tail_reads_well_without_json(run: Run) -> None:
    outcome, refused = await asyncio.gather(
        run.scene.verb("tail", "account", "--from-beginning", "--until-end"),
        run.scene.verb("tail", "ordr", "--until-end"),
    )
    assert outcome.status == 0
    assert f" {run.scene.prefix}.account[" in outcome.out
    assert '"accountType": "Customer"' in outcome.out
    assert (refused.status, refused.err) == (2, "syncbridge: unknown entity type ordr; did you mean order?\n")


async def test_it_was_not_ready_before_its_snapshots_were_committed(run: Run) -> None:
    assert run.unready == 503
    assert (await run.bridge.get("/readyz"))[0] == 200
    assert (await run.bridge.get("/livez"))[0] == 200


async def test_metrics_parse_and_agree_with_the_topics(run: Run) -> None:
    _, text = await run.bridge.get("/metrics")
    found: defaultdict[str, float] = defaultdict(float)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name.startswith("syncbridge_"):
                found[sample.name] += sample.value
    assert found["syncbridge_shard_ready"] == found["syncbridge_shard_owned"] == 3
    envelopes = (await run.scene.judge()).records_committed
    assert found["syncbridge_changes_committed_total"] == sum(s["seq"] for s in await run.bridge.shards())
    assert found["syncbridge_changes_committed_total"] <= envelopes
    assert found["syncbridge_sessions_lost_total"] == 3 * len(SHAPES)
    assert found["syncbridge_unmapped_written_total"] == len(run.topics["bridge.unmapped"])
    assert found["syncbridge_duplicates_skipped_total"] > 0
    assert found["syncbridge_drift_seen_total"] > 0


async def test_status_and_page_are_there(run: Run) -> None:
    status = await run.bridge.status()
    assert (status["ready"], status["prefix"], status["divisor"]) == (True, run.scene.prefix, 3)
    code, page = await run.bridge.get("/")
    assert (code, page.lstrip()[:9].lower()) == (200, "<!doctype")


async def test_log_has_lines_for_sessions_and_none_for_events(run: Run) -> None:
    lines = run.bridge.log()
    # Warnings tell of a machine or a Kafka that is slow.
    assert Counter(x["event"] for x in lines if x.get("shard") is not None and x["level"] == "info") == {
        "shard_claimed": 3,
        "snapshot_completed": 3 * (len(SHAPES) + 1),
        "session_ended": 3 * len(SHAPES),
    }
    assert len(lines) < 50


async def test_verbs_find_everything_in_order(run: Run) -> None:
    scene, order = run.scene, f"{run.scene.prefix}.order-value"
    checked, plan, compatible, listed, registered, shown = await asyncio.gather(
        scene.verb("check"),
        scene.verb("topics", "plan"),
        scene.verb("schemas", "check"),
        scene.verb("schemas", "list"),
        scene.verb("schemas", "register"),
        scene.verb("schemas", "list", "--show", order),
    )
    assert (checked.status, checked.out.count("ok ")) == (0, 5), checked.out
    assert (plan.status, plan.out) == (0, "all topics are as they should be\n")
    assert (compatible.status, compatible.out) == (0, "all schemas are compatible\n")
    subjects = [line.split("\t")[0] for line in listed.out.splitlines()]
    assert subjects == [line.split("\t")[0] for line in registered.out.splitlines()]
    assert order in subjects
    assert json.loads(shown.out)["namespace"] == "tradovate.order"
