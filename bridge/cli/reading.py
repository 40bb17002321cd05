"""Reading the bridge's topics, decoded."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

from bridge.app import cluster as parts
from bridge.config import Settings
from bridge.entities import schemas
from bridge.kafka.decode import RecordDecoder


@asynccontextmanager
async def decoding(loaded: Settings, types: Iterable[str]) -> AsyncIterator[RecordDecoder]:
    """A decoder of the topics of these entity types, and of the bridge's own."""
    async with AsyncExitStack() as stack:
        registry = parts.registry(loaded)
        if registry is not None:
            await stack.enter_async_context(registry)
        yield RecordDecoder([*parts.subjects(loaded).values(), *_released(types)], registry)


def _released(types: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The envelopes of all released versions: older records keep their schema, and a topic may hold several."""
    for version in schemas.released_versions():
        for name in types:
            with suppress(LookupError):  # a type that came later, or none of the broker's
                yield schemas.envelope_schema(name, version)
