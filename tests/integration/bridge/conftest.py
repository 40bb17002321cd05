"""Scenes for tests of the whole bridge."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from bridge.devkit.kafka import EmbeddedKafka
from bridge.devkit.stage import Plan
from tests.integration.bridge.scene import QUICK, Scene

Make = Callable[..., Awaitable[Scene]]


@pytest.fixture
async def scene(kafka: EmbeddedKafka, unique_prefix: str, tmp_path: Path) -> AsyncIterator[Make]:
    """Makes a scene on the shared Kafka, with topics: `await scene(shards=2, settings={...}, simulator={...})`."""
    async with AsyncExitStack() as stack:

        async def make(*, topics: bool = True, **plan: Any) -> Scene:
            settings = {**QUICK, **plan.pop("settings", {})}
            simulator = {"accounts": "20", **plan.pop("simulator", {})}
            defaults = {"shards": 2, "registry": False, "folder": tmp_path, "kafka": kafka, "prefix": unique_prefix}
            made = Scene(Plan(**{**defaults, **plan}, settings=settings, simulator=simulator))
            await stack.enter_async_context(made)
            if topics:
                await made.create_topics()
            return made

        yield make
