"""A shard from claim to stop, through commits whose outcome the client never learnt, and through take-overs."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from bridge.app import cluster as parts
from bridge.app import shards
from bridge.config import Settings
from bridge.devkit.kafka import EmbeddedKafka
from bridge.errors import KafkaUnusable, Replaced
from bridge.kafka import topics
from bridge.kafka.framing import Confluent, Framing, SingleObject
from bridge.shard import claim, writer
from tests.component.shard.instance import Instance, framed, settings_of
from tests.integration.shard.scene import envelopes, heads, troubled
from tests.integration.writing import configure, delete

Start = Callable[..., Instance]


def order(number: int, status: str = "Working") -> dict[str, Any]:
    return {"id": number, "accountId": 5, "ordStatus": status}


@pytest.fixture(params=["exactly_once", "at_least_once"])
def delivery(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def settings(kafka: EmbeddedKafka, unique_prefix: str, delivery: str) -> Settings:
    """A shard's settings, with its topics made, but for those of entity types that no test here sends."""
    made = settings_of(kafka.bootstrap_servers, unique_prefix, delivery)
    used = [t for t in parts.plan(made) if ".bridge." in t.name or t.name.endswith(".order")]
    await topics.apply(parts.cluster(made), used, 1)
    return made


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim, "LOOK_AGAIN_S", 0.5)
    monkeypatch.setattr(writer, "LOOK_S", 0.3)


@pytest.fixture
async def start(settings: Settings) -> AsyncIterator[Start]:
    """Starts instances, and ends those that a failed test has left running."""
    started: list[Instance] = []

    def one(framing: Framing | None = None) -> Instance:
        started.append(Instance(settings, framed(framing or SingleObject())))
        return started[-1]

    yield one
    for instance in started:
        instance.task.cancel()
    await asyncio.gather(*(instance.task for instance in started), return_exceptions=True)


def brief(envelope: Any) -> tuple[Any, ...]:
    source = envelope["source"]
    return envelope["op"], envelope["after"] and envelope["after"]["id"], source["snapshot"], source["seq"]


async def test_a_shard_goes_on_where_the_last_owner_stopped(settings: Settings, start: Start) -> None:
    first = start()
    first.desk.snapshot(order(1), order(2))
    first.desk.live(order(2, "Filled"), order(3))
    await first.published(4)
    await first.stop()
    second = start()
    second.desk.snapshot(order(1), order(2, "Filled"), order(3, "Filled"))
    second.desk.live(order(1), event="Deleted")
    await second.published(6)
    await second.stop()
    found = await envelopes(settings)
    assert [brief(each) for each in found] == [
        ("r", 1, "true", 1),
        ("r", 2, "true", 2),
        ("u", 2, "false", 3),
        ("c", 3, "false", 4),
        ("u", 3, "reconcile", 5),
        ("d", None, "false", 6),
    ]
    assert [each["source"]["epoch"] for each in found] == [1, 1, 1, 1, 2, 2]
    assert [(each["before"] or {}).get("ordStatus") for each in found[2:]] == ["Working", None, "Working", "Working"]
    (*_, last) = await heads(settings)
    assert (last.epoch, last.seq, last.session, last.clean, last.instance) == (2, 6, 2, True, second.name)


@pytest.mark.parametrize("fault", ["request lost", "answer lost"])
@pytest.mark.parametrize("commit", [1, 2, 3, 5])
async def test_a_commit_of_unknown_outcome_is_neither_lost_nor_repeated(
    settings: Settings, start: Start, monkeypatch: pytest.MonkeyPatch, fault: str, commit: int
) -> None:
    """The first is the claim, the second the framing, then come frames."""
    monkeypatch.setattr(shards, "ShardLog", troubled({commit: fault}))
    instance = start()
    instance.desk.snapshot(order(1))
    for number in range(2, 6):
        await instance.published(number - 1)
        instance.desk.live(order(number))
    await instance.published(5)
    await instance.stop()
    found = await envelopes(settings)
    assert [(each["source"]["seq"], each["after"]["id"]) for each in found] == [(n, n) for n in range(1, 6)]
    assert {each["source"]["epoch"] for each in found} == {1}
    assert [head.transaction for head in await heads(settings)] == sorted(
        {head.transaction for head in await heads(settings)}
    )
    assert instance.desk.conversations == 1


async def test_a_replaced_instance_stops_and_leaves_its_successor_alone(settings: Settings, start: Start) -> None:
    first = start()
    first.desk.snapshot(order(1))
    await first.published(1)
    second = start()
    second.desk.snapshot(order(1))
    await second.until(lambda: second.runner.stats.ready)
    first.desk.live(order(1, "Filled"))
    with pytest.raises(Replaced) as replaced:
        await first.until(lambda: False)
    assert replaced.value.exit_code == 5
    assert second.name in str(replaced.value)
    second.desk.live(order(2))
    await second.until(lambda: second.runner.stats.seq >= 2)
    await second.stop()
    assert second.runner.stats.recoveries == 0
    assert second.runner.stats.epoch == 2
    (*_, last) = await heads(settings)
    assert (last.epoch, last.instance, last.clean) == (2, second.name, True)


@pytest.mark.parametrize("delivery", ["exactly_once"], indirect=True)
async def test_what_a_replaced_instance_wrote_too_late_is_not_there(settings: Settings, start: Start) -> None:
    first = start()
    first.desk.snapshot(order(1))
    await first.published(1)
    second = start()
    await second.until(lambda: second.runner.stats.owned)
    first.desk.live(*(order(1, status) for status in ("Filled", "Canceled")))
    with pytest.raises(Replaced):
        await first.until(lambda: False)
    assert len(await envelopes(settings)) == 1
    assert [head.epoch for head in await heads(settings)] == sorted(head.epoch for head in await heads(settings))
    await second.stop()


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize("delivery", ["at_least_once"], indirect=True)
async def test_without_fencing_a_busy_owner_finds_a_silent_successor(start: Start) -> None:
    """What the old owner goes on writing stands behind the new claim, and must not hide it."""
    first = start()
    first.desk.snapshot(order(1))
    await first.published(1)
    second = start()

    async def keep_busy() -> None:
        for number in range(100_000):
            first.desk.live(*(order(n, f"{number}") for n in range(20)))
            await asyncio.sleep(0)

    busy = asyncio.create_task(keep_busy())
    try:
        with pytest.raises(Replaced):
            await first.until(lambda: False)
    finally:
        busy.cancel()
    await second.until(lambda: second.runner.stats.owned)
    await second.stop()


@pytest.mark.parametrize("delivery", ["exactly_once"], indirect=True)
@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        (None, 1, "were written with single-object framing, this configuration means registry: set or unset registry"),
        (1, None, "were written with registry framing, this configuration means single-object"),
        (1, 2, r"the registry gives the key schema of \w+ another id than before \(\d+, was \d+\)"),
    ],
)
async def test_keys_are_never_framed_in_two_ways(
    settings: Settings, start: Start, before: int | None, now: int | None, told: str
) -> None:
    def framing(first_id: int | None) -> Framing:
        if first_id is None:
            return SingleObject()
        return Confluent({subject: number for number, subject in enumerate(parts.subjects(settings), first_id)})

    first = start(framing(before))
    first.desk.snapshot(order(1))
    await first.published(1)
    with pytest.raises(KafkaUnusable, match=told):
        await start(framing(now)).until(lambda: False)
    first.desk.live(order(2))
    await first.published(2)
    assert (first.runner.stats.recoveries, first.runner.stats.epoch) == (0, 1), "the healthy one noticed"
    await first.stop()


@pytest.mark.parametrize("delivery", ["exactly_once"], indirect=True)
@pytest.mark.parametrize("topic", ["order", "bridge.state"])
async def test_a_topic_that_is_deleted_under_way_ends_the_shard_and_says_so(
    settings: Settings, start: Start, topic: str
) -> None:
    instance = start()
    instance.desk.snapshot(order(1))
    await instance.published(1)
    await delete(settings.kafka.bootstrap_servers, f"{settings.prefix}.{topic}")
    instance.desk.live(order(2))
    with pytest.raises(KafkaUnusable, match=rf"\.{topic} is missing; run `syncbridge topics apply`"):
        await instance.until(lambda: False)
    assert instance.runner.stats.seq == 1


@pytest.mark.parametrize("delivery", ["exactly_once"], indirect=True)
async def test_a_topic_that_takes_no_large_records_any_more_ends_the_shard_and_says_so(
    settings: Settings, start: Start
) -> None:
    """No record that fits kafka.max_record_bytes is ever refused unless somebody has changed the topic."""
    instance = start()
    instance.desk.snapshot(order(1))
    await instance.published(1)
    await configure(settings.kafka.bootstrap_servers, f"{settings.prefix}.order", {"max.message.bytes": "10000"})
    instance.desk.live({**order(2), "text": secrets.token_hex(20_000)})
    with pytest.raises(KafkaUnusable, match=r"a topic's max\.message\.bytes is smaller than the bridge needs; run"):
        await instance.until(lambda: False)


@pytest.mark.parametrize("delivery", ["exactly_once"], indirect=True)
async def test_a_kafka_that_freezes_costs_no_session(kafka: EmbeddedKafka, settings: Settings, start: Start) -> None:
    instance = start()
    instance.desk.snapshot(order(1))
    await instance.until(lambda: instance.runner.stats.ready)
    kafka.pause()
    try:
        for number in range(2, 8):
            instance.desk.live(order(number))
        await instance.until(lambda: instance.runner.stats.recoveries > 0)
    finally:
        kafka.resume()
    await instance.published(7)
    await instance.stop()
    found = await envelopes(settings)
    assert [(each["source"]["seq"], each["after"]["id"]) for each in found] == [(n, n) for n in range(1, 8)]
    assert {each["source"]["epoch"] for each in found} == {1}
    assert instance.desk.conversations == 1
