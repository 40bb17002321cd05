"""The table of permissions in docs/operations.md is enough, and none of its rules can be spared."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined] # it exports them without saying so
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourcePatternType,
    ResourceType,
)

from bridge.devkit.kafka import EmbeddedKafka, Scram
from bridge.errors import KafkaUnavailable, KafkaUnusable
from bridge.kafka import topics
from bridge.kafka.client import Cluster, security
from bridge.kafka.follow import follow
from bridge.kafka.names import TopicNames
from bridge.kafka.plan import Topic, wanted
from tests.integration.bridge.conftest import Make
from tests.integration.bridge.scene import DEADLINE_S, Scene, until

DOCUMENT = Path(__file__).resolve().parents[3] / "docs/operations.md"
PASSWORD = "let-me-in-please"


class Rule(NamedTuple):
    """One row of the table."""

    command: str
    resource: str
    operation: str


def documented() -> list[Rule]:
    text = DOCUMENT.read_text(encoding="utf-8").split("\n## Kafka permissions\n")[1].split("\n## ")[0]
    return [Rule(*cells) for cells in re.findall(r"^\| (`.+?) \| (.+?) \| `(\w+)` \|$", text, re.MULTILINE)]


RULES = documented()
RUN = [rule for rule in RULES if rule.command.startswith("`run`")]
APPLY = [rule for rule in RULES if rule.command == "`topics apply`"]
PLAN = [rule for rule in RULES if rule.command == "`topics plan`"]
TAIL = [rule for rule in RULES if rule.command.startswith("`tail`")]


@pytest.fixture(scope="module")
def secured() -> Iterator[EmbeddedKafka]:
    names = ["run", "twice", "apply", "plan", "tail"]
    names += [f"{name}-{n}" for name in ("run", "apply", "plan") for n in range(len(RULES))]
    kafka = EmbeddedKafka(sasl=Scram(dict.fromkeys(names, PASSWORD), authorize=True))
    asyncio.run(kafka.start())
    yield kafka
    asyncio.run(kafka.stop())


def grant(made: Scene, user: str, rules: list[Rule]) -> None:
    """The rules become ACLs of the user."""
    admin = AdminClient({"bootstrap.servers": made.bootstrap})
    kinds = {"topics": ResourceType.TOPIC, "topic": ResourceType.TOPIC}
    bindings = []
    for rule in rules:
        words, name = rule.resource.removesuffix("`").split(" `")
        kind = kinds.get(words, ResourceType.TRANSACTIONAL_ID)
        pattern = ResourcePatternType.LITERAL if words == "topic" else ResourcePatternType.PREFIXED
        resource = made.prefix + name.removeprefix("P")
        operation, allow = AclOperation[rule.operation], AclPermissionType.ALLOW
        bindings.append(AclBinding(kind, resource, pattern, f"User:{user}", "*", operation, allow))
    if bindings:
        for done in admin.create_acls(bindings).values():
            done.result(timeout=30)
        deadline = time.monotonic() + DEADLINE_S
        while len(admin.describe_acls(every_rule_of(user)).result(timeout=30)) < len(bindings):
            assert time.monotonic() < deadline, "the broker never learns of its ACLs"


def every_rule_of(user: str) -> AclBindingFilter:
    kind, pattern = ResourceType.ANY, ResourcePatternType.ANY
    anything: Any = None
    return AclBindingFilter(kind, anything, pattern, f"User:{user}", anything, AclOperation.ANY, AclPermissionType.ANY)


def login(made: Scene, user: str) -> dict[str, str]:
    return {
        "kafka__bootstrap_servers": made.stage.kafka.sasl_bootstrap_servers,
        "kafka__security_protocol": "SASL_PLAINTEXT",
        "kafka__sasl_mechanism": "SCRAM-SHA-256",
        "kafka__sasl_username": user,
        "kafka__sasl_password": PASSWORD,
    }


def without(rules: list[Rule], spared: int) -> list[Rule]:
    return rules[:spared] + rules[spared + 1 :]


def as_user(made: Scene, user: str, rules: list[Rule]) -> tuple[Cluster, list[Topic]]:
    """What a command of this user works with: the cluster, and the topics of the contract."""
    grant(made, user, rules)
    options = security("SASL_PLAINTEXT", mechanism="SCRAM-SHA-256", username=user, password=PASSWORD)
    cluster = Cluster(made.stage.kafka.sasl_bootstrap_servers, options)
    return cluster, wanted(TopicNames(made.prefix), made.stage.plan.shards, 900 * 1024)


async def denied(doing: Awaitable[Any]) -> bool:
    """Whether it fails as a lack of permission must: for good, with exit code 4."""
    try:
        await doing
    except KafkaUnusable as error:
        return error.exit_code == 4 and not isinstance(error, KafkaUnavailable)
    return False


async def status_of_run(made: Scene, user: str, rules: list[Rule]) -> int:
    grant(made, user, rules)
    return await made.start(**login(made, user)).ended(60.0)


async def test_the_documented_permissions_are_enough_and_none_can_be_spared(
    scene: Make, secured: EmbeddedKafka
) -> None:
    assert (len(RUN), len(APPLY), len(PLAN), len(TAIL), len(RULES)) == (4, 3, 2, 1, 10)
    made = await scene(kafka=secured, topics=False)
    made.secrets.add(PASSWORD)

    # Topics: two rules are needed to create them, all three to look after them.
    for spared in range(2):
        assert await denied(topics.apply(*as_user(made, f"apply-{spared}", without(APPLY, spared)), 1)), APPLY[spared]
    everybody = as_user(made, "apply", APPLY)
    assert len(await topics.apply(*everybody, 1)) == len(everybody[1])
    alter(made, f"{made.prefix}.order", "min.compaction.lag.ms", "1")
    await until(lambda: topics.inspect(*everybody), "the spoilt setting is seen")
    assert await denied(topics.apply(*as_user(made, "apply-2", without(APPLY, 2)), 1))
    assert [d.key for d in await topics.apply(*everybody, 1)] == ["min.compaction.lag.ms"]
    assert await topics.inspect(*as_user(made, "plan", PLAN)) == []
    for spared in range(len(PLAN)):
        assert await denied(topics.inspect(*as_user(made, f"plan-{spared}", without(PLAN, spared)))), PLAN[spared]

    # Running, with transactions and without.
    grant(made, "run", RUN)
    bridge = await made.start(**login(made, "run")).ready()
    assert (await bridge.stop())[0] == 0
    grant(made, "twice", [rule for rule in RUN if "transactional" not in rule.resource])
    bridge = await made.start(**login(made, "twice"), kafka__delivery="at_least_once").ready()
    assert (await bridge.stop())[0] == 0
    ends = [status_of_run(made, f"run-{spared}", without(RUN, spared)) for spared in range(len(RUN))]
    assert await asyncio.gather(*ends) == [4] * len(RUN)

    # Consumers.
    assert await denied(accounts(made, []))
    assert await accounts(made, TAIL) == 20


async def accounts(made: Scene, rules: list[Rule]) -> int:
    """Read the topic of accounts to its end, as `tail` does; gives the number of records."""
    cluster, _ = as_user(made, "tail", rules)
    records = follow(cluster, [f"{made.prefix}.account"], from_beginning=True, until_end=True)
    return len([record async for record in records])


def alter(made: Scene, topic: str, key: str, value: str) -> None:
    """Spoil a topic's setting, as the administrator."""
    entry = ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": made.bootstrap})
    for done in admin.incremental_alter_configs([resource]).values():
        done.result(timeout=30)
