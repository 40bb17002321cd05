from __future__ import annotations

import pytest

from bridge.entities.catalogue import CATALOGUE
from bridge.kafka.control import PART_BYTES
from bridge.kafka.names import TopicNames
from bridge.kafka.packing import BATCH_BYTES
from bridge.kafka.plan import DAY_MS, Actual, Difference, Topic, differences, fatal, wanted

NAMES = TopicNames("p")
PLAN = {topic.name: topic for topic in wanted(NAMES, 4, 900 * 1024)}


def as_planned(topic: Topic, **changed: str) -> Actual:
    """A topic as the cluster has it: what was asked for, and Kafka's defaults for the rest."""
    return Actual(topic.name, topic.partitions, {"compression.type": "producer", **topic.config, **changed})


def differing(topic: Topic, actual: Actual | None) -> list[Difference]:
    return differences([topic], {topic.name: actual} if actual else {})


def test_there_is_a_topic_for_every_type_and_every_control_topic() -> None:
    control = {NAMES.state, NAMES.events, NAMES.dead_letter, NAMES.unmapped, NAMES.shards}
    assert set(PLAN) == control | set(map(NAMES.entity, CATALOGUE))


def test_every_topic_has_divisor_partitions_and_log_append_time() -> None:
    assert {topic.partitions for topic in PLAN.values()} == {4}
    assert {topic.config["message.timestamp.type"] for topic in PLAN.values()} == {"LogAppendTime"}


@pytest.mark.parametrize(("name", "days"), [("order", 30), ("fill", 30), ("position", 7), ("contract", 7)])
def test_every_change_can_be_replayed_as_long_as_the_contract_says(name: str, days: int) -> None:
    config = PLAN[NAMES.entity(name)].config
    assert config["cleanup.policy"] == "compact"
    assert config["min.compaction.lag.ms"] == config["delete.retention.ms"] == str(days * DAY_MS)
    assert config["segment.ms"] == str(DAY_MS)


def test_state_is_compacted_early() -> None:
    config = PLAN[NAMES.state].config
    assert config["cleanup.policy"] == "compact"
    assert config["segment.bytes"] == str(16 * 1024 * 1024)
    assert config["segment.ms"] == "600000"
    assert config["min.cleanable.dirty.ratio"] == "0.1"


@pytest.mark.parametrize(("name", "days"), [(NAMES.events, 90), (NAMES.dead_letter, 30), (NAMES.unmapped, 30)])
def test_control_topics_keep_their_days(name: str, days: int) -> None:
    assert PLAN[name].config["cleanup.policy"] == "delete"
    assert PLAN[name].config["retention.ms"] == str(days * DAY_MS)


@pytest.mark.parametrize("largest", [64 * 1024, 900 * 1024, 4 * 1024 * 1024])
def test_topics_take_what_the_bridge_may_write(largest: int) -> None:
    """A batch that a topic refuses would fail its transaction for ever."""
    for topic in wanted(NAMES, 4, largest):
        room = int(topic.config["max.message.bytes"])
        assert room > 2 * largest
        assert room > PART_BYTES
        assert room > BATCH_BYTES


def test_topics_as_planned_do_not_differ() -> None:
    assert differences(PLAN.values(), {name: as_planned(topic) for name, topic in PLAN.items()}) == []


def test_differences_come_in_the_order_of_the_plan() -> None:
    found = differences(PLAN.values(), {})
    assert [difference.topic for difference in found] == list(PLAN)
    assert {difference.kind for difference in found} == {"missing"}
    assert fatal(found) == found
    assert str(found[0]).endswith(" is missing")


@pytest.mark.parametrize("partitions", [1, 3, 8])
def test_wrong_partition_count_is_fatal_and_not_ours_to_mend(partitions: int) -> None:
    topic = PLAN["p.order"]
    (found,) = differing(topic, Actual(topic.name, partitions, topic.config))
    assert (found.kind, found.repairable, fatal([found])) == ("partitions", False, [found])
    assert str(found) == f"p.order has {partitions} partitions but sharding.divisor is 4"


@pytest.mark.parametrize(
    ("key", "value", "is_fatal"),
    [
        ("cleanup.policy", "delete", True),
        ("cleanup.policy", "compact,delete", True),
        ("message.timestamp.type", "CreateTime", True),
        ("max.message.bytes", "1048588", True),
        ("min.compaction.lag.ms", "0", False),
        ("segment.ms", "1", False),
    ],
)
def test_wrong_setting_can_be_mended_and_is_fatal_if_records_would_suffer(key: str, value: str, is_fatal: bool) -> None:
    topic = PLAN["p.order"]
    (found,) = differing(topic, as_planned(topic, **{key: value}))
    assert (found.kind, found.key, found.found, found.repairable) == ("config", key, value, True)
    assert bool(fatal([found])) is is_fatal
    assert str(found) == f"p.order: {key} is {value}, should be {topic.config[key]}"


def test_setting_that_the_cluster_does_not_tell_is_a_difference() -> None:
    topic = PLAN["p.order"]
    found = differing(topic, Actual(topic.name, 4, {}))
    assert {difference.key for difference in found} == set(topic.config)
    assert "is unset, should be" in str(found[0])


def test_more_room_than_needed_is_as_good() -> None:
    topic = PLAN["p.order"]
    assert differing(topic, as_planned(topic, **{"max.message.bytes": "99999999"})) == []
