"""The topics that the plan wants, on a real cluster: created, checked, mended, refused."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import NoError, for_code
from aiokafka.protocol.offset import OffsetRequest
from confluent_kafka.admin import (  # type: ignore[attr-defined] # it forgets to name what it exports
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from bridge.devkit.kafka import EmbeddedKafka
from bridge.errors import KafkaUnavailable, KafkaUnusable
from bridge.kafka import topics
from bridge.kafka.client import Cluster
from bridge.kafka.names import TopicNames
from bridge.kafka.plan import Topic, wanted
from tests.integration.writing import create

NO_REPLICA, LATEST = -1, -1


@pytest.fixture
def plan(unique_prefix: str) -> list[Topic]:
    """Of every kind of topic one, so that a test need not wait for 66."""
    names = TopicNames(unique_prefix)
    some = {names.entity("order"), names.entity("position"), names.state, names.dead_letter}
    return [topic for topic in wanted(names, 3, 900 * 1024) if topic.name in some]


async def eventually(look: Callable[[], Awaitable[bool]]) -> None:
    """What was changed is known to the broker that answers a moment later only."""
    async with asyncio.timeout(60):
        while not await look():  # noqa: ASYNC110 - Kafka tells nobody
            await asyncio.sleep(0.02)


async def set_config(kafka: EmbeddedKafka, topic: str, **config: str) -> None:
    """Set single settings of a topic, as an operator's tool would."""
    wanted = {key.replace("_", "."): value for key, value in config.items()}
    entries = [ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in wanted.items()]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    client = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    for done in client.incremental_alter_configs([resource]).values():
        await asyncio.to_thread(done.result, 30)

    async def known() -> bool:
        return wanted.items() <= (await get_config(kafka, topic)).items()

    await eventually(known)


async def get_config(kafka: EmbeddedKafka, topic: str) -> dict[str, Any]:
    client = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    (told,) = client.describe_configs([ConfigResource(ResourceType.TOPIC, topic)]).values()
    return {name: entry.value for name, entry in (await asyncio.to_thread(told.result, 30)).items()}


async def test_all_topics_of_the_contract_can_be_created(cluster: Cluster, unique_prefix: str) -> None:
    plan = wanted(TopicNames(unique_prefix), 2, 900 * 1024)
    found = await topics.apply(cluster, plan, -1)
    assert {(difference.topic, difference.kind) for difference in found} == {(topic.name, "missing") for topic in plan}
    assert await topics.inspect(cluster, plan) == []
    await topics.check(cluster, plan)
    counts = await topics.partition_counts(cluster, [topic.name for topic in plan])
    assert counts == {topic.name: 2 for topic in plan}


async def test_whoever_comes_after_that_need_not_wait(cluster: Cluster, unique_prefix: str) -> None:
    """With only leaders waited for, most of these answer "not leader" or "unknown topic"."""
    plan = wanted(TopicNames(unique_prefix), 4, 900 * 1024)
    await topics.apply(cluster, plan, -1)
    asked = [(topic.name, [(partition, LATEST) for partition in range(4)]) for topic in plan]
    client = AIOKafkaClient(**cluster.arguments())
    try:
        await client.bootstrap()
        (leader,) = [broker.nodeId for broker in client.cluster.brokers()]
        answer = await client.send(leader, OffsetRequest(NO_REPLICA, 0, asked))
    finally:
        await client.close()
    errors = {for_code(code) for _, partitions in answer.topics for _, code, *_ in partitions}
    assert (errors, len(answer.topics)) == ({NoError}, len(plan))


async def test_missing_topics_are_refused_with_the_command_that_creates_them(
    cluster: Cluster, plan: list[Topic]
) -> None:
    with pytest.raises(KafkaUnusable, match=r"is missing; .*; and 1 more; run `syncbridge topics apply`"):
        await topics.check(cluster, plan)
    assert await topics.partition_counts(cluster, [topic.name for topic in plan]) == {}


async def test_looking_creates_nothing(cluster: Cluster, plan: list[Topic]) -> None:
    await topics.inspect(cluster, plan)
    assert {difference.kind for difference in await topics.inspect(cluster, plan)} == {"missing"}


async def test_applying_twice_changes_nothing(cluster: Cluster, plan: list[Topic]) -> None:
    await topics.apply(cluster, plan, 1)
    assert await topics.apply(cluster, plan, 1) == []


@pytest.mark.parametrize("partitions", [2, 4])
async def test_wrong_partition_count_is_refused_and_left_alone(
    kafka: EmbeddedKafka, cluster: Cluster, plan: list[Topic], partitions: int
) -> None:
    name = plan[0].name
    await create(kafka.bootstrap_servers, name, partitions=partitions)

    async def known() -> bool:
        return await topics.partition_counts(cluster, [name]) == {name: partitions}

    await eventually(known)
    with pytest.raises(KafkaUnusable, match=f"has {partitions} partitions but sharding.divisor is 3") as checked:
        await topics.check(cluster, plan)
    assert "set sharding.divisor to the partition count, or choose another kafka.topic_prefix" in str(checked.value)
    with pytest.raises(KafkaUnusable, match=f"has {partitions} partitions but sharding.divisor is 3"):
        await topics.apply(cluster, plan, 1)
    names = [topic.name for topic in plan]
    assert await topics.partition_counts(cluster, names) == {name: partitions}


async def test_wrong_cleanup_policy_is_refused_and_mended(
    kafka: EmbeddedKafka, cluster: Cluster, plan: list[Topic]
) -> None:
    await topics.apply(cluster, plan, 1)
    await set_config(kafka, plan[0].name, cleanup_policy="delete")
    with pytest.raises(KafkaUnusable, match=r"cleanup\.policy is delete, should be compact; run `syncbridge topics"):
        await topics.check(cluster, plan)
    (mended,) = await topics.apply(cluster, plan, 1)
    assert (mended.topic, mended.key) == (plan[0].name, "cleanup.policy")

    async def known() -> bool:
        return await topics.inspect(cluster, plan) == []

    await eventually(known)
    await topics.check(cluster, plan)


async def test_settings_that_are_not_ours_survive(kafka: EmbeddedKafka, cluster: Cluster, plan: list[Topic]) -> None:
    await topics.apply(cluster, plan, 1)
    await set_config(kafka, plan[0].name, compression_type="zstd", flush_messages="7", segment_ms="1234567")
    await topics.check(cluster, plan)
    assert [difference.key for difference in await topics.apply(cluster, plan, 1)] == ["segment.ms"]

    async def mended() -> bool:
        return bool((await get_config(kafka, plan[0].name))["segment.ms"] == plan[0].config["segment.ms"])

    await eventually(mended)
    config = await get_config(kafka, plan[0].name)
    assert (config["compression.type"], config["flush.messages"]) == ("zstd", "7")


async def test_more_room_for_records_is_not_taken_away(
    kafka: EmbeddedKafka, cluster: Cluster, plan: list[Topic]
) -> None:
    await topics.apply(cluster, plan, 1)
    await set_config(kafka, plan[0].name, max_message_bytes="99999999")
    await topics.check(cluster, plan)
    assert await topics.apply(cluster, plan, 1) == []
    assert (await get_config(kafka, plan[0].name))["max.message.bytes"] == "99999999"


async def test_refused_creation_is_told_with_kafkas_words(cluster: Cluster, plan: list[Topic]) -> None:
    with pytest.raises(KafkaUnusable, match=f"cannot create topic {plan[0].name}: InvalidReplicationFactor"):
        await topics.apply(cluster, plan, 5)


async def test_no_cluster_is_unavailable_with_its_address(plan: list[Topic], unused_tcp_port: int) -> None:
    address = f"127.0.0.1:{unused_tcp_port}"
    async with asyncio.timeout(60):
        with pytest.raises(KafkaUnavailable, match=f"no answer from Kafka at {address}.*check kafka.bootstrap_servers"):
            await topics.check(Cluster(address), plan)
