"""A small run made by hand: what happened, what was sent, and the records that a right bridge would have written."""

from __future__ import annotations

from dataclasses import replace

import orjson

from bridge.oracle.expectation import Rules
from bridge.oracle.judge import judge
from bridge.oracle.records import Delivery, Key, Kind, Record, Session, Source, Truth, Version
from bridge.oracle.report import Report

SECOND = 1_000_000
DIVISOR = 2


def content(**fields: object) -> bytes:
    return orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)


class Scene:
    """Two shards; each call is one frame. `records` is right until a test spoils it."""

    def __init__(self) -> None:
        self.now = 1_000 * SECOND
        self.versions: dict[int, Version] = {}
        self.sessions = [Session(r + 1, "modAccountId", DIVISOR, r, None, self.now) for r in range(DIVISOR)]
        self.deliveries: list[Delivery] = []
        self.records: list[Record] = []
        self._seq = [0] * DIVISOR
        self._frame = 0
        self.wire_frame = 0
        self._state: dict[tuple[int, Key], bytes] = {}

    def session(self, remainder: int) -> Session:
        return [s for s in self.sessions if s.remainder == remainder][-1]

    def end_session(self, remainder: int, *, clean: bool = False) -> None:
        self.now += SECOND
        ended = self.session(remainder)
        self.sessions[self.sessions.index(ended)] = replace(ended, ended_us=self.now, clean=clean)

    def new_session(self, remainder: int) -> None:
        self.now += SECOND
        number = len(self.sessions) + 1
        self.sessions.append(Session(number, "modAccountId", DIVISOR, remainder, None, self.now))

    def happen(
        self, key: Key, body: bytes | None, account: int | None, *, event: str = "", kind: Kind = Kind.EVENT,
        sent: bool = True, published: bool = True,
    ) -> Version:  # fmt: skip
        """A new version of an entity, sent to its shard (or to both), and recorded."""
        self.now += SECOND
        event = event or ("Deleted" if body is None else "Updated")
        number = len(self.versions) + 1
        version = Version(number, key[0], event, key[1], account, None, body or b"{}", at_ms=self.now // 1000)
        self.versions[number] = version
        if sent:
            self.show(version, kind=kind, published=published)
        return version

    def show(self, version: Version, *, kind: Kind = Kind.EVENT, published: bool = True) -> None:
        """Writes a version to the sockets that want it, and to Kafka what follows from it."""
        self.wire_frame += 1
        wanted = range(DIVISOR) if version.account_id is None else [version.account_id % DIVISOR]
        for remainder in wanted:
            self.deliveries.append(self.delivery(remainder, version, kind))
            if published:
                content = version.content if version.alive else None
                snapshot = "false" if kind != Kind.SNAPSHOT else "reconcile" if len(self.sessions) > DIVISOR else "true"
                self.publish(remainder, version.key, content, snapshot)

    def delivery(self, remainder: int, version: Version, kind: Kind) -> Delivery:
        return Delivery(self.session(remainder).id, version.number, self.now, kind, self.wire_frame)

    def publish(self, partition: int, key: Key, after: bytes | None, snapshot: str = "false") -> None:
        before = self._state.get((partition, key))
        if before == after:
            return
        self._seq[partition] += 1
        self._frame += 1
        seq = self._seq[partition]
        source = Source(snapshot, partition, DIVISOR, 1, seq, self._frame, seq, self.now, False)
        op = "d" if after is None else "c" if before is None else "u"
        self._append(Record(key[0], partition, 0, key[1], op, before, after, source, read_us=self.now + 3000))
        if after is None:
            self.tombstone(partition, key)
        else:
            self._state[partition, key] = after

    def tombstone(self, partition: int, key: Key, *, archived: bool = False) -> None:
        self._state.pop((partition, key), None)
        self._append(Record(key[0], partition, 0, key[1], archived=archived))

    def _append(self, record: Record) -> None:
        self.records.append(replace(record, offset=len(self.records)))

    def spoil(self, index: int, **changes: object) -> None:
        """Alters one record."""
        self.records[index] = replace(self.records[index], **changes)  # type: ignore[arg-type]

    def spoil_source(self, index: int, **changes: object) -> None:
        """Alters one record's source."""
        source = self.records[index].source
        assert source is not None
        self.spoil(index, source=replace(source, **changes))  # type: ignore[arg-type]

    def judged(self, **rules: object) -> Report:
        truth = Truth(self.versions, self.sessions, self.deliveries)
        return judge(self.records, truth, Rules(DIVISOR, **rules))  # type: ignore[arg-type]


def scene() -> Scene:
    """An order's life in shard 0, a position in shard 1, a contract in both, and something deleted."""
    made = Scene()
    for status in ("PendingNew", "Working", "Filled"):
        made.happen(("order", 600), content(id=600, ordStatus=status), 4)
    for net in (1, 3):
        made.happen(("position", 70), content(id=70, netPos=net), 5)
    made.happen(("contract", 1), content(id=1, name="ESZ6"), None)
    made.happen(("userAccountAutoLiq", 4), content(id=4), 4)
    made.happen(("userAccountAutoLiq", 4), None, 4)
    return made


PENDING, WORKING, FILLED, OPENED, ADDED = range(5)
"""Places in `records` of a fresh scene."""
DELETION, TOMBSTONE = 8, 9
