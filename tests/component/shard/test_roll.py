"""The session roll at 16:00 in Chicago: what is sent again, what is archived, what comes back and what must stay.

The clock is the test's own, Kafka is in memory, the shard is whole.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import fastavro
import pytest

from bridge.app import cluster as parts
from bridge.app import shards
from bridge.app.shards import SystemClock
from bridge.entities import schemas
from bridge.kafka.framing import SingleObject
from tests.component.shard.instance import Instance, framed, settings_of
from tests.component.shard.partition import Partition, PartitionLog

DAY = datetime(2026, 11, 17, tzinfo=ZoneInfo("America/Chicago"))  # a Tuesday
ENVELOPE = fastavro.parse_schema(schemas.envelope_schema("order"))
KEY = fastavro.parse_schema(schemas.key_schema("order"))
EVENT = fastavro.parse_schema(schemas.control_schema("Event"))


class Clock(SystemClock):
    """Runs in the bridge's own steps, from whatever moment it is set to."""

    def __init__(self) -> None:
        self.now_us = 0

    def epoch_us(self) -> int:
        return self.now_us

    def set(self, desk: Any, day: int, hour: int, minute: int = 0) -> None:
        moment = DAY.replace(day=day, hour=hour, minute=minute)
        self.now_us = desk.now_us = round(moment.timestamp() * 1_000_000)


class Day:
    """One shard of orders, and what it has published."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        settings = settings_of("127.0.0.1:1", "p", "exactly_once", snapshot={"delete_quiet_s": 0.05})
        self.partition = Partition(parts.names(settings).state)
        monkeypatch.setattr(shards, "ShardLog", lambda *_, **__: PartitionLog(self.partition))
        self.clock = Clock()
        self.instance = Instance(settings, framed(SingleObject()), self.clock)
        self.desk = self.instance.desk

    async def at(self, day: int, hour: int, minute: int, *events: tuple[int, str]) -> None:
        """Live events of orders: id and status."""
        self.clock.set(self.desk, day, hour, minute)
        seq = self.instance.runner.stats.seq
        for number, status in events:
            self.desk.live({"id": number, "accountId": 5, "ordStatus": status})
        await self.instance.published(seq + len(events))

    async def sync(self, day: int, hour: int, minute: int, *orders: int) -> None:
        """A new session, whose snapshot lists some orders, up to the judgement of what is missing."""
        self.clock.set(self.desk, day, hour, minute)
        self.desk.hang_up()
        before = len(self.judged())
        self.desk.snapshot(*({"id": number, "accountId": 5, "ordStatus": "Working"} for number in orders))
        await self.instance.until(lambda: len(self.judged()) > before)

    def judged(self) -> set[int | None]:
        return {head.judged_ms for head in self.partition.heads}

    def records(self) -> list[tuple[int, str, str, bool]]:
        """Id, op, status and whether it was sent again; a lone tombstone has `archived` for its op."""
        found: list[tuple[int, str, str, bool]] = []
        for key, value in self.partition.topics.get("p.order", ()):
            number = read(KEY, key)["id"]
            if value is None:
                found.append((number, "archived", "", False))
            else:
                envelope = read(ENVELOPE, value)
                found.append((number, envelope["op"], envelope["after"]["ordStatus"], envelope["source"]["resend"]))
        return found

    def told(self, event: str) -> list[dict[str, Any]]:
        values = [read(EVENT, value) for _, value in self.partition.topics["p.bridge.events"] if value is not None]
        return [value for value in values if value["event"] == event]


def read(schema: Any, data: bytes) -> Any:
    return fastavro.schemaless_reader(io.BytesIO(data[10:]), schema, None)


@pytest.fixture
async def day(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Day]:
    made = Day(monkeypatch)
    made.clock.set(made.desk, 17, 12)
    made.desk.snapshot()
    await made.instance.until(lambda: made.judged() > {None})
    yield made
    await made.instance.stop()


LIFE = [(1, "PendingNew"), (1, "Working"), (1, "Filled")]


async def test_what_is_sent_again_at_the_roll_is_flagged_and_ends_in_the_right_state(day: Day) -> None:
    await day.at(17, 14, 0, *LIFE)
    await day.at(17, 15, 58, *LIFE)

    once = [(1, "c", "PendingNew", False), (1, "u", "Working", False), (1, "u", "Filled", False)]
    again = [(1, "u", "PendingNew", True), (1, "u", "Working", True), (1, "u", "Filled", True)]
    assert day.records() == [*once, *again]


async def test_what_is_new_near_the_roll_is_not_flagged(day: Day) -> None:
    await day.at(17, 14, 0, (1, "Working"))
    await day.at(17, 15, 58, (1, "Canceled"), (2, "Working"), (1, "Working"))

    assert [record[3] for record in day.records()] == [False, False, False, True]


async def test_the_same_at_another_time_of_day_is_three_changes(day: Day) -> None:
    await day.at(17, 13, 0, (1, "Working"))
    await day.at(17, 14, 0, (1, "Suspended"), (1, "Working"))

    assert [record[1:] for record in day.records()] == [
        ("c", "Working", False),
        ("u", "Suspended", False),
        ("u", "Working", False),
    ]


async def test_archived_orders_do_not_come_back_for_good(day: Day) -> None:
    await day.at(17, 14, 0, *LIFE, (2, "Working"))
    await day.sync(17, 16, 1)
    archived = day.records()[-2:]
    await day.at(17, 16, 2, (2, "Working"))
    await day.at(17, 18, 0, (3, "Working"))
    await day.sync(18, 9, 0, 3)

    assert sorted(archived) == [(1, "archived", "", False), (2, "archived", "", False)]
    assert day.records()[-3:] == [(2, "c", "Working", True), (3, "c", "Working", False), (2, "archived", "", False)]
    assert [event["counts"] for event in day.told("archived")] == [{"order": 2}, {"order": 1}]
    assert day.told("deletes_inferred") == []


async def test_the_first_reconnect_next_morning_archives_and_spares_the_new_session(day: Day) -> None:
    await day.at(17, 14, 0, (1, "Working"))
    await day.at(17, 18, 0, (2, "Working"))
    await day.sync(18, 9, 0)

    assert day.records()[2:] == [(1, "archived", "", False)], "order 2 is of the session that still lasts"


async def test_without_a_roll_between_nothing_is_archived(day: Day) -> None:
    await day.at(17, 13, 0, (1, "Working"))
    await day.sync(17, 15, 0)

    assert day.records() == [(1, "c", "Working", False)]
