"""`syncbridge verify` against a whole bridge, right and wrong."""

from __future__ import annotations

import json
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from tests.integration.bridge.conftest import Make


async def test_a_run_with_an_interruption_is_found_right_and_a_foreign_record_is_found_wrong(
    scene: Make, tmp_path: Path
) -> None:
    made = await scene()
    control = made.stage.control_url
    bridge = await made.start().ready()
    await made.step(30)
    await made.arm("drop", remainder=0)
    await made.step(30)
    await made.fired("drop")
    await bridge.logged("snapshot_completed", 3)
    await made.step(30)
    await made.calm(bridge)
    await made.judged_ok(announce_us=0)  # the gap must be told by now

    right = await made.verb("verify", "--simulator", control, "--json")
    verdict = json.loads(right.out)
    assert (right.status, verdict["ok"]) == (0, True), verdict
    assert verdict["events_sent"] > 100

    folder = tmp_path / "ledger"
    await made.control("POST", "ledger/write", {"path": str(folder)})
    from_files = await made.verb("verify", "--ledger", str(folder))
    assert (from_files.status, "all of it is right" in from_files.out) == (0, True), from_files.out

    await made.rate(200)
    watched = await made.verb("verify", "--simulator", made.stage.rest_url, "--watch", "6")
    assert watched.status == 0, watched.out
    assert "latency p50" in watched.out
    assert "all of it is right" in watched.out

    place = TopicPartition(f"{made.prefix}.account", 0)
    consumer = AIOKafkaConsumer(bootstrap_servers=made.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([place])
        record = await consumer.getone()
    finally:
        await consumer.stop()
    async with AIOKafkaProducer(bootstrap_servers=made.bootstrap) as producer:
        await producer.send_and_wait(place.topic, record.value, key=record.key, partition=0)
    wrong = await made.verb("verify", "--simulator", control)
    assert wrong.status == 1
    assert "WRONG" in wrong.out
    assert '"type": "account"' in wrong.out


async def test_a_simulator_that_does_not_answer_is_said_to(scene: Make) -> None:
    made = await scene()
    outcome = await made.verb("verify", "--simulator", "http://127.0.0.1:9/sim")
    assert outcome.status == 1
    assert "no simulator answers at http://127.0.0.1:9/sim" in outcome.err
    idle = await made.verb("verify", "--simulator", made.stage.control_url)
    assert idle.status == 1
    assert "nothing to judge: no socket with modAccountId" in idle.err
