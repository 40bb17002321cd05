from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from bridge.changes.absence import Absence, Brake, Verdict
from bridge.changes.held import HeldKeys
from bridge.changes.kind import Kind
from bridge.changes.resend import Past
from bridge.changes.state import PublishedState
from bridge.entities import schemas
from bridge.entities.catalogue import CATALOGUE, Lifecycle
from bridge.entities.change import LIVE
from bridge.entities.encoder import Encoder

CENTRAL = ZoneInfo("America/Chicago")


def central(day: int, hour: int, minute: int = 0) -> int:
    """A moment in November 2026 (the 16th is a Monday), Chicago time, in epoch milliseconds."""
    return round(datetime(2026, 11, day, hour, minute, tzinfo=CENTRAL).timestamp() * 1000)


NOON, NEXT_NOON = central(17, 12), central(18, 12)


def kind(state: PublishedState, name: str, lifecycle: Lifecycle) -> Kind:
    encoder = Encoder(name, schemas.value_schema(name))
    return Kind(name, encoder, state.tables[name], None, None, None, None, None, lifecycle)


class Shard:
    """A published state and one type's kind, as a session leaves them; of other types one key, which is always seen."""

    def __init__(
        self, name: str, lifecycle: Lifecycle, published: int, *, requested: bool = True, others: tuple[str, ...] = ()
    ) -> None:
        self.state = PublishedState(CATALOGUE)
        table = self.state.tables[name]
        for number in range(1, published + 1):
            table[number] = (b"v%d" % number, 7, 8)
        self.held = HeldKeys()
        self.kind = kind(self.state, name, lifecycle)
        self.others = {other: kind(self.state, other, CATALOGUE[other].lifecycle) for other in others}
        for other in self.others.values():
            other.table[1] = (b"v", None, None)
            other.seen, other.listed = {1}, True
        kinds = {name: self.kind, **self.others}
        self.past = Past(self.state, [name] if lifecycle is Lifecycle.SESSION else [])
        self.absence = Absence(
            self.state, self.held, self.past, kinds, set(kinds) if requested else set(), Brake(0.3, least=2)
        )

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

    (verdict,) = shard.judge(now_ms=NOON)

    assert (verdict.deleted, verdict.held, verdict.cause) == ([], [("account", 1)], "empty_list")
    assert (verdict.since_ms, shard.held.of("account")) == (NOON, {1: NOON})
    assert 1 in shard.kind.table


def test_too_many_at_once_are_held_until_the_next_snapshot_agrees() -> None:
    shard = Shard("account", Lifecycle.ENTITY, 10)
    shard.snapshot(1, 2, 3, 4, 5, 6)

    (held,) = shard.judge()
    shard.snapshot(1, 2, 3, 4, 5, 6, 7)
    (appeared,) = shard.absence.appeared()
    (released,) = shard.judge()

    assert (held.deleted, held.held, held.cause) == ([], [("account", n) for n in (7, 8, 9, 10)], "share")
    assert (appeared.released, appeared.deleted, appeared.cause) == ([("account", 7)], [], "appeared")
    assert (ids([released]), released.cause) == ([8, 9, 10], "agreed")
    assert sorted(released.released) == [("account", 8), ("account", 9), ("account", 10)]
    assert 7 in shard.kind.table
    assert not shard.held


def test_what_a_second_snapshot_lacks_in_addition_is_held_for_itself() -> None:
    shard = Shard("account", Lifecycle.ENTITY, 10)
    shard.snapshot(1, 2, 3, 4, 5, 6)
    shard.judge()
    shard.snapshot(1)

    released, held = shard.judge()

    assert (ids([released]), released.held) == ([7, 8, 9, 10], [])
    assert ([number for _, number in held.held], held.deleted) == ([2, 3, 4, 5, 6], [])


@pytest.mark.parametrize("lists", [(), ("order",)], ids=["its own list is missing", "another list is missing"])
def test_a_snapshot_that_lacks_a_list_releases_nothing(lists: tuple[str, ...]) -> None:
    shard = Shard("account", Lifecycle.ENTITY, 10, others=("order",))
    shard.snapshot(1, 2, 3, 4, 5, 6)
    shard.judge()
    if lists:
        shard.others["order"].listed = False
    else:
        shard.snapshot(listed=False)

    assert shard.judge() == []
    assert len(shard.kind.table) == 10
    assert len(shard.held.of("account")) == 4


def test_a_snapshot_that_lacks_a_list_it_should_have_is_taken_for_cut_off() -> None:
    """One key would be deleted at once; but where a whole list is missing, its end may be missing too."""
    shard = Shard("account", Lifecycle.ENTITY, 10, others=("product",))
    shard.others["product"].listed = False
    shard.snapshot(*range(1, 10))

    (first,) = shard.judge()
    shard.snapshot(*range(1, 10))
    (second,) = shard.judge()

    assert (first.deleted, first.held, first.cause) == ([], [("account", 10)], "incomplete")
    assert (ids([second]), second.cause) == ([10], "agreed"), "the same list is missing again: it is no longer sent"


def test_after_a_roll_session_lists_may_be_missing() -> None:
    shard = Shard("account", Lifecycle.ENTITY, 10, others=("order",))
    shard.others["order"].listed = False
    shard.snapshot(*range(1, 10))

    assert ids(shard.judge(NOON, NEXT_NOON)) == [10]


def test_a_cut_off_snapshot_archives_nothing() -> None:
    shard = Shard("order", Lifecycle.SESSION, 5, others=("product",))
    shard.others["product"].listed = False
    shard.snapshot()

    assert shard.judge(NOON, NEXT_NOON) == []


@pytest.mark.parametrize("live", [True, False], ids=["live", "in a snapshot"])
def test_a_held_key_that_appears_again_is_forgotten(live: bool) -> None:
    shard = Shard("account", Lifecycle.ENTITY, 10)
    shard.snapshot(1)
    shard.judge()
    (shard.kind.live if live else shard.kind.seen).add(5)

    (verdict,) = shard.absence.appeared()

    assert (verdict.released, verdict.deleted, verdict.cause) == ([("account", 5)], [], "appeared")
    assert list(shard.absence.appeared()) == []
    assert 5 not in shard.held.of("account")
    assert 6 in shard.held.of("account")


def test_held_deletions_can_be_confirmed_one_by_one_or_all() -> None:
    shard = Shard("account", Lifecycle.ENTITY, 10)
    shard.snapshot(1)
    shard.judge()

    (one,) = shard.absence.decide(confirm=True, entity_type="account", numbers=[3, 77])
    (rest,) = shard.absence.decide(confirm=True, entity_type=None, numbers=())

    assert (ids([one]), one.released, one.cause) == ([3], [("account", 3)], "confirmed")
    assert ids([rest]) == [2, 4, 5, 6, 7, 8, 9, 10]
    assert (set(shard.kind.table), bool(shard.held)) == ({1}, False)


def test_held_deletions_can_be_discarded_and_begin_anew() -> None:
    shard = Shard("account", Lifecycle.ENTITY, 10)
    shard.snapshot(1)
    shard.judge()

    (verdict,) = shard.absence.decide(confirm=False, entity_type=None, numbers=())
    shard.snapshot(1)
    (again,) = shard.judge()

    assert (verdict.deleted, len(verdict.released), verdict.cause) == ([], 9, "discarded")
    assert (again.deleted, len(again.held), len(shard.kind.table)) == ([], 9, 10)


def test_a_decision_about_another_type_or_key_does_nothing() -> None:
    shard = Shard("account", Lifecycle.ENTITY, 10)
    shard.snapshot(1)
    shard.judge()

    assert list(shard.absence.decide(confirm=True, entity_type="position", numbers=())) == []
    assert list(shard.absence.decide(confirm=True, entity_type="account", numbers=[77])) == []


def test_a_held_key_that_was_deleted_meanwhile_gives_no_second_deletion() -> None:
    shard = Shard("account", Lifecycle.ENTITY, 10)
    shard.snapshot(1)
    shard.judge()
    del shard.kind.table[4]

    (verdict,) = shard.absence.decide(confirm=True, entity_type=None, numbers=[4])

    assert (verdict.deleted, verdict.released) == ([], [("account", 4)])


def test_session_entities_are_archived_only_after_a_roll() -> None:
    shard = Shard("order", Lifecycle.SESSION, 5)
    shard.snapshot()

    assert shard.judge(NOON, NOON + 60_000) == []
    (verdict,) = shard.judge(NOON, NEXT_NOON)

    assert verdict.archived == [("order", number) for number in range(1, 6)]
    assert (verdict.deleted, verdict.held, len(shard.kind.table)) == ([], [], 0)


def test_what_was_seen_after_the_roll_belongs_to_the_new_session() -> None:
    shard = Shard("order", Lifecycle.SESSION, 3)
    for number, at_ms in ((1, central(17, 15)), (2, central(17, 16, 30)), (3, central(17, 18))):
        shard.past.runs([("order", number, "u", b"a", b"b", None, None, None, LIVE)], at_ms)
    shard.snapshot()

    (verdict,) = shard.judge(NOON, NEXT_NOON)

    assert verdict.archived == [("order", 1), ("order", 2)]


def test_without_an_earlier_judgement_nothing_is_archived() -> None:
    shard = Shard("order", Lifecycle.SESSION, 5)
    shard.snapshot()

    assert shard.judge(None, NEXT_NOON) == []
