"""Audits beside a stream: nothing is repaired that was not lost, and everything that was lost is repaired."""

from __future__ import annotations

from random import Random
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
from tests.property.wire import seeded

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


SEEDS = st.integers(0, 2**32)


def happenings(rng: Random, *, lossless: bool) -> list[Happening]:
    """Few keys, often touched, with rests."""
    tick, found = 0, []
    for _ in range(60):
        tick += rng.choice([0, 0, 1, 1, 2, 6])
        amount = rng.choice([None, 0.0, 1.0, 2.0])
        lost = not lossless and rng.random() < 0.3
        found.append(Happening(tick, rng.randint(1, 5), amount, rng.randint(0, AFTER), lost))
    return found


def looks(rng: Random) -> list[Look]:
    return [Look(rng.randint(1, 4), rng.randint(0, BEFORE), rng.randint(0, 3)) for _ in range(8)]


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


@settings(max_examples=40)
@given(SEEDS)
def test_where_nothing_is_lost_nothing_is_repaired(seed: int) -> None:
    rng = seeded(seed)
    shard = Shard(happenings(rng, lossless=True))
    for look in looks(rng):
        assert shard.audit(look) == 0


@settings(max_examples=40)
@given(SEEDS)
def test_two_audits_after_a_loss_everything_is_right(seed: int) -> None:
    rng = seeded(seed)
    shard = Shard(happenings(rng, lossless=False))
    for look in looks(rng):
        shard.audit(look)
    shard.now = max([shard.now, *(each.tick + AFTER for each in shard.happenings)])
    shard.until(shard.now)
    for _ in range(2):
        shard.audit(Look(1, 0, 0))

    assert shard.published() == encoded(shard.world(shard.now))
    assert shard.audit(Look(1, 0, 0)) == 0
