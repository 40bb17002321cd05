"""State read back from a real partition: all of it, and the newest head wherever it stands."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from bridge.devkit.kafka import EmbeddedKafka
from bridge.entities.primitives import varint
from bridge.errors import KafkaUnavailable, KafkaUnusable
from bridge.kafka.client import Cluster
from bridge.kafka.producer import Producer
from bridge.kafka.restore import TAIL_RECORDS, read_head, read_state
from bridge.kafka.statelog import Head, KeyFraming, StateCodec, StoredEntity, StoredHeld
from tests.integration.kafka.conftest import MakeProducer
from tests.integration.writing import create

CODEC = StateCodec(b"\x00KEY.", b"\x00VALU")
PRINT = b"8 bytes!"
Record = tuple[bytes, bytes | None]


def entity(number: int, value: bytes | None, name: str = "order") -> Record:
    key = CODEC.entity_key_prefix(name) + varint(number)
    if value is None:
        return key, None
    owners = b"\x02" + varint(number % 7) + b"\x00"
    return key, CODEC.entity_value_prefix(PRINT) + owners + varint(len(value)) + value


def head(transaction: int, **given: Any) -> Record:
    return CODEC.head(Head(epoch=1, instance="i", transaction=transaction, **given))


@pytest.fixture
async def state(kafka: EmbeddedKafka, unique_prefix: str) -> str:
    await create(kafka.bootstrap_servers, unique_prefix, partitions=2)
    return unique_prefix


class Table:
    """What a restore leaves, and how often it was told."""

    def __init__(self) -> None:
        self.entities: dict[tuple[str, int], StoredEntity | StoredHeld] = {}

    def __call__(self, name: str, number: int, content: StoredEntity | StoredHeld | None) -> None:
        if content is None:
            self.entities.pop((name, number), None)
        else:
            self.entities[name, number] = content


async def write(producer: Producer, topic: str, *transactions: list[Record]) -> None:
    """Commit, and wait until readers can see it: starting again waits for the end of what was committed last."""
    await producer.start()
    for records in transactions:
        await producer.commit([(topic, records)], 123_456)
    await producer.start()


async def abort(kafka: EmbeddedKafka, topic: str, records: list[Record], times: int = 1) -> None:
    """Transactions that come to nothing but take offsets all the same."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers, transactional_id=f"{topic}.aborting")
    await producer.start()
    for _ in range(times):
        await producer.begin_transaction()
        for key, value in records:
            await producer.send(topic, value, key=key, partition=0)
        await producer.flush()
        await producer.abort_transaction()
    await producer.stop()


async def test_ten_thousand_entities_come_back_as_they_were_last(
    cluster: Cluster, state: str, make_producer: MakeProducer
) -> None:
    framing = KeyFraming("registry", {"order": 7})
    expected: dict[tuple[str, int], StoredEntity] = {}
    records: list[Record] = []
    for number in range(10_000):
        value = b"%d" % number * 20
        records.append(entity(number, value))
        expected["order", number] = StoredEntity(PRINT, number % 7, None, value)
    for number in range(0, 10_000, 10):
        records.append(entity(number, b"newer"))
        expected["order", number] = StoredEntity(PRINT, number % 7, None, b"newer")
    for number in range(5, 10_000, 100):
        records.append(entity(number, None))
        del expected["order", number]
    slices = [[*records[at : at + 3000], head(2 + at // 3000, seq=at)] for at in range(0, len(records), 3000)]
    await write(make_producer(), state, [CODEC.framing(framing), head(1)], *slices)
    found = Table()
    restored = await read_state(cluster, state, 0, found)
    assert found.entities == expected
    assert restored.head == Head(epoch=1, instance="i", transaction=5, seq=9000)
    assert restored.framing == framing
    assert restored.records == len(records) + 6


async def test_an_unclaimed_partition_has_neither_head_nor_entities(cluster: Cluster, state: str) -> None:
    found = Table()
    restored = await read_state(cluster, state, 1, found)
    assert (restored.head, restored.framing, restored.records, found.entities) == (None, None, 0, {})
    assert (await read_head(cluster, state, 1)).head is None


async def test_the_head_is_found_behind_aborted_transactions(
    kafka: EmbeddedKafka, cluster: Cluster, state: str, make_producer: MakeProducer
) -> None:
    await write(make_producer(), state, [entity(1, b"committed"), head(1)])
    await abort(kafka, state, [entity(1, b"aborted"), head(99)], times=TAIL_RECORDS)
    await abort(kafka, state, [entity(n, b"aborted") for n in range(2000)])
    restored = await read_head(cluster, state, 0)
    assert restored.head is not None
    assert restored.head.transaction == 1
    found = Table()
    assert (await read_state(cluster, state, 0, found)).head == restored.head
    assert found.entities == {("order", 1): StoredEntity(PRINT, 1, None, b"committed")}


async def test_the_head_is_found_after_a_huge_transaction(
    cluster: Cluster, state: str, make_producer: MakeProducer
) -> None:
    await write(make_producer(), state, [head(1)], [*(entity(n, bytes(100)) for n in range(5000)), head(2)])
    restored = await read_head(cluster, state, 0)
    assert restored.head is not None
    assert restored.head.transaction == 2
    assert restored.records <= TAIL_RECORDS


async def test_the_time_of_the_head_is_that_of_its_record(
    cluster: Cluster, state: str, make_producer: MakeProducer
) -> None:
    await write(make_producer(), state, [head(1)])
    assert (await read_head(cluster, state, 0)).committed_ms == 123_456


async def test_what_is_in_an_open_transaction_is_not_read_and_not_waited_for(
    kafka: EmbeddedKafka, cluster: Cluster, state: str, make_producer: MakeProducer
) -> None:
    await write(make_producer(), state, [head(1)])

    async def pending() -> bool:
        return (await read_head(cluster, state, 0)).pending

    async with asyncio.timeout(60):
        while await pending():  # the marker of a commit is a moment late
            continue
    open_one = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers, transactional_id=f"{state}.open")
    await open_one.start()
    await open_one.begin_transaction()
    key, value = head(2)
    await open_one.send_and_wait(state, value, key=key, partition=0)
    async with asyncio.timeout(60):
        restored = await read_head(cluster, state, 0)
    assert restored.head is not None
    assert restored.head.transaction == 1
    assert restored.pending
    await open_one.abort_transaction()
    await open_one.stop()
    async with asyncio.timeout(60):
        while await pending():
            continue


@pytest.mark.parametrize("record", [(b"key", b"value"), (b"", b""), (head(1)[0], b"\x00VALU\x00"), (b"\x00KEY.", b"x")])
async def test_a_record_of_somebody_else_stops_us_with_its_place(
    cluster: Cluster, state: str, make_producer: MakeProducer, record: Record
) -> None:
    await write(make_producer(), state, [record])
    told = f"offset 0 of {state}-0 is not a state record of the bridge"
    with pytest.raises(KafkaUnusable, match=told):
        await read_head(cluster, state, 0)
    with pytest.raises(KafkaUnusable, match=told):
        await read_state(cluster, state, 0, Table())


async def test_without_a_cluster_reading_is_unavailable(unused_tcp_port: int) -> None:
    async with asyncio.timeout(60):
        with pytest.raises(KafkaUnavailable, match="reading the state of shard 3: no answer"):
            await read_head(Cluster(f"127.0.0.1:{unused_tcp_port}"), "topic", 3)


async def test_a_topic_that_is_not_there_is_told_as_such(cluster: Cluster, unique_prefix: str) -> None:
    with pytest.raises(
        KafkaUnavailable, match=rf"there is no topic {unique_prefix}\.none, or this user may not see it"
    ):
        await read_head(cluster, f"{unique_prefix}.none", 0)
