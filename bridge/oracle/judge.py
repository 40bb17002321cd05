"""Judges the records of the entity topics against the ledger. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

import orjson

from bridge.oracle.atomicity import atomicity
from bridge.oracle.continuity import continuity
from bridge.oracle.expectation import Expectations, Expected, Rules
from bridge.oracle.frames import WireFrames
from bridge.oracle.records import Key, Kind, Mark, Record, Source, Truth, Version
from bridge.oracle.report import Report, percentile


def judge(records: list[Record], truth: Truth, rules: Rules, marks: Sequence[Mark] = ()) -> Report:
    """Says what is wrong with the records.

    Args:
        records: all committed records of the entity topics; per topic and partition in the order of their offsets.
        truth: the simulator's ledger.
        rules: how to judge.
        marks: what a reader that polled during the run could read when; without them frames are judged at the end only.
    """
    expectations = Expectations(truth, rules)
    report = Report(events_sent=expectations.events_sent, records_committed=len(records))
    judged = len(expectations.sessions)
    report.sockets = judged, len(truth.sessions) - judged
    latencies: list[float] = []
    frames = WireFrames()
    rows: dict[tuple[int, Key], list[Record]] = defaultdict(list)
    for record in records:
        rows[record.partition, record.key].append(record)
    for (partition, key), some in rows.items():
        _Walk(report, expectations, partition, key, latencies, frames).run(some)
    for partition, key in expectations.entities():
        if (partition, key) not in rows:
            _Walk(report, expectations, partition, key, latencies, frames).run([])
    _sequence(report, records, rules)
    if rules.exactly_once:
        frames.judge(report)
    continuity(report, expectations, records)
    if rules.exactly_once:
        atomicity(report, records, marks, rules)
    report.latency_ms = {"p50": percentile(latencies, 0.50), "p99": percentile(latencies, 0.99)}
    return report


class _Walk:
    """Follows the records of one entity in one partition beside what the sockets showed of it."""

    def __init__(
        self, report: Report, expectations: Expectations, partition: int, key: Key, latencies: list[float],
        frames: WireFrames,
    ) -> None:  # fmt: skip
        self._report = report
        self._all = expectations
        self._partition = partition
        self._key = key
        self._latencies = latencies
        self._frames = frames
        self._shown = expectations.shown(partition, key)
        self._next = 0
        self._state: bytes | None = None
        self._tombstone_due = False

    def run(self, records: list[Record]) -> None:
        """Judges them all, then the end."""
        for record in records:
            if self._tombstone_due and record.op:
                self._blame("deletes_wrong", "a deletion is not followed by a tombstone", record)
                self._tombstone_due = False
            if record.op:
                self._envelope(record)
            else:
                self._tombstone(record)
        if self._tombstone_due:
            self._blame("deletes_wrong", "a deletion is not followed by a tombstone", records[-1])
        if self._all.rules.complete:
            self._miss(self._shown[self._next :])
            self._end()

    def _blame(self, fault: str, sentence: str, record: Record | None = None) -> None:
        facts: dict[str, object] = {"type": self._key[0], "id": self._key[1], "partition": self._partition}
        if record is not None:
            facts |= {
                "offset": record.offset, "op": record.op,
                "before": None if record.before is None else record.before.decode(),
                "after": None if record.after is None else record.after.decode(),
            }  # fmt: skip
        self._report.blame(fault, sentence, **facts)

    def _envelope(self, record: Record) -> None:
        self._form(record)
        if record.op == "d":
            self._tombstone_due = True
        self._content(record)
        self._owner(record)
        self._state = record.after

    def _form(self, record: Record) -> None:
        """Is `op` the right one, and `before` what was there?"""
        known = self._state is not None
        if (record.op in ("u", "d")) != known or (record.op == "d") != (record.after is None):
            self._blame("op_wrong", f"op {record.op!r} while the key is {'known' if known else 'new'}", record)
        if record.before != self._state:
            self._blame("before_wrong", "before is not the previous content", record)

    def _content(self, record: Record) -> None:
        """Did a socket of this partition show this content, and after what came before?"""
        found = self._find(record.after)
        if found is not None:
            self._miss(self._shown[self._next : found])
            self._next = found + 1
            self._measure(record, self._shown[found])
            self._frames.note(self._shown[found], record)
            self._marked(record, self._shown[found])
            # A snapshot need not be sharded, and its foreign rows may be published.
            if self._shown[found].kind != Kind.SNAPSHOT:
                self._where(record)
        elif record.op == "d" and self._vanished():
            self._where(record)
            self._mark(record, "reconcile", "audit")
        elif record.after == self._state and record.op != "d":
            self._blame("duplicated", "the same content again", record)
        elif any(e.content == record.after for e in self._shown):
            self._blame("out_of_order", "an older content after a newer one", record)
        elif record.after is not None and record.after in self._all.contents.get(self._key, ()):
            self._blame("wrong_partition", "no socket of this partition showed this content", record)
        else:
            self._blame("deletes_wrong" if record.op == "d" else "invented", "this never happened", record)

    def _marked(self, record: Record, expected: Expected) -> None:
        """Does `source.snapshot` tell an event from a row of a snapshot, where only one of them can be its origin?"""
        if expected.origin is None:
            return
        if expected.kind == Kind.SNAPSHOT:
            self._mark(record, "true", "reconcile", "audit")
        elif expected.kind == Kind.EVENT and expected.must:
            self._mark(record, "false")

    def _mark(self, record: Record, *right: str) -> None:
        said = record.source.snapshot if record.source else ""
        if said not in right or (record.op == "r" and said != "true"):
            self._blame(
                "source_wrong", f"op {record.op!r}, snapshot {said!r}, which must be {' or '.join(right)}", record
            )

    def _owner(self, record: Record) -> None:
        """Is `source.account_id` the account that the ledger knows, and there where the entity itself tells it?"""
        version, told = self._all.last.get(self._key), record.source.account_id if record.source else None
        if version is None or version.account_id is None or told == version.account_id:
            return
        body = record.after or record.before or b"{}"
        if told is not None or orjson.loads(body).get("accountId") == version.account_id:
            self._blame("source_wrong", f"account_id is {told}, the account is {version.account_id}", record)

    def _find(self, content: bytes | None) -> int | None:
        """The next place with a content."""
        places = range(self._next, len(self._shown))
        return next((i for i in places if self._shown[i].content == content), None)

    def _vanished(self) -> bool:
        """Whether the entity was deleted without an event that this partition's sockets showed."""
        return any(version.event == "Deleted" for version in self._all.endings(self._key))

    def _miss(self, skipped: list[Expected]) -> None:
        """Contents that were passed over: those that must be there and change what is there are lost."""
        for expected in skipped:
            if expected.must and expected.content != self._state:
                text = "a deletion" if expected.content is None else expected.content.decode()
                self._blame("lost", f"sent at {expected.sent_us}, not committed: {text}")

    def _measure(self, record: Record, expected: Expected) -> None:
        if record.read_us is not None and expected.kind == Kind.EVENT:
            self._latencies.append((record.read_us - expected.sent_us) / 1000)

    def _where(self, record: Record) -> None:
        """Is the partition the owner's?"""
        version = self._all.last.get(self._key)
        if self._all.rules.sharded and version is not None and self._foreign(version):
            self._blame("wrong_partition", f"the owner is {self._all.owner(version)}", record)

    def _foreign(self, version: Version) -> bool:
        owner = self._all.owner(version)
        return (
            owner is not None
            and self._all.rules.expression is not None
            and owner % self._all.rules.divisor != self._partition
        )

    def _tombstone(self, record: Record) -> None:
        if self._tombstone_due:
            self._tombstone_due = False
            if record.archived:
                self._blame("deletes_wrong", "the tombstone of a deletion says that it archives", record)
            return
        if not record.archived:
            self._blame("deletes_wrong", "a tombstone without a deletion, which does not say that it archives", record)
        elif not any(v.event == "Archived" for v in self._all.endings(self._key)):
            self._blame("deletes_wrong", "archived, which the world has not done", record)
        elif self._state is None and self._all.rules.exactly_once:
            self._blame("deletes_wrong", "archived, although nothing was there", record)
        self._state = None

    def _end(self) -> None:
        """Is the last content the true one? Only a socket that saw the last version can know."""
        last = self._all.last.get(self._key)
        if last is None or not last.known or not self._shown or self._foreign(last):
            return
        session = self._all.serving(self._partition, last)
        if session is None:
            return
        if last.alive and last.content != self._state:
            self._blame("state_differs", f"the truth is {last.content.decode()}, committed is {_text(self._state)}")
        elif not last.alive and self._state is not None and self._must_be_gone(last, session.synced_us):
            self._blame("state_differs", f"the truth is {last.event}, committed is {_text(self._state)}")

    def _must_be_gone(self, last: Version, synced_us: int) -> bool:
        if self._shown[-1].content is None:
            return self._shown[-1].must
        rules = self._all.rules
        owned = self._all.owner(last) is not None
        waited = rules.now_us is not None and rules.now_us - synced_us > rules.delete_quiet_us
        return owned and waited and last.event == "Deleted" and last.at_ms * 1000 < synced_us


def _text(content: bytes | None) -> str:
    return "nothing" if content is None else content.decode()


def _sequence(report: Report, records: list[Record], rules: Rules) -> None:
    """`seq` over all topics of a partition, and its order within each topic."""
    partitions: dict[int, list[Record]] = defaultdict(list)
    for record in records:
        if record.source is not None:
            partitions[record.partition].append(record)
            if record.source.shard != record.partition or record.source.divisor != rules.divisor:
                _accuse(report, "wrong_partition", "source names another shard or divisor", record)
    for some in partitions.values():
        _topics(report, some)
        if rules.exactly_once:
            _gapless(report, sorted(some, key=_seq), rules)
            _frames(report, some)


def _seq(record: Record) -> int:
    return record.source.seq if record.source else 0


def _topics(report: Report, records: list[Record]) -> None:
    latest: dict[str, tuple[int, int]] = {}
    for record in records:
        if record.source is not None:
            mark = (record.source.epoch, record.source.seq)
            if mark <= latest.get(record.entity_type, (-1, -1)):
                _accuse(report, "seq_wrong", "epoch and seq do not grow within the topic", record)
            latest[record.entity_type] = mark


def _gapless(report: Report, ordered: list[Record], rules: Rules) -> None:
    if rules.from_start and _seq(ordered[0]) > 1:
        _accuse(report, "seq_wrong", f"the first seq is {_seq(ordered[0])}", ordered[0])
    for one, other in pairwise(ordered):
        if _seq(other) != _seq(one) + 1:
            _accuse(report, "seq_wrong", f"seq {_seq(other)} follows {_seq(one)}", other)
        if one.source and other.source and other.source.epoch < one.source.epoch:
            _accuse(report, "seq_wrong", "epoch falls while seq grows", other)


def _frames(report: Report, records: list[Record]) -> None:
    """`frame_last` names the last envelope of the same frame."""
    by_seq = {_seq(record): record for record in records}
    for record in records:
        source = record.source
        last = by_seq.get(source.frame_last) if source else None
        ends = last.source if last else None
        if source is None or ends is None or ends.frame != source.frame or ends.frame_last != source.frame_last:
            _accuse(report, "frame_wrong", "frame_last is not the last envelope of the frame", record)
        elif _goes_on(by_seq.get(source.frame_last + 1), source):
            _accuse(report, "frame_wrong", "the frame goes on after frame_last", record)


def _goes_on(following: Record | None, source: Source) -> bool:
    """Whether a record is of the same frame; what comes from no frame bears the number 0."""
    other = following.source if following else None
    return other is not None and source.frame > 0 and (other.epoch, other.frame) == (source.epoch, source.frame)


def _accuse(report: Report, fault: str, sentence: str, record: Record) -> None:
    report.blame(
        fault, sentence, type=record.entity_type, id=record.id, partition=record.partition, offset=record.offset,
        source=None if record.source is None else repr(record.source),
    )  # fmt: skip
