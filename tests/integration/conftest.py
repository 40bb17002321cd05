"""One embedded Kafka for the whole test session, and what tests need to share it without meeting each other."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from bridge.devkit.kafka import EmbeddedKafka
from bridge.devkit.registry import DevRegistry

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs the embedded Kafka, so nobody has to say it in each file."""
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.kafka)


@pytest.fixture(scope="session")
def kafka() -> Iterator[EmbeddedKafka]:
    """A broker that all tests share: use `unique_prefix` in every name; whoever kills brokers starts their own."""
    broker = EmbeddedKafka()
    asyncio.run(broker.start())
    yield broker
    asyncio.run(broker.stop())


@pytest.fixture
async def registry() -> AsyncIterator[DevRegistry]:
    """An empty development schema registry of the test's own."""
    async with DevRegistry() as running:
        yield running


@pytest.fixture
def unique_prefix() -> str:
    """A prefix for topics, groups and transactional ids that no other test uses."""
    return f"test.{uuid.uuid4().hex[:12]}"
