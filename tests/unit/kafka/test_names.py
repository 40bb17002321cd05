from __future__ import annotations

from bridge.entities.catalogue import CATALOGUE
from bridge.kafka.names import TopicNames

NAMES = TopicNames("tradovate.demo")


def test_names_are_those_of_the_contract() -> None:
    assert NAMES.entity("cashBalance") == "tradovate.demo.cashBalance"
    assert NAMES.state == "tradovate.demo.bridge.state"
    assert NAMES.events == "tradovate.demo.bridge.events"
    assert NAMES.dead_letter == "tradovate.demo.bridge.dead-letter"
    assert NAMES.unmapped == "tradovate.demo.bridge.unmapped"
    assert NAMES.shards == "tradovate.demo.bridge.shards"
    assert NAMES.transactional_id(4, 1) == "tradovate.demo.4.1"


def test_no_entity_topic_collides_with_another() -> None:
    """Kafka takes `.` and `_` for the same in metric names, and refuses two topics that differ only there."""
    control = [NAMES.state, NAMES.events, NAMES.dead_letter, NAMES.unmapped, NAMES.shards]
    names = [*control, *map(NAMES.entity, CATALOGUE)]
    assert len({name.replace("_", ".") for name in names}) == len(names)
