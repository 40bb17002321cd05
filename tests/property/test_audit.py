"""Audits beside a stream: nothing is repaired that was not lost, and everything that was lost is repaired."""

from __future__ import annotations

from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.app.shards import kinds
from bridge.changes.absence import Absence, Brake
from bridge.changes.audit import Audit, Auditor
from bridge.changes.held import HeldKeys
from bridge.changes.reconciler import Row
from bridge.changes.resend import Past
from bridge.changes.state import PublishedState
from bridge.entities import schemas
from bridge.entities.catalogue import CATALOGUE
from tests.implementations import ENCODERS, RECONCILERS

TYPE = "cashBalance"
BEFORE, AFTER = 3, 2
"""Ticks: how far a snapshot may be behind the stream, and the stream behind a snapshot."""
NOON = 1_772_366_400_000
ENCODER = {TYPE: ENCODERS[-1](TYPE, schemas.value_schema(TYPE))}
World = dict[int, float]
ALWAYS = (9, 5.0)
"""A list that is empty is not believed at once, which is not what is shown here."""


class Happening(NamedTuple):
    """Something that happens to a key at a tick; None deletes it. It is shown so many ticks later, or never."""

    tick: int
    key: int
    amount: float | None
    delay: int
    lost: bool


class Look(NamedTuple):
    """An audit: how long after the one before, how old its snapshot is, how long that takes."""

    pause: int
    lag: int
    takes: int


EVENTS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.integers(1, 4),
        st.one_of(st.none(), st.sampled_from([0.0, 1.0, 2.0])),
        st.integers(0, AFTER),
        st.booleans(),
    ),
    max_size=25,
)
LOOKS = st.lists(st.builds(Look, st.integers(1, 6), st.integers(0, BEFORE), st.integers(0, 3)), max_size=4)


class Shard:
    """One shard whose socket shows what happens late, and an auditor."""

    def __init__(self, happenings: list[Happening]) -> None:
        self.state = PublishedState(CATALOGUE)
        self.kinds = kinds(self.state, ENCODER, "modAccountId")
        self.reconciler = RECONCILERS[-1](
            self.state, self.kinds, divisor=1, remainder=0, foreign="auto", max_value_bytes=10**6
        )
        self.reconciler.open_session(initial=True)
        past, held = Past(self.state, []), HeldKeys()
        absence = Absence(self.state, held, past, self.kinds, [TYPE], Brake(0.0, least=100))
        self.auditor = Auditor(self.state, held, past, absence, self.reconciler)
        self.waiting, arrives = [], 0
        for each in happenings:
            arrives = max(arrives, each.tick + each.delay)
            self.waiting.append((arrives, each))
        self.happenings, self.watching, self.now = happenings, None, 0
        self.reconciler.apply([(TYPE, None, [entity(*ALWAYS)], "cashBalances", True)])

    waiting: list[tuple[int, Happening]]
    watching: Audit | None

    def until(self, tick: int) -> None:
        """All that arrives up to a tick is applied, and seen if an audit is near."""
        while self.waiting and self.waiting[0][0] <= tick:
            _, each = self.waiting.pop(0)
            if not each.lost:
                rows = [event(each)]
                self.reconciler.apply(rows)
                if self.watching is not None:
                    self.watching.see(rows)

    def world(self, tick: int) -> World:
        """What there is at a tick."""
        found = dict([ALWAYS])
        for each in self.happenings:
            if each.tick <= tick and each.amount is None:
                found.pop(each.key, None)
            elif each.tick <= tick and each.amount is not None:
                found[each.key] = each.amount
        return found

    def audit(self, look: Look) -> int:
        """One audit from its beginning to its end; how much it repaired."""
        begins = self.now + look.pause
        self.until(begins - 1)
        synced = begins + BEFORE
        self.watching = Audit(self.kinds, self.reconciler, session=1, began_ms=0, max_value_bytes=10**6)
        self.until(synced + look.takes)
        rows = [entity(*each) for each in self.world(synced - look.lag).items()]
        self.watching.take([(TYPE, None, rows, "cashBalances", True)], exact=False)
        self.now = synced + look.takes + AFTER
        self.until(self.now)
        for _ in self.auditor.differences(self.watching, self.watching.cut()):
            pass
        for _ in self.auditor.absences(self.watching, NOON, NOON):
            pass
        repaired, self.watching = self.watching.repaired, None
        return repaired

    def published(self) -> dict[int, bytes]:
        return {number: entry[0] for number, entry in self.state.tables[TYPE].items()}


def entity(key: int, amount: float) -> dict[str, Any]:
    return {"id": key, "accountId": 7, "amount": amount}


def event(each: Happening) -> Row:
    if each.amount is None:
        return TYPE, "Deleted", [{"id": each.key}], None, False
    return TYPE, "Updated", [entity(each.key, each.amount)], None, False


def encoded(world: World) -> dict[int, bytes]:
    return {key: ENCODER[TYPE].encode(entity(key, amount))[0] for key, amount in world.items()}


def happenings(drawn: list[Any], *, lossless: bool) -> list[Happening]:
    tick, found = 0, []
    for pause, key, amount, delay, lost in drawn:
        tick += pause
        found.append(Happening(tick, key, amount, delay, lost and not lossless))
    return found


@settings(max_examples=60)
@given(EVENTS, LOOKS)
def test_where_nothing_is_lost_nothing_is_repaired(drawn: list[Any], looks: list[Look]) -> None:
    shard = Shard(happenings(drawn, lossless=True))
    for look in looks:
        assert shard.audit(look) == 0


@settings(max_examples=60)
@given(EVENTS, LOOKS)
def test_two_audits_after_a_loss_everything_is_right(drawn: list[Any], looks: list[Look]) -> None:
    shard = Shard(happenings(drawn, lossless=False))
    for look in looks:
        shard.audit(look)
    shard.now = max([shard.now, *(each.tick + AFTER for each in shard.happenings)])
    shard.until(shard.now)
    for _ in range(2):
        shard.audit(Look(1, 0, 0))

    assert shard.published() == encoded(shard.world(shard.now))
    assert shard.audit(Look(1, 0, 0)) == 0
