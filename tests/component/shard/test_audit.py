"""Audits beside a shard that lives: what they publish and tell, and what keeps them from it. Kafka is in memory."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bridge.app import cluster as parts
from bridge.app import shards
from bridge.entities import schemas
from bridge.kafka.framing import SingleObject
from bridge.shard import audit as auditing
from tests.component.shard.conftest import decoded
from tests.component.shard.instance import Desk, Instance, framed, settings_of
from tests.component.shard.partition import Partition, PartitionLog

QUICK = {"interval_s": 0.05, "before_s": 0.01, "after_s": 0.02}
EVENT, ENVELOPE = schemas.control_schema("Event"), schemas.envelope_schema("order")


class SpareDesk(Desk):
    """The broker at the other end of the audits' sockets."""

    def __init__(self) -> None:
        super().__init__()
        self.reason: str | None = None

    def hindrance(self) -> str | None:
        return self.reason

    def part(self, *entities: dict[str, Any]) -> None:
        """A part of the snapshot."""
        self._frame({"i": 1, "s": 200, "d": {"orders": list(entities)}})
        self._put(lambda listener: listener.snapshot_part())

    def complete(self) -> None:
        self._put(lambda listener: listener.snapshot_completed({}))


class Audited:
    """One shard of orders, and the socket of its audits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, delete_quiet_s: float = 0.02, **audit: float) -> None:
        snapshot, pace = {"delete_quiet_s": delete_quiet_s}, {**QUICK, **audit}
        settings = settings_of("127.0.0.1:1", "p", "exactly_once", snapshot=snapshot, audit=pace)
        self.partition = Partition(parts.names(settings).state)
        monkeypatch.setattr(shards, "ShardLog", lambda *_, **__: PartitionLog(self.partition))
        self.spare = SpareDesk()
        self.instance = Instance(settings, framed(SingleObject()), spares=self.spare)
        self.main, self.stats = self.instance.desk, self.instance.runner.stats

    async def live(self, *orders: int) -> None:
        """The shard's own session comes to its snapshot."""
        self.main.snapshot(*map(order, orders))
        await self.instance.until(lambda: self.stats.ready and self.stats.phase == "live")

    async def begun(self, times: int) -> None:
        """So many audits have opened their sockets."""
        await self.instance.until(lambda: self.spare.conversations >= times)

    async def ended(self, times: int) -> None:
        await self.instance.until(lambda: self.stats.audits >= times)

    async def skipped(self, reason: str) -> None:
        await self.instance.until(lambda: self.stats.audits_skipped[reason] > 0)

    def records(self) -> list[tuple[int, str, str, str]]:
        """Id, op, status and `source.snapshot`."""
        return [
            ((v["after"] or v["before"])["id"], v["op"], (v["after"] or v["before"])["ordStatus"], source["snapshot"])
            for v in decoded(self.partition, "order", ENVELOPE)
            if (source := v["source"])
        ]

    def told(self, event: str) -> list[Any]:
        return [value for value in decoded(self.partition, "bridge.events", EVENT) if value["event"] == event]


def order(number: int, status: str = "Working") -> dict[str, Any]:
    return {"id": number, "accountId": 5, "ordStatus": status}


FIRST = [(1, "r", "Working", "true"), (2, "r", "Working", "true")]


@pytest.fixture
async def audited(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Audited]:
    made = Audited(monkeypatch)
    await made.live(1, 2)
    yield made
    await made.instance.stop()


async def test_what_was_lost_in_silence_is_published_and_told(audited: Audited) -> None:
    audited.spare.part(order(1, "Filled"), order(2), order(3))
    audited.spare.complete()
    await audited.ended(1)

    assert audited.records() == [*FIRST, (1, "u", "Filled", "audit"), (3, "c", "Working", "audit")]
    (repaired,) = audited.told("audit_repaired")
    assert (repaired["cause"], repaired["counts"]) == ("differed", {"order": 2})
    (completed,) = audited.told("audit_completed")
    assert completed["counts"] == {"rows": 3, "left_out": 0, "repaired": 2}
    assert completed["from_ms"] < completed["to_ms"]
    assert audited.stats.audit_repairs == Counter(order=2)


async def test_what_either_socket_shows_meanwhile_is_left_out_and_only_the_shards_own_is_published(
    audited: Audited,
) -> None:
    await audited.begun(1)
    audited.main.live(order(1, "Filled"))
    await audited.instance.published(3)
    audited.spare.live(order(2, "Canceled"))
    audited.spare.part(order(1), order(2, "Rejected"))
    audited.spare.complete()
    await audited.ended(1)

    assert audited.records() == [*FIRST, (1, "u", "Filled", "false")]
    assert audited.told("audit_completed")[0]["counts"] == {"rows": 2, "left_out": 2, "repaired": 0}

    audited.spare.part(order(1, "Filled"), order(2, "Rejected"))
    audited.spare.complete()
    await audited.ended(2)
    assert audited.records()[3:] == [(2, "u", "Rejected", "audit")], "the next audit looks again"


async def test_a_part_that_comes_after_the_first_judgement_is_judged_too(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Audited(monkeypatch, delete_quiet_s=3600.0)
    await made.live(1, 2)
    made.spare.part(order(1, "Filled"))
    made.spare.complete()
    await made.instance.until(lambda: len(made.records()) == 3)
    made.spare.part(order(2, "Canceled"))
    await made.instance.until(lambda: len(made.records()) == 4)

    assert made.records()[2:] == [(1, "u", "Filled", "audit"), (2, "u", "Canceled", "audit")]
    assert (made.stats.audits, made.spare.conversations) == (0, 1), "what is missing is not judged yet"
    await made.instance.stop()


async def test_numbers_that_the_fast_reader_may_round_are_compared_exactly(audited: Audited) -> None:
    huge = 2**64 + 1
    await audited.begun(1)
    audited.spare.frame(b'a[{"i":1,"s":200,"d":{"orders":[{"id":1,"accountId":5,"contractId":%d}]}}]' % huge)
    audited.spare.part()
    audited.spare.complete()
    await audited.ended(1)

    (changed,) = [v["after"] for v in decoded(audited.partition, "order", ENVELOPE) if v["op"] == "u"]
    assert changed["unmapped"] == {"contractId": str(huge)}


async def test_an_audit_ends_with_the_session_of_its_shard(audited: Audited) -> None:
    await audited.begun(1)
    audited.spare.part(order(1, "Filled"))
    audited.main.hang_up()
    await audited.skipped("session_lost")

    assert audited.records() == FIRST
    assert audited.stats.audits == 0


async def test_an_audit_whose_socket_is_lost_is_given_up(audited: Audited) -> None:
    await audited.begun(1)
    audited.spare.part(order(1, "Filled"))
    audited.spare.hang_up()
    await audited.skipped("socket_lost")

    assert audited.records() == FIRST
    assert audited.told("audit_completed") == []


async def test_an_audit_that_lasts_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditing, "LONGEST_S", 0.1)
    made = Audited(monkeypatch)
    await made.live(1)
    await made.skipped("timeout")
    assert (made.stats.audits, made.records()) == (0, FIRST[:1])
    await made.instance.stop()


async def test_without_a_free_socket_it_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Audited(monkeypatch)
    made.spare.reason = "no_socket"
    await made.live(1)
    await made.skipped("no_socket")

    assert made.spare.conversations == 0
    await made.instance.stop()


async def test_a_frame_that_nobody_can_read_exactly_ends_it(audited: Audited) -> None:
    deep = b"[" * 1005 + b"]" * 1005  # the fast reader follows, the exact one does not
    row = b'{"id":1,"accountId":5,"contractId":1.8446744073709552e19,"odd":' + deep + b"}"
    await audited.begun(1)
    audited.spare.frame(b'a[{"i":1,"s":200,"d":{"orders":[' + row + b"]}}]")
    audited.spare.part(order(2))
    audited.spare.complete()
    await audited.skipped("unreadable")

    assert audited.records() == FIRST


async def test_more_than_memory_may_hold_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditing, "WEIGHT", 2**30)
    made = Audited(monkeypatch)
    await made.live(1)
    made.spare.part(order(1, "Filled"), order(3))
    await made.skipped("too_large")

    assert made.records() == FIRST[:1]
    await made.instance.stop()


async def test_a_shard_that_is_not_live_is_not_audited(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Audited(monkeypatch)
    await made.skipped("not_live")
    assert made.spare.conversations == 0
    await made.instance.stop()


async def test_an_interval_of_0_means_none(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Audited(monkeypatch, interval_s=0.0)
    await made.live(1)
    for _ in range(3):
        made.main.live(order(1, "Filled"), order(1))
    await made.instance.published(7)
    await asyncio.sleep(0)

    assert (made.spare.conversations, made.stats.audits, made.stats.audits_skipped) == (0, 0, Counter())
    await made.instance.stop()
