"""The embedded Kafka with a second listener that wants a login."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError

from bridge.devkit.kafka import EmbeddedKafka, Scram
from tests.integration.reading import read_topics
from tests.integration.writing import create, send

PASSWORD = "right, and = odd"


@pytest.fixture(scope="module")
def secured() -> Iterator[EmbeddedKafka]:
    kafka = EmbeddedKafka(sasl=Scram({"bridge": PASSWORD}, authorize=True))
    asyncio.run(kafka.start())
    yield kafka
    asyncio.run(kafka.stop())


def login(password: str = PASSWORD, mechanism: str = "SCRAM-SHA-256") -> dict[str, str]:
    return {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": mechanism,
        "sasl_plain_username": "bridge",
        "sasl_plain_password": password,
    }


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_right_password_is_let_in(secured: EmbeddedKafka, mechanism: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=secured.sasl_bootstrap_servers, **login(mechanism=mechanism))
    await admin.start()
    assert len((await admin.describe_cluster())["brokers"]) == 1
    await admin.close()


async def test_wrong_password_is_refused(secured: EmbeddedKafka) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=secured.sasl_bootstrap_servers, **login("wrong"))
    with pytest.raises(KafkaConnectionError):
        await admin.start()
    await admin.close()


async def test_user_without_acl_does_not_see_what_the_plain_listener_shows(
    secured: EmbeddedKafka, unique_prefix: str
) -> None:
    await create(secured.bootstrap_servers, unique_prefix)
    await send(secured.bootstrap_servers, unique_prefix, b"1")
    assert len(await read_topics(secured.bootstrap_servers, unique_prefix)) == 1
    with pytest.raises(LookupError, match="not visible"):
        await read_topics(secured.sasl_bootstrap_servers, unique_prefix, **login())
