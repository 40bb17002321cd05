from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from bridge.changes.absence import Absence, Brake, Verdict, rolled_between
from bridge.changes.reconciler import Kind
from bridge.changes.state import PublishedState
from bridge.entities import schemas
from bridge.entities.catalogue import CATALOGUE, Lifecycle
from bridge.entities.encoder import Encoder

CENTRAL = ZoneInfo("America/Chicago")


def central(day: int, hour: int, minute: int = 0) -> int:
    """A moment in November 2026 (the 16th is a Monday), Chicago time, in epoch milliseconds."""
    return round(datetime(2026, 11, day, hour, minute, tzinfo=CENTRAL).timestamp() * 1000)


NOON, NEXT_NOON = central(17, 12), central(18, 12)


class Shard:
    """A published state and one type's kind, as a session leaves them."""

    def __init__(self, name: str, lifecycle: Lifecycle, published: int, *, requested: bool = True) -> None:
        self.state = PublishedState(CATALOGUE)
        table = self.state.tables[name]
        for number in range(1, published + 1):
            table[number] = (b"v%d" % number, 7, 8)
        encoder = Encoder(name, schemas.value_schema(name))
        self.kind = Kind(name, encoder, table, None, None, None, None, None, lifecycle)
        self.absence = Absence(self.state, {name: self.kind}, {name} if requested else set(), Brake(0.3, least=2))

    def snapshot(self, *seen: int, listed: bool = True, live: tuple[int, ...] = ()) -> None:
        self.kind.seen, self.kind.live, self.kind.listed = set(seen), set(live), listed

    def judge(self, last_ms: int | None = NOON, now_ms: int = NOON + 60_000) -> list[Verdict]:
        verdicts = list(self.absence.judge(last_ms, now_ms))
        self.state.begin()
        return verdicts


def ids(verdicts: list[Verdict]) -> list[int]:
    return sorted(change[1] for verdict in verdicts for change in verdict.deleted)


def test_what_a_snapshot_no_longer_lists_is_deleted_with_its_content_before() -> None:
    shard = Shard("account", Lifecycle.ENTITY, 10)
    shard.snapshot(*range(1, 10))

    (verdict,) = shard.judge()

    assert verdict.deleted == [("account", 10, "d", b"v10", None, None, 7, 8, "reconcile")]
    assert 10 not in shard.kind.table
    assert shard.judge() == []


def test_a_judgement_that_kafka_did_not_take_can_be_taken_back() -> None:
    shard = Shard("account", Lifecycle.ENTITY, 10)
    shard.snapshot(*range(1, 10))

    list(shard.absence.judge(NOON, NOON + 1))
    shard.state.rollback()

    assert shard.kind.table[10] == (b"v10", 7, 8)


def test_a_key_met_live_is_not_absent() -> None:
    shard = Shard("account", Lifecycle.ENTITY, 10)
    shard.snapshot(*range(1, 10), live=(10,))

    assert shard.judge() == []


@pytest.mark.parametrize("lifecycle", [Lifecycle.REFERENCE, Lifecycle.STREAM])
def test_reference_data_and_streams_are_kept(lifecycle: Lifecycle) -> None:
    shard = Shard("product", lifecycle, 10)
    shard.snapshot(*range(1, 10))

    assert shard.judge() == []


def test_a_missing_list_says_nothing() -> None:
    shard = Shard("account", Lifecycle.ENTITY, 10)
    shard.snapshot(listed=False)

    assert shard.judge() == []


def test_a_type_that_was_not_asked_for_says_nothing() -> None:
    shard = Shard("account", Lifecycle.ENTITY, 10, requested=False)
    shard.snapshot(*range(1, 10))

    assert shard.judge() == []


def test_an_empty_list_is_not_believed_at_once_however_small_the_table() -> None:
    shard = Shard("account", Lifecycle.ENTITY, 1)
    shard.snapshot()

    (verdict,) = shard.judge()

    assert (verdict.deleted, verdict.held) == ([], {"account": 1})
    assert 1 in shard.kind.table


def test_too_many_at_once_are_held_until_the_next_snapshot_agrees() -> None:
    shard = Shard("account", Lifecycle.ENTITY, 10)
    shard.snapshot(1, 2, 3, 4, 5, 6)

    (held,) = shard.judge()
    shard.snapshot(1, 2, 3, 4, 5, 6, 7)
    (released,) = shard.judge()

    assert (held.deleted, held.held) == ([], {"account": 4})
    assert (ids([released]), released.released) == ([8, 9, 10], {"account": 3})
    assert 7 in shard.kind.table, "it appeared again, so what was held of it is forgotten"


def test_a_snapshot_without_the_list_releases_nothing() -> None:
    shard = Shard("account", Lifecycle.ENTITY, 10)
    shard.snapshot(1, 2, 3, 4, 5, 6)
    shard.judge()
    shard.snapshot(listed=False)

    assert shard.judge() == []
    assert len(shard.kind.table) == 10


def test_session_entities_are_archived_only_after_a_roll() -> None:
    shard = Shard("order", Lifecycle.SESSION, 5)
    shard.snapshot()

    assert shard.judge(NOON, NOON + 60_000) == []
    (verdict,) = shard.judge(NOON, NEXT_NOON)

    assert verdict.archived == [("order", number) for number in range(1, 6)]
    assert (verdict.deleted, verdict.held, len(shard.kind.table)) == ([], {}, 0)


def test_without_an_earlier_judgement_nothing_is_archived() -> None:
    shard = Shard("order", Lifecycle.SESSION, 5)
    shard.snapshot()

    assert shard.judge(None, NEXT_NOON) == []


@pytest.mark.parametrize(
    ("from_ms", "to_ms", "rolled"),
    [
        (central(17, 15, 59), central(17, 16, 1), True),
        (central(17, 16, 1), central(18, 15, 59), False),
        (central(17, 16, 0), central(17, 16, 1), False),
        (central(20, 16, 1), central(22, 23), False),  # Friday after the roll until Sunday night
        (central(20, 15), central(20, 17), True),
        (central(2, 12), central(30, 12), True),
        (central(17, 12), central(17, 12), False),
    ],
)
def test_the_session_rolls_at_four_in_the_afternoon_in_chicago_on_trading_days(
    from_ms: int, to_ms: int, rolled: bool
) -> None:
    assert rolled_between(from_ms, to_ms) is rolled


def test_the_roll_follows_daylight_saving() -> None:
    """On 8 March 2027 clocks have gone forward: 16:00 in Chicago is 21:00 UTC, the Friday before it was 22:00."""
    summer = round(datetime(2027, 3, 15, 21, 0, tzinfo=ZoneInfo("UTC")).timestamp() * 1000)
    winter = round(datetime(2027, 3, 12, 22, 0, tzinfo=ZoneInfo("UTC")).timestamp() * 1000)

    assert rolled_between(summer - 1, summer)
    assert rolled_between(winter - 1, winter)
    assert not rolled_between(winter - 3_600_000, winter - 1)
