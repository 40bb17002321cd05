"""Topics: look at what the cluster has, create what is missing, mend what may be mended, refuse the rest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code
from aiokafka.protocol.offset import OffsetRequest

from bridge.errors import KafkaUnavailable, KafkaUnusable
from bridge.kafka.client import Cluster, translated
from bridge.kafka.plan import Actual, Difference, Topic, differences, fatal

UNKNOWN_TOPIC, LEADER_NOT_AVAILABLE, NOT_AUTHORIZED, TOPIC_EXISTS = 3, 5, 29, 36
READY_TIMEOUT_S = 30.0
_NO_REPLICA, _UNCOMMITTED, _LATEST = -1, 0, -1
"""Whose request for offsets it is, of what kind, and of which."""


@asynccontextmanager
async def administrator(cluster: Cluster) -> AsyncIterator[AIOKafkaAdminClient]:
    """A started admin client; its errors are ours.

    Raises:
        KafkaUnavailable: the cluster does not answer.
        KafkaUnusable: it refuses us.
    """
    with translated("looking at the topics", cluster):
        client = AIOKafkaAdminClient(**cluster.arguments())
        try:
            await client.start()
            yield client
        finally:
            await client.close()


async def inspect(cluster: Cluster, plan: Sequence[Topic]) -> list[Difference]:
    """How the cluster differs from the plan."""
    async with administrator(cluster) as client:
        return differences(plan, await _actual(client, [t.name for t in plan]))


async def check(cluster: Cluster, plan: Sequence[Topic]) -> None:
    """Refuse a cluster on which records would be lost, mixed up or refused (invariant 2).

    Raises:
        KafkaUnusable: naming what is wrong and the command that mends it.
    """
    wrong = fatal(await inspect(cluster, plan))
    if not wrong:
        return
    shown = "; ".join(str(d) for d in wrong[:3]) + (f"; and {len(wrong) - 3} more" if len(wrong) > 3 else "")
    if any(d.kind == "partitions" for d in wrong):
        remedy = (
            "the partition of a record is its shard, so a partition count cannot be changed under existing records: "
            "set sharding.divisor to the partition count, or choose another kafka.topic_prefix"
        )
    else:
        remedy = "run `syncbridge topics apply` (`topics plan` shows what it would do)"
    raise KafkaUnusable(f"the topics are not as they must be: {shown}; {remedy}")


async def apply(cluster: Cluster, plan: Sequence[Topic], replication_factor: int) -> list[Difference]:
    """Create what is missing and mend configurations; wait until every new partition can be used.

    Returns:
        What was different and has been mended.

    Raises:
        KafkaUnusable: if a partition count differs, or the cluster refuses a change.
    """
    async with administrator(cluster) as client:
        found = differences(plan, await _actual(client, [t.name for t in plan]))
        stuck = [d for d in found if not d.repairable]
        if stuck:
            raise KafkaUnusable(f"{stuck[0]}; choose another kafka.topic_prefix or set sharding.divisor to match")
        missing = {d.topic for d in found if d.kind == "missing"}
        await _create(client, [t for t in plan if t.name in missing], await _replicas(client, replication_factor))
        await _alter(client, [t for t in plan if t.name in {d.topic for d in found if d.kind == "config"}])
        await _wait_until_served(client, plan)
        return found


async def _replicas(client: AIOKafkaAdminClient, wanted: int) -> int:
    """The number asked for; -1 means three, or as many brokers as there are (aiokafka knows no broker default)."""
    return wanted if wanted > 0 else min(3, len((await client.describe_cluster())["brokers"]))


async def _create(client: AIOKafkaAdminClient, topics: Sequence[Topic], replication_factor: int) -> None:
    if not topics:
        return
    new = [NewTopic(t.name, t.partitions, replication_factor, topic_configs=dict(t.config)) for t in topics]
    answer = await client.create_topics(new)
    for name, code, *text in answer.topic_errors:
        if code not in (0, TOPIC_EXISTS):
            raise KafkaUnusable(f"cannot create topic {name}: {_reason(code)} {text[0] if text else ''}".strip())


async def _alter(client: AIOKafkaAdminClient, topics: Sequence[Topic]) -> None:
    """AlterConfigs replaces all of a topic's own settings, so those that are not ours are sent along."""
    if not topics:
        return
    own = await _configs(client, [t.name for t in topics], own_only=True)
    resources = [ConfigResource(ConfigResourceType.TOPIC, t.name, {**own[t.name], **t.config}) for t in topics]
    for answer in await client.alter_configs(resources):
        for code, text, _kind, name in answer.resources:
            if code:
                raise KafkaUnusable(f"cannot configure topic {name}: {_reason(code)} {text or ''}".strip())


async def _wait_until_served(client: AIOKafkaAdminClient, plan: Sequence[Topic]) -> None:
    """Wait until leaders answer for their partitions.

    Brokers know that they lead a partition before they have made it, which takes seconds for some hundred; a bridge
    that starts meanwhile would only wait.
    """
    names = [t.name for t in plan]
    async with asyncio.timeout(READY_TIMEOUT_S):
        while not await _are_served(client, names):  # noqa: ASYNC110 - Kafka tells nobody
            await asyncio.sleep(0.05)


async def _are_served(client: AIOKafkaAdminClient, names: list[str]) -> bool:
    """Asks for offsets, all at once: a consumer's `end_offsets` takes seconds more when one is not ready."""
    described = await _describe(client, names)
    if not all(map(_led, described)):
        return False
    leaders: dict[int, list[tuple[str, list[tuple[int, int]]]]] = {}
    for topic in described:
        for partition in topic["partitions"]:
            leaders.setdefault(partition["leader"], []).append((topic["topic"], [(partition["partition"], _LATEST)]))
    for leader, asked in leaders.items():
        answer = await client._send_request(OffsetRequest(_NO_REPLICA, _UNCOMMITTED, asked), leader)  # noqa: SLF001
        if any(code for _, partitions in answer.topics for _, code, *_ in partitions):
            return False
    return True


def _led(topic: dict[str, Any]) -> bool:
    return not topic["error_code"] and all(p["leader"] >= 0 and not p["error_code"] for p in topic["partitions"])


async def _describe(client: AIOKafkaAdminClient, names: list[str]) -> list[dict[str, Any]]:
    topics: list[dict[str, Any]] = await client.describe_topics(names)
    return topics


async def partition_counts(cluster: Cluster, names: Sequence[str]) -> dict[str, int]:
    """How many partitions each of these topics has; those that do not exist are left out."""
    async with administrator(cluster) as client:
        return await _counted(client, list(names))


async def _actual(client: AIOKafkaAdminClient, names: list[str]) -> dict[str, Actual]:
    there = await _counted(client, names)
    configs = await _configs(client, list(there), own_only=False)
    return {name: Actual(name, partitions, configs[name]) for name, partitions in there.items()}


async def _counted(client: AIOKafkaAdminClient, names: list[str]) -> dict[str, int]:
    described = await _describe(client, names)
    for topic in described:
        code = topic["error_code"]
        if code == LEADER_NOT_AVAILABLE:
            raise KafkaUnavailable(
                f"topic {topic['topic']} has no leader at present; check that the cluster is healthy"
            )
        if code not in (0, UNKNOWN_TOPIC):
            remedy = "; grant this user the ACLs of docs/operations.md" if code == NOT_AUTHORIZED else ""
            raise KafkaUnusable(f"cannot look at topic {topic['topic']}: {_reason(code)}{remedy}")
    return {t["topic"]: len(t["partitions"]) for t in described if t["error_code"] != UNKNOWN_TOPIC}


async def _configs(client: AIOKafkaAdminClient, names: Iterable[str], *, own_only: bool) -> dict[str, dict[str, str]]:
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    if not resources:
        return {}
    found: dict[str, dict[str, str]] = {}
    for answer in await client.describe_configs(resources):
        for code, text, _kind, name, entries in answer.resources:
            if code:
                raise KafkaUnusable(f"cannot read the configuration of topic {name}: {_reason(code)} {text or ''}")
            found[name] = {e[0]: e[1] for e in entries if not own_only or _is_own(e)}
    return found


def _is_own(entry: Sequence[Any]) -> bool:
    """Entry: name, value, read-only, source (1 = set on the topic; version 0 has is_default here), sensitive ..."""
    source = entry[3]
    return source is False if isinstance(source, bool) else source == 1


def _reason(code: int) -> str:
    return str(for_code(code).__name__)
