"""Frames that must be read number by number, from the socket's side of a shard to its records."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import orjson
import pytest

from bridge.entities import schemas
from tests.component.shard.conftest import Start, decoded
from tests.component.shard.instance import Instance
from tests.component.shard.partition import Partition

HUGE = b"18446744073709551616"
"""2**64: the fast reader makes a float of it, and nobody can tell which number it was."""
DEEP = 1000
"""Lists within each other: the fast reader can follow, the exact one cannot."""


def event(entity_type: str, entity: Any, event_type: str = "Updated") -> dict[str, Any]:
    return {"e": "props", "d": {"entityType": entity_type, "eventType": event_type, "entity": entity}}


def mixed(number: bytes, filling: int) -> bytes:
    """A frame of which everything is counted somewhere, with a number in its last entity but one."""
    order = {"id": 1, "accountId": 5, "novel": 1}
    messages = [
        event("order", order),
        event("order", order),
        event("order", {"accountId": 5}),
        event("position", {"id": 8}, "Deleted"),
        event("riskBudget", {"id": 1}),
        *(event("order", {"id": n, "text": "x" * 100}) for n in range(10, 10 + filling)),
        event("order", {"id": 2, "action": "Lend", "novel": "NUMBER"}),
        event("order", {"id": 3, "novel": 1}),
    ]
    return b"a" + orjson.dumps(messages).replace(b'"NUMBER"', number)


def counted(instance: Instance) -> tuple[Any, ...]:
    counts = instance.view.counts
    return {each.name: getattr(counts, each.name) for each in fields(counts)}, sorted(instance.shared.drift())


@pytest.mark.parametrize("filling", [0, 1500], ids=["small", "large"])
async def test_what_is_read_twice_is_counted_once(start: Start, filling: int) -> None:
    found = []
    for number in (b"5", HUGE):
        instance, log = start()
        log.forget()
        instance.desk.frame(mixed(number, filling))
        await instance.published(filling + 3)
        await instance.stop()
        found.append(counted(instance))
    assert found[0][0]["duplicates"] == found[0][0]["refused"]["no_id"] == found[0][0]["unknown_deletes"] == 1
    assert found[1] == found[0]


@pytest.mark.parametrize("filling", [0, 1500], ids=["small", "large"])
async def test_a_frame_that_cannot_be_read_exactly_is_a_dead_letter(
    start: Start, partition: Partition, filling: int
) -> None:
    raw = mixed(b"[" * DEEP + HUGE + b"]" * DEEP, filling)
    instance, _ = start()
    instance.desk.frame(raw)
    instance.desk.live({"id": 4})
    await instance.published(1)
    letters = decoded(partition, "bridge.dead-letter", schemas.control_schema("DeadLetter"))
    assert [letter["reason"] for letter in letters] == ["too_deep"]
    assert letters[0]["raw"] == raw
    assert +counted(instance)[0]["refused"] == {"too_deep": 1}


async def test_an_error_of_ours_ends_the_shard_and_nothing_of_its_transaction_is_written(
    start: Start, partition: Partition
) -> None:
    instance, _ = start()
    instance.desk.live({"id": 1})
    await instance.published(1)
    heads = partition.heads
    instance.desk.live({"id": 2})
    instance.desk.mistake()
    instance.desk.live({"id": 3})
    with pytest.raises(TypeError):
        await instance.until(lambda: False)
    assert partition.heads == heads
    assert len(partition.topics["p.order"]) == 1
