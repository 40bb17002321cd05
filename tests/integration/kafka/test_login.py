"""A cluster that wants a login: let in, refused, not authorised; each told so that the user knows what to change."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined] # it forgets to name what it exports
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from bridge.devkit.kafka import EmbeddedKafka
from bridge.errors import KafkaUnavailable, KafkaUnusable
from bridge.kafka import topics
from bridge.kafka.client import Cluster, security
from bridge.kafka.plan import Topic
from bridge.kafka.restore import read_head
from bridge.operate import logs
from tests.integration.kafka.conftest import PASSWORD, USER, MakeProducer
from tests.integration.reading import read_topics
from tests.integration.writing import create


def logged_in(kafka: EmbeddedKafka, password: str = PASSWORD, mechanism: str = "SCRAM-SHA-256") -> Cluster:
    options = security("SASL_PLAINTEXT", mechanism=mechanism, username=USER, password=password)
    return Cluster(kafka.sasl_bootstrap_servers, options)


async def add_rule(kafka: EmbeddedKafka, kind: ResourceType, name: str, user: str, what: AclOperation) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    rule = AclBinding(kind, name, ResourcePatternType.LITERAL, f"User:{user}", "*", what, AclPermissionType.ALLOW)
    for done in admin.create_acls([rule]).values():
        await asyncio.to_thread(done.result, 30)


async def only_for_others(kafka: EmbeddedKafka, kind: ResourceType, name: str) -> None:
    """Allow a thing to another user, and so to nobody else."""
    await add_rule(kafka, kind, name, "other", AclOperation.ALL)


async def allow(kafka: EmbeddedKafka, topic: str, what: AclOperation) -> None:
    await add_rule(kafka, ResourceType.TOPIC, topic, USER, what)


@pytest.fixture(params=["as configured", "untouched"])
def _log(request: pytest.FixtureRequest) -> Iterator[None]:
    """Why a login is refused stands in aiokafka's log only, so it must be heard however the log is set up."""
    root = logging.getLogger()
    before = root.level, root.handlers[:]
    if request.param == "as configured":
        logs.configure("json", "error")
    yield
    root.handlers[:] = before[1]
    root.setLevel(before[0])


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_the_right_password_is_let_in(
    fragile: EmbeddedKafka, unique_prefix: str, make_producer: MakeProducer, mechanism: str
) -> None:
    cluster = logged_in(fragile, mechanism=mechanism)
    await topics.apply(cluster, [Topic(unique_prefix, 1)], 1)
    producer = make_producer(cluster)
    await producer.start()
    await producer.commit([(unique_prefix, [(b"k", b"v")])], 1000)
    assert len(await read_topics(fragile.bootstrap_servers, unique_prefix)) == 1


@pytest.mark.usefixtures("_log")
async def test_the_wrong_password_is_told_with_the_settings_to_check(
    fragile: EmbeddedKafka, make_producer: MakeProducer
) -> None:
    cluster = logged_in(fragile, "wr0ng")
    producer = make_producer(cluster)
    for doing in (topics.check(cluster, [Topic("t", 1)]), producer.start(), read_head(cluster, "t", 0)):
        with pytest.raises(KafkaUnusable, match="refuses the login") as refused:
            await doing
        assert not isinstance(refused.value, KafkaUnavailable)
        assert "kafka.sasl_username and kafka.sasl_password" in str(refused.value)
        assert "wr0ng" not in f"{refused.value} {cluster!r}"


@pytest.mark.usefixtures("_log")
async def test_a_mechanism_that_the_cluster_has_not_is_a_refused_login(fragile: EmbeddedKafka) -> None:
    with pytest.raises(KafkaUnusable, match=r"check .*kafka\.sasl_mechanism"):
        await topics.check(logged_in(fragile, mechanism="PLAIN"), [Topic("t", 1)])


async def test_a_topic_that_may_not_be_written_is_told_with_the_remedy(
    fragile: EmbeddedKafka, unique_prefix: str, make_producer: MakeProducer
) -> None:
    allowed, forbidden = f"{unique_prefix}.allowed", f"{unique_prefix}.forbidden"
    for name in (allowed, forbidden):
        await create(fragile.bootstrap_servers, name)
    await only_for_others(fragile, ResourceType.TOPIC, forbidden)
    producer = make_producer(logged_in(fragile), timeout_s=10)
    await producer.start()
    with pytest.raises(KafkaUnusable, match=r"writing to the topics of shard 0: not authorised .*grant this user"):
        await producer.commit([(allowed, [(b"k", b"v")]), (forbidden, [(b"k", b"v")])], 1000)
    assert not producer.started
    assert await read_topics(fragile.bootstrap_servers, allowed) == []


async def test_a_topic_that_may_not_be_seen_is_told_with_the_remedy(fragile: EmbeddedKafka, unique_prefix: str) -> None:
    await create(fragile.bootstrap_servers, unique_prefix)
    await only_for_others(fragile, ResourceType.TOPIC, unique_prefix)
    cluster = logged_in(fragile)
    with pytest.raises(KafkaUnusable, match=f"cannot look at topic {unique_prefix}: TopicAuthorization.*grant this"):
        await topics.check(cluster, [Topic(unique_prefix, 2)])
    with pytest.raises(KafkaUnavailable, match=f"no topic {unique_prefix}, or this user may not see it"):
        await read_head(cluster, unique_prefix, 0)


async def test_a_topic_that_may_be_seen_but_not_read_is_told_with_the_remedy(
    fragile: EmbeddedKafka, unique_prefix: str, make_producer: MakeProducer
) -> None:
    cluster = logged_in(fragile)
    await create(fragile.bootstrap_servers, unique_prefix)
    producer = make_producer(cluster)
    await producer.start()
    await producer.commit([(unique_prefix, [(b"k", b"v")])], 1000)
    await only_for_others(fragile, ResourceType.TOPIC, unique_prefix)
    await allow(fragile, unique_prefix, AclOperation.DESCRIBE)
    with pytest.raises(KafkaUnusable, match=r"reading the state of shard 0: the cluster .*grant this user"):
        await read_head(cluster, unique_prefix, 0)


async def test_a_transactional_id_that_may_not_be_used_is_told_with_the_remedy(
    fragile: EmbeddedKafka, unique_prefix: str, make_producer: MakeProducer
) -> None:
    await only_for_others(fragile, ResourceType.TRANSACTIONAL_ID, unique_prefix)
    producer = make_producer(logged_in(fragile))
    with pytest.raises(KafkaUnusable, match=r"starting the producer of shard 0: .*TransactionalIdAuthorization"):
        await producer.start()
    assert not producer.started
