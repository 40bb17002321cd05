"""A second broker that tests may freeze and kill, with a listener that wants a login; and short ways to use either."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from bridge.devkit.kafka import EmbeddedKafka, Scram
from bridge.kafka.client import Cluster
from bridge.kafka.producer import Producer

USER, PASSWORD = "bridge", "right, and = odd"

MakeProducer = Callable[..., Producer]


@pytest.fixture
def cluster(kafka: EmbeddedKafka) -> Cluster:
    return Cluster(kafka.bootstrap_servers)


@pytest.fixture(scope="package")
def fragile() -> Iterator[EmbeddedKafka]:
    """A broker of this folder's own. Without an ACL on a thing everybody may use it; with one only who it names."""
    broker = EmbeddedKafka(
        sasl=Scram({USER: PASSWORD}, authorize=True),
        settings={
            "allow.everyone.if.no.acl.found": "true",
            "transaction.abort.timed.out.transaction.cleanup.interval.ms": "200",
        },
    )
    asyncio.run(broker.start())
    yield broker
    asyncio.run(broker.stop())


@pytest.fixture
async def make_producer(cluster: Cluster, unique_prefix: str) -> AsyncIterator[MakeProducer]:
    """Makes producers of partition 0 that all have the same transactional id, and closes them."""
    made: list[Producer] = []

    def make(
        where: Cluster = cluster,
        *,
        transactions: bool = True,
        timeout_s: float = 30.0,
        transaction_timeout_ms: int = 10_000,
    ) -> Producer:
        producer = Producer(
            where,
            0,
            transactional_id=unique_prefix if transactions else None,
            transaction_timeout_ms=transaction_timeout_ms,
            request_timeout_ms=10_000,
            compression=None,
            timeout_s=timeout_s,
        )
        made.append(producer)
        return producer

    yield make
    for producer in made:
        await producer.close()
