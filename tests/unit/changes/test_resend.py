from __future__ import annotations

import itertools
from datetime import datetime
from zoneinfo import ZoneInfo

from bridge.changes.resend import CONTENTS, Past
from bridge.changes.state import PublishedState
from bridge.entities.catalogue import CATALOGUE
from bridge.entities.change import CREATE, LIVE, RECONCILE, UPDATE, Change

ROLL = round(datetime(2026, 11, 17, 16, tzinfo=ZoneInfo("America/Chicago")).timestamp() * 1000)
BEFORE, NEAR, AFTER = ROLL - 7_200_000, ROLL + 60_000, ROLL + 7_200_000


def update(before: bytes, after: bytes, *, number: int = 1, name: str = "order", snapshot: str = LIVE) -> Change:
    return (name, number, UPDATE, before, after, None, None, None, snapshot)


def create(after: bytes, *, number: int = 1) -> Change:
    return ("order", number, CREATE, None, after, None, None, None, LIVE)


def past() -> Past:
    return Past(PublishedState(CATALOGUE), ["order"])


def flags(made: Past, *changes: Change, now_ms: int = NEAR) -> list[tuple[bool, int]]:
    return [(again, len(run)) for again, run in made.runs(list(changes), now_ms)]


def test_changes_stay_in_order_in_runs_that_are_sent_again_or_not() -> None:
    made = past()
    assert flags(made, create(b"a"), update(b"a", b"b"), now_ms=BEFORE) == [(False, 2)]
    changes = [update(b"b", b"a"), update(b"a", b"b"), create(b"x", number=2), update(b"b", b"a")]

    assert flags(made, *changes) == [(True, 2), (False, 1), (True, 1)]


def test_other_types_and_rows_of_snapshots_are_never_flagged() -> None:
    made = past()
    flags(made, update(b"a", b"b"), update(b"a", b"b", name="position"), now_ms=BEFORE)

    assert flags(made, update(b"b", b"a", name="position"), update(b"b", b"a", snapshot=RECONCILE)) == [(False, 2)]


def test_so_many_contents_of_a_key_are_remembered() -> None:
    made = past()
    values = [b"%d" % n for n in range(CONTENTS + 2)]
    flags(made, *(update(a, b) for a, b in itertools.pairwise(values)), now_ms=BEFORE)

    assert flags(made, update(values[-1], values[0])) == [(False, 1)]
    assert flags(made, update(values[0], values[5])) == [(True, 1)]


def test_nothing_is_forgotten_in_a_flood() -> None:
    made = past()
    flags(made, update(b"a", b"b"), now_ms=BEFORE)
    for number in range(2, 10_000):
        made.runs([create(b"a", number=number)], BEFORE)

    assert flags(made, update(b"b", b"a")) == [(True, 1)]


def test_what_was_archived_is_forgotten_when_trading_goes_on() -> None:
    made = past()
    made.runs([], BEFORE)
    made.archived([("order", 1)])
    assert flags(made, create(b"a")) == [(True, 1)]
    made.runs([], AFTER)
    assert flags(made, create(b"a"), now_ms=NEAR + 86_400_000) == [(False, 1)]


def test_when_a_key_was_seen_last_is_known() -> None:
    made = past()
    made.runs([create(b"a")], BEFORE)
    assert made.seen_since("order", 1, BEFORE)
    assert not made.seen_since("order", 1, BEFORE + 1)
    assert not made.seen_since("order", 2, BEFORE)
