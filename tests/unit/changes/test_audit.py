from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from bridge.app.shards import kinds
from bridge.changes.absence import Absence, Brake, Verdict
from bridge.changes.audit import Audit, Auditor
from bridge.changes.held import HeldKeys
from bridge.changes.reconciler import Found, Row
from bridge.changes.resend import Past
from bridge.changes.state import PublishedState
from bridge.entities import schemas
from bridge.entities.catalogue import CATALOGUE, Lifecycle
from bridge.entities.exact import Inexact
from tests.implementations import ENCODERS, RECONCILERS
from tests.unit.changes.test_absence import NEXT_NOON, NOON

TYPE, LIST = "cashBalance", "cashBalances"
MOST_BYTES = 900 * 1024
ALL = [{name: each(name, schemas.value_schema(name)) for name in CATALOGUE} for each in ENCODERS]


class Shard:
    """A shard of cash balances and orders, connected, and audited again and again."""

    def __init__(self, which: int, *, foreign: Any = "auto") -> None:
        self.state = PublishedState(CATALOGUE)
        self.kinds = kinds(self.state, ALL[which], "modAccountId")
        self.reconciler = RECONCILERS[which](
            self.state, self.kinds, divisor=2, remainder=1, foreign=foreign, max_value_bytes=MOST_BYTES
        )
        self.held = HeldKeys()
        self.past = Past(self.state, [n for n, kind in self.kinds.items() if kind.lifecycle is Lifecycle.SESSION])
        self.absence = Absence(self.state, self.held, self.past, self.kinds, list(CATALOGUE), Brake(0.3, least=2))
        self.auditor = Auditor(self.state, self.held, self.past, self.absence, self.reconciler)
        self.session = 1
        self.now_ms = NOON
        self.reconciler.open_session(initial=True)

    def apply(self, *rows: Row) -> Found:
        return self.reconciler.apply(list(rows))

    def audit(self, *rows: Row, seen: Iterable[Row] = ()) -> tuple[Audit, list[Verdict]]:
        """One audit from its beginning to its end; `seen` is what either socket shows meanwhile."""
        audit = Audit(
            self.kinds, self.reconciler, session=self.session, began_ms=self.now_ms, max_value_bytes=MOST_BYTES
        )
        audit.take(rows, exact=False)
        audit.see(seen)
        return audit, self.judge(audit)

    def judge(self, audit: Audit) -> list[Verdict]:
        self.now_ms += 900_000
        verdicts = list(self.auditor.differences(audit, audit.cut()))
        verdicts += self.auditor.absences(audit, NOON, self.now_ms)
        self.state.begin()
        return verdicts


@pytest.fixture(params=range(len(ENCODERS)), ids=[each.__name__ for each in ENCODERS])
def shard(request: pytest.FixtureRequest) -> Shard:
    return Shard(request.param)


def balance(number: int, amount: float = 1.0, account: int = 7) -> dict[str, Any]:
    return {"id": number, "accountId": account, "amount": amount}


def snapshot(*entities: dict[str, Any], entity_type: str = TYPE, list_name: str = LIST) -> Row:
    return entity_type, None, list(entities), list_name, True


def live(*entities: dict[str, Any], entity_type: str = TYPE) -> Row:
    return entity_type, "Updated", list(entities), None, False


def changed(verdicts: list[Verdict]) -> list[tuple[Any, ...]]:
    """Id, op and the word in `source.snapshot`."""
    return [(change[1], change[2], change[-1]) for verdict in verdicts for change in verdict.changes]


BALANCES = [balance(number) for number in range(1, 11)]


def test_what_is_as_published_is_left_alone(shard: Shard) -> None:
    shard.apply(snapshot(*BALANCES))
    audit, verdicts = shard.audit(snapshot(*BALANCES))

    assert (verdicts, audit.rows, audit.repaired, audit.differing_bytes) == ([], 10, 0, 0)


def test_what_the_socket_has_not_shown_is_repaired_and_says_so(shard: Shard) -> None:
    shard.apply(snapshot(*BALANCES))
    audit, verdicts = shard.audit(snapshot(balance(1, 2.0), *BALANCES[1:], balance(11)))

    assert changed(verdicts) == [(1, "u", "audit"), (11, "c", "audit")]
    assert [verdict.cause for verdict in verdicts] == ["differed"]
    assert audit.repaired == 2
    update = verdicts[0].changes[0]
    assert update[3] != update[4] == shard.kinds[TYPE].table[1][0]
    assert update[6] == 7
    assert shard.audit(snapshot(balance(1, 2.0), *BALANCES[1:], balance(11)))[1] == []


def test_what_either_socket_shows_near_the_audit_is_left_out(shard: Shard) -> None:
    shard.apply(snapshot(*BALANCES))
    rows = snapshot(balance(1, 2.0), *BALANCES[2:])
    seen = [live(balance(1, 3.0)), (TYPE, "Deleted", [{"id": 2}], None, False)]

    for _ in range(3):
        audit, verdicts = shard.audit(rows, seen=seen)
        assert (verdicts, audit.left_out) == ([], 1)


def test_a_row_that_has_become_true_meanwhile_is_no_loss(shard: Shard) -> None:
    shard.apply(snapshot(*BALANCES))
    audit = Audit(shard.kinds, shard.reconciler, session=1, began_ms=NOON, max_value_bytes=MOST_BYTES)
    audit.take([snapshot(balance(1, 2.0), *BALANCES[1:])], exact=False)
    shard.apply(live(balance(1, 2.0)))

    assert shard.judge(audit) == []


def test_a_key_is_missing_only_if_two_audits_in_a_row_lack_it(shard: Shard) -> None:
    shard.apply(snapshot(*BALANCES))

    assert shard.audit(snapshot(*BALANCES[1:]))[1] == []
    assert shard.audit(snapshot(*BALANCES[:-1]))[1] == []
    assert shard.audit(snapshot(*BALANCES))[1] == []
    assert shard.audit(snapshot(*BALANCES[1:]))[1] == []
    audit, verdicts = shard.audit(snapshot(*BALANCES[1:]))
    assert (changed(verdicts), verdicts[0].cause, audit.repaired) == ([(1, "d", "audit")], "vanished", 1)
    assert 1 not in shard.kinds[TYPE].table


def test_a_key_that_changed_between_two_audits_was_there(shard: Shard) -> None:
    shard.apply(snapshot(*BALANCES))
    shard.audit(snapshot(*BALANCES[1:]))
    shard.apply(live(balance(1, 5.0)))

    assert shard.audit(snapshot(*BALANCES[1:]))[1] == []


def test_audits_of_different_sessions_are_not_in_a_row(shard: Shard) -> None:
    shard.apply(snapshot(*BALANCES))
    shard.audit(snapshot(*BALANCES[1:]))
    shard.session += 1

    assert shard.audit(snapshot(*BALANCES[1:]))[1] == []


def test_an_audit_is_void_when_its_session_is_over(shard: Shard) -> None:
    shard.apply(snapshot(*BALANCES))
    audit = Audit(shard.kinds, shard.reconciler, session=1, began_ms=NOON, max_value_bytes=MOST_BYTES)
    audit.take([snapshot(balance(1, 2.0))], exact=False)
    audit.void = True

    assert shard.judge(audit) == []
    assert shard.kinds[TYPE].table.keys() == set(range(1, 11))


def test_a_snapshot_without_a_list_that_the_session_had_says_nothing_of_what_is_missing(shard: Shard) -> None:
    shard.apply(snapshot(*BALANCES), snapshot({"id": 7}, entity_type="account", list_name="accounts"))

    for _ in range(3):
        assert shard.audit(snapshot(*BALANCES[1:]))[1] == []


def test_too_much_that_is_missing_is_held_until_another_audit_agrees_and_let_go_when_it_is_seen(shard: Shard) -> None:
    shard.apply(snapshot(*BALANCES))
    shard.audit(snapshot(*BALANCES[4:]))
    _, (held,) = shard.audit(snapshot(*BALANCES[4:]))

    assert (held.cause, held.held) == ("share", [(TYPE, n) for n in (1, 2, 3, 4)])
    assert list(shard.absence.appeared()) == [], "the session's own snapshot is no sign of life any more"
    _, verdicts = shard.audit(snapshot(*BALANCES[3:]))
    assert [(v.cause, len(v.changes)) for v in verdicts] == [("appeared", 0), ("agreed", 3)]
    assert changed(verdicts) == [(n, "d", "audit") for n in (1, 2, 3)]
    assert not shard.held


def test_an_empty_list_is_held(shard: Shard) -> None:
    shard.apply(snapshot(*BALANCES[:1]))
    shard.audit(snapshot())
    _, (verdict,) = shard.audit(snapshot())

    assert verdict.cause == "empty_list"


@pytest.mark.parametrize("entity_type", ["product", "order"])
def test_reference_data_and_orders_of_the_session_are_kept(shard: Shard, entity_type: str) -> None:
    row = snapshot({"id": 1}, entity_type=entity_type, list_name=f"{entity_type}s")
    empty = snapshot(entity_type=entity_type, list_name=f"{entity_type}s")
    shard.apply(row)

    for _ in range(3):
        assert shard.audit(empty)[1] == []


def test_orders_are_archived_after_the_roll_but_not_those_that_an_audit_has_seen_since(shard: Shard) -> None:
    def orders(*numbers: int) -> Row:
        return snapshot(*({"id": n, "accountId": 7} for n in numbers), entity_type="order", list_name="orders")

    shard.apply(orders(1, 2))
    shard.now_ms = NEXT_NOON
    shard.audit(orders(2))
    _, (verdict,) = shard.audit(orders(2))
    assert (verdict.archived, verdict.changes) == ([("order", 1)], [])

    for _ in range(3):
        assert shard.audit(orders())[1] == [], "order 2 was there after the roll"


def test_rows_of_other_shards_are_left_out_and_so_are_those_that_do_not_name_their_owner(shard: Shard) -> None:
    shard.apply(snapshot(*BALANCES))
    fill = snapshot({"id": 1, "orderId": 5}, entity_type="fill", list_name="fills")

    assert changed(shard.audit(fill)[1]) == [(1, "c", "audit")]
    again = snapshot({"id": 1, "orderId": 6}, entity_type="fill", list_name="fills")
    audit, verdicts = shard.audit(snapshot(*BALANCES, balance(12, account=8)), again)
    assert (verdicts, audit.left_out) == ([], 1)


def test_foreign_rows_are_compared_where_foreign_events_come_too(shard: Shard) -> None:
    shard.apply(live(balance(1, account=8)))

    assert changed(shard.audit(snapshot(balance(1, 2.0, account=8)))[1]) == [(1, "u", "audit")]


def test_what_cannot_be_published_is_left_alone_and_counts_as_there(shard: Shard) -> None:
    shard.apply(snapshot(*BALANCES))
    deep: Any = {}
    for _ in range(100):
        deep = {"x": deep}
    broken = {**balance(1), "odd": deep}

    for _ in range(3):
        assert shard.audit(snapshot(broken, *BALANCES[1:], {"amount": 1.0}))[1] == []


def test_a_number_that_may_have_been_rounded_is_asked_for_exactly(shard: Shard) -> None:
    audit = Audit(shard.kinds, shard.reconciler, session=1, began_ms=NOON, max_value_bytes=MOST_BYTES)
    with pytest.raises(Inexact):
        audit.take([snapshot(balance(1), {"id": 2, "accountId": 7, "currencyId": 2.0**64})], exact=False)
    audit.take([snapshot(balance(1), {"id": 2, "accountId": 7, "currencyId": 2**64})], exact=True)

    assert sorted(changed(shard.judge(audit))) == [(1, "c", "audit"), (2, "c", "audit")]


def test_a_value_that_is_too_large_is_left_alone(shard: Shard) -> None:
    audit = Audit(shard.kinds, shard.reconciler, session=1, began_ms=NOON, max_value_bytes=10)
    audit.take([snapshot(balance(1))], exact=False)

    assert shard.judge(audit) == []
