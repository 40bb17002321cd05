"""Every error that a broker may answer a producer with, told by a middleman: tried again, or all or nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from bridge.devkit.kafka import EmbeddedKafka
from bridge.errors import BridgeError, KafkaUnavailable, KafkaUnusable, OutcomeUnknown
from bridge.kafka.client import Cluster
from tests.integration.kafka.conftest import MakeProducer
from tests.integration.kafka.test_producer import batch, texts
from tests.integration.middleman import Api, Middleman
from tests.integration.reading import read_topics
from tests.integration.writing import create

NOT_LEADER, TIMED_OUT, LOADING, NOT_AVAILABLE, NOT_COORDINATOR = 6, 7, 14, 15, 16
EPOCH, TXN_STATE, PRODUCER_ID, CONCURRENT, FENCED = 47, 48, 49, 51, 90
DEADLINE_S = 60.0


@pytest.fixture
async def topic(kafka: EmbeddedKafka, unique_prefix: str) -> str:
    await create(kafka.bootstrap_servers, unique_prefix)
    return unique_prefix


@pytest.fixture
async def middleman(kafka: EmbeddedKafka) -> AsyncIterator[Middleman]:
    async with Middleman(kafka.bootstrap_servers) as made:
        yield made


@pytest.mark.parametrize(
    ("api", "error", "executed"),
    [
        (Api.END_TXN, LOADING, False),
        (Api.END_TXN, NOT_AVAILABLE, False),
        (Api.END_TXN, NOT_COORDINATOR, False),
        (Api.END_TXN, CONCURRENT, False),
        (Api.ADD_PARTITIONS_TO_TXN, CONCURRENT, True),
        (Api.PRODUCE, NOT_LEADER, True),
        (Api.INIT_PRODUCER_ID, CONCURRENT, False),
    ],
)
async def test_what_only_means_not_yet_is_tried_again(
    kafka: EmbeddedKafka,
    topic: str,
    make_producer: MakeProducer,
    middleman: Middleman,
    api: Api,
    error: int,
    executed: bool,
) -> None:
    """A batch that was written although the answer denied it is not written twice."""
    middleman.lie(api, error, executed=executed, times=2)
    producer = make_producer(Cluster(middleman.bootstrap_servers))
    await producer.start()
    await producer.commit([(topic, batch("x"))], timestamp_ms=1000)
    assert middleman.happened[api.name] == 2
    assert texts(await read_topics(kafka.bootstrap_servers, topic)) == {"x": 3}


@pytest.mark.parametrize(
    ("api", "error", "executed"),
    [
        (Api.END_TXN, TIMED_OUT, True),
        (Api.END_TXN, TIMED_OUT, False),
        (Api.END_TXN, EPOCH, False),
        (Api.END_TXN, TXN_STATE, False),
        (Api.END_TXN, PRODUCER_ID, False),
        (Api.END_TXN, FENCED, False),
        (Api.PRODUCE, EPOCH, True),
        (Api.ADD_PARTITIONS_TO_TXN, TXN_STATE, True),
    ],
)
async def test_what_ends_a_transaction_leaves_its_outcome_unknown_and_nothing_half_done(
    kafka: EmbeddedKafka,
    topic: str,
    make_producer: MakeProducer,
    middleman: Middleman,
    api: Api,
    error: int,
    executed: bool,
) -> None:
    middleman.lie(api, error, executed=executed)
    producer = make_producer(Cluster(middleman.bootstrap_servers))
    await producer.start()
    with pytest.raises(OutcomeUnknown):
        await producer.commit([(topic, batch("unsettled"))], timestamp_ms=1000)
    assert middleman.happened[api.name] == 1
    assert not producer.started
    with pytest.raises(OutcomeUnknown, match="made anew"):
        await producer.commit([(topic, batch("never"))], timestamp_ms=1000)
    await producer.start()
    await producer.commit([(topic, batch("after"))], timestamp_ms=1000)
    found = {"after": 3, "unsettled": 3} if api == Api.END_TXN and executed else {"after": 3}
    assert texts(await read_topics(kafka.bootstrap_servers, topic)) == found


@pytest.mark.parametrize(
    ("error", "raised"),
    [(TIMED_OUT, KafkaUnavailable), (EPOCH, KafkaUnusable), (PRODUCER_ID, KafkaUnusable), (FENCED, KafkaUnusable)],
)
async def test_a_start_that_is_refused_raises_and_can_be_repeated(
    topic: str, make_producer: MakeProducer, middleman: Middleman, error: int, raised: type[BridgeError]
) -> None:
    middleman.lie(Api.INIT_PRODUCER_ID, error, executed=False)
    producer = make_producer(Cluster(middleman.bootstrap_servers))
    with pytest.raises(raised, match="starting the producer of shard 0"):
        await producer.start()
    assert (middleman.happened[Api.INIT_PRODUCER_ID.name], producer.started) == (1, False)
    await producer.start()
    await producer.commit([(topic, batch("x"))], timestamp_ms=1000)


async def stable(bootstrap_servers: str, topic: str) -> bool:
    """Whether something stands in partition 0 and no transaction is open there."""
    ends = []
    for isolation in ("read_committed", "read_uncommitted"):
        consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap_servers, isolation_level=isolation)
        await consumer.start()
        try:
            (end,) = (await consumer.end_offsets([TopicPartition(topic, 0)])).values()
        finally:
            await consumer.stop()
        ends.append(end)
    return bool(ends[0] == ends[1] > 0)


async def test_a_transaction_that_takes_too_long_is_ended_by_the_broker_and_leaves_nothing(
    fragile: EmbeddedKafka, unique_prefix: str, make_producer: MakeProducer
) -> None:
    await create(fragile.bootstrap_servers, unique_prefix)
    async with Middleman(fragile.bootstrap_servers) as middleman:
        producer = make_producer(Cluster(middleman.bootstrap_servers), transaction_timeout_ms=1000)
        await producer.start()
        middleman.withheld.add(Api.END_TXN)
        committing = asyncio.create_task(producer.commit([(unique_prefix, batch("late"))], timestamp_ms=1000))
        deadline = time.monotonic() + DEADLINE_S
        while not (await stable(fragile.bootstrap_servers, unique_prefix) and middleman.happened["withheld"]):
            assert time.monotonic() < deadline, "the broker does not abort it"
        middleman.withheld.clear()
        with pytest.raises(OutcomeUnknown):
            await committing
        await producer.start()
        await producer.commit([(unique_prefix, batch("after"))], timestamp_ms=1000)
    assert texts(await read_topics(fragile.bootstrap_servers, unique_prefix)) == {"after": 3}
