"""Examination before a run: every part is tried, and every answer is told."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bridge.app import cluster as parts
from bridge.app import pressure
from bridge.app.source import broker, plan
from bridge.config import Settings
from bridge.errors import BridgeError, KafkaUnusable
from bridge.kafka import topics


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        error: None if it is right.
    """

    what: str
    detail: str = ""
    error: BridgeError | None = None


async def examine(settings: Settings) -> list[Finding]:
    """Try the configuration, the broker's token endpoint, Kafka with its topics, the registry, and the spool's disk."""
    findings = [Finding("configuration", f"{settings.prefix}, {len(settings.sharding.remainders)} shards")]
    findings += _budget(settings)
    for what, look in (
        ("broker's API", lambda: _token(settings)),
        ("Kafka and topics", lambda: _topics(settings)),
        ("schema registry", lambda: _registry(settings)),
        ("spool", lambda: _spool(settings)),
    ):
        findings.append(await _tried(what, look))
    return findings


def _budget(settings: Settings) -> list[Finding]:
    """During a rolling restart old and new sockets exist side by side, and one more for an audit."""
    needed = 2 * settings.sharding.divisor + 1
    if needed <= settings.source.max_sockets:
        return []
    detail = (
        f"a rolling restart of {settings.sharding.divisor} shards may hold {needed} sockets, more than "
        f"source.max_sockets ({settings.source.max_sockets}): stop the old instance before starting the new one"
    )
    return [Finding("warning", detail)]


async def _tried(what: str, look: Callable[[], Awaitable[str]]) -> Finding:
    try:
        return Finding(what, await look())
    except BridgeError as error:
        return Finding(what, error=error)


async def _token(settings: Settings) -> str:
    for remainder in settings.sharding.remainders:
        plan(settings, remainder)
    async with broker(settings) as known:
        return await known.try_login()


async def _topics(settings: Settings) -> str:
    plan = parts.plan(settings)
    await topics.check(parts.cluster(settings), plan)
    return f"{settings.kafka.bootstrap_servers}, {len(plan)} topics with {settings.sharding.divisor} partitions"


async def _registry(settings: Settings) -> str:
    client = parts.registry(settings)
    if client is None:
        return "none configured: records use Avro single-object encoding"
    async with client:
        wrong = [s for s, schema in parts.subjects(settings).items() if await client.incompatible(s, schema)]
    if wrong:
        raise KafkaUnusable(f"{len(wrong)} schemas are not compatible with what the registry holds: {wrong[:3]}")
    return f"{settings.registry.url}, all schemas are compatible"


async def _spool(settings: Settings) -> str:
    folder, shards = settings.pressure.spool_path, len(settings.sharding.remainders)
    if folder is None or pressure.segments(settings) is None:
        return "none configured: while Kafka is away, frames wait in memory only"
    needed_mb, free_mb = shards * settings.pressure.spool_mb, shutil.disk_usage(folder).free // 2**20
    return f"{folder}: up to {needed_mb:,} MB for {shards} shards, {free_mb:,} MB are free"
