from __future__ import annotations

import orjson

from bridge.simulator.ledger import LOAD_FRAMES, Kind, Ledger, change_line, delivery_lines, session_line
from bridge.simulator.load import LoadStream, keys
from bridge.simulator.population import Account
from bridge.simulator.sharding import Subscription
from bridge.simulator.store import Change

CREATED = Change(1, 5, "order", "Created", 600, 4, 8, b'{"id":600}')
UPDATED = Change(2, 6, "order", "Updated", 600, 4, 8, b'{"id":600,"x":1}')
GONE = Change(3, 7, "order", "Deleted", 600, 4, 8, b'{"id":600,"x":1}')


def test_the_state_is_what_is_alive() -> None:
    ledger = Ledger()
    ledger.record([CREATED, UPDATED])
    assert list(ledger.state()) == [UPDATED]
    ledger.record([GONE])
    assert list(ledger.state()) == []
    assert list(ledger.events()) == [CREATED, UPDATED, GONE]


def test_what_was_sent_is_kept_apart_from_what_happened() -> None:
    ledger = Ledger()
    ledger.record([CREATED, UPDATED, GONE])
    log = ledger.open(9, Subscription(None, "modAccountId", 4, 0), 100)
    log.delivered([CREATED], Kind.SNAPSHOT, 100)
    log.delivered([UPDATED], Kind.EVENT, 200)
    log.delivered([UPDATED], Kind.AGAIN, 210)
    log.delivered([], Kind.EVENT, 250)
    log.delivered([GONE, CREATED], Kind.WITHHELD, 300)
    counts = ledger.counts()
    assert (counts["versions"], counts["entities"], counts["rows_sent"], counts["events_sent"]) == (3, 0, 1, 2)
    lines = [orjson.loads(line) for line in delivery_lines(log)]
    assert lines == [
        [9, 1, 100, 0, 1], [9, 2, 200, 1, 2], [9, 2, 210, 2, 3], [9, 3, 300, 3, 5], [9, 1, 300, 3, 5],
    ]  # fmt: skip


def test_the_longest_pause_between_two_heartbeats_is_kept() -> None:
    log = Ledger().open(9, Subscription(None), 100)
    for now_us in (5_000, 7_500, 10_400, 12_900):
        log.beaten(now_us)
    line = orjson.loads(session_line(log))
    assert (line["heartbeats"], line["longest_pause_us"]) == (4, 2_900)


def test_lines() -> None:
    line = orjson.loads(change_line(UPDATED))
    assert line == {
        "n": 2, "at_ms": 6, "type": "order", "event": "Updated", "id": 600, "account": 4, "user": 8, "known": True,
        "entity": {"id": 600, "x": 1},
    }  # fmt: skip
    ledger = Ledger()
    log = ledger.open(9, Subscription(frozenset({"order", "fill"}), "modUserId", 4, 3), 100)
    line = orjson.loads(session_line(log))
    assert line["types"] == ["fill", "order"]
    assert (line["remainder"], line["expression"], line["synced_us"], line["ended_us"]) == (3, "modUserId", 100, 0)


def test_load_stands_in_the_ledger_as_if_it_had_been_recorded() -> None:
    ledger = Ledger()
    log = ledger.open(1, Subscription(None), 0)
    stream = LoadStream(keys([Account(4, 8, 1)], None, 6, 0), 3, 1000)
    log.load.append(stream)
    stream.take(3, 5_000_000)
    assert ledger.counts()["versions"] == 9
    assert ledger.counts()["events_sent"] == 9
    assert [c.number for c in ledger.events()] == list(range(1001, 1010))
    assert [orjson.loads(line) for line in delivery_lines(log)][-4:] == [
        [1, 1006, 5_000_000, 1, LOAD_FRAMES + 1],
        *([1, number, 5_000_000, 1, LOAD_FRAMES + 2] for number in (1007, 1008, 1009)),
    ]
