"""What must, and what may, stand in a partition about each entity. Pure.

An event that was written to a healthy socket must be there. A snapshot row may be: it is published only if it differs.
A repetition may be. Whatever was written shortly before a socket ended may have been lost with it. A socket whose whole
life lies within that of another of its partition only looked in, as audits do: nothing that it was sent must be there.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from bridge.oracle.records import Delivery, Gap, Key, Kind, Session, Truth, Version

MARGIN_US = 1_000_000
"""The bridge knows when a frame arrived, the ledger when it was written."""
FOREVER_US = 1 << 62


@dataclass(frozen=True, slots=True)
class Rules:
    """How to judge.

    Attributes:
        divisor: number of partitions.
        expression: `modAccountId` or `modUserId`, None for one unsharded socket.
        uncertain_us: events written so shortly before the end of their socket may be missing.
        uncertain_clean_us: the same where the client closed properly.
        delete_quiet_us: so long after a snapshot an entity that vanished unseen must be deleted.
        now_us: when the topics were read; None leaves vanished entities unjudged.
        gaps: (partition, from_us, to_us) of losses that the caller knows of: events written then may be missing.
        announced: the gaps that the bridge has told, None if nobody has read them. Events written then to a socket that
            was replaced before the end of the gap may be missing, and a time without any socket must be among them.
        announce_us: so long after a socket's syncrequest its gap must have been told.
        readable_us: so long a frame may be readable in part.
        sharded: entities with an owner belong to partition owner % divisor and nowhere else.
        complete: the run has ended and all was drained: the final state must be equal.
        from_start: the topics hold everything since the first record: seq begins at 0 or 1.
        exactly_once: seq has neither gaps nor repetitions.
    """

    divisor: int
    expression: str | None = "modAccountId"
    uncertain_us: int = 2_000_000
    uncertain_clean_us: int = 200_000
    delete_quiet_us: int = 60_000_000
    now_us: int | None = None
    gaps: tuple[tuple[int, int, int], ...] = ()
    announced: tuple[Gap, ...] | None = None
    announce_us: int = 15_000_000
    readable_us: int = 5_000_000
    sharded: bool = True
    complete: bool = True
    from_start: bool = True
    exactly_once: bool = True


@dataclass(slots=True)
class Expected:
    """One content that an entity had, as the socket showed it.

    Attributes:
        content: None is a deletion.
        must: it must be there.
        sent_us: when it was written first.
        kind: how it was written first.
        origin: the one delivery that showed it, None if there were several.
    """

    content: bytes | None
    must: bool
    sent_us: int
    kind: Kind
    origin: Delivery | None


class Expectations:
    """What each partition is to hold, by entity."""

    def __init__(self, truth: Truth, rules: Rules) -> None:
        self.rules = rules
        self.versions = truth.versions
        self.events_sent = 0
        self.last: dict[Key, Version] = {}
        self.contents: dict[Key, set[bytes]] = defaultdict(set)
        self.sessions = {
            s.id: s for s in truth.sessions if (s.divisor, s.expression) == (rules.divisor, rules.expression)
        }
        self._by_partition: dict[int, list[Session]] = defaultdict(list)
        self._visitors: set[int] = set()
        for session in sorted(self.sessions.values(), key=lambda s: s.synced_us):
            self._place(session)
        self._endings: dict[Key, list[Version]] = defaultdict(list)
        self._shown: dict[tuple[int, str, int], list[Expected]] = {}
        self._places: dict[tuple[int, int], Expected] = {}
        for number in sorted(truth.versions):
            version = truth.versions[number]
            self.last[version.key] = version
            if version.alive:
                self.contents[version.key].add(version.content)
            else:
                self._endings[version.key].append(version)
        self._collect(truth.deliveries)

    def shown(self, partition: int, key: Key) -> list[Expected]:
        """What the sockets of a partition showed of an entity, in order; of equal neighbours one, but for archiving."""
        return self._shown.get((partition, *key), [])

    def entities(self) -> list[tuple[int, Key]]:
        """Every partition and entity that a socket showed."""
        return [(partition, (entity_type, number)) for partition, entity_type, number in self._shown]

    def serving(self, partition: int, last: Version) -> Session | None:
        """The newest socket of a partition, if it lived long enough to see the last version of an entity."""
        newest = next(reversed(self.of_partition(partition)), None)
        return newest if newest is not None and self._certain(newest, last.at_ms * 1000) else None

    def of_partition(self, partition: int) -> list[Session]:
        """The sockets of a partition, oldest first."""
        return self._by_partition.get(partition, [])

    def holes(self, partition: int) -> list[tuple[int, int]]:
        """Beginning and end of every time between two sockets of a partition."""
        found: list[tuple[int, int]] = []
        reach: int | None = None
        for session in self.of_partition(partition):
            if reach is not None and reach < session.synced_us:
                found.append((reach, session.synced_us))
            reach = max(reach or 0, session.ended_us or FOREVER_US)
        return found

    def endings(self, key: Key) -> list[Version]:
        """The versions that ended an entity."""
        return self._endings.get(key, [])

    def owner(self, version: Version) -> int | None:
        """The id that decides the shard, None if the entity has none."""
        return version.account_id if self.rules.expression == "modAccountId" else version.user_id

    def _place(self, session: Session) -> None:
        """Put a socket behind the older ones of its partition, unless one of them outlived it."""
        others = self._by_partition[session.remainder]
        end = session.ended_us or FOREVER_US
        if any(other.synced_us < session.synced_us and end < (other.ended_us or FOREVER_US) for other in others):
            self._visitors.add(session.id)
        else:
            others.append(session)

    def _collect(self, deliveries: list[Delivery]) -> None:
        eventful: set[tuple[int, Key]] = set()
        ordered = sorted(
            (d for d in deliveries if d.session in self.sessions), key=lambda d: d.sent_us
        )  # stable: within a socket the order of writing stays
        for delivery in ordered:
            version, session = self.versions[delivery.number], self.sessions[delivery.session]
            if delivery.kind == Kind.EVENT and session.id not in self._visitors:
                self.events_sent += 1
            if delivery.kind == Kind.WITHHELD or not version.known:
                continue
            mark = (session.id, version.key)
            if delivery.kind != Kind.SNAPSHOT:
                eventful.add(mark)
            elif mark in eventful:
                continue  # a snapshot row never follows a live event of the same socket
            self._add(session, version, delivery)

    def _add(self, session: Session, version: Version, delivery: Delivery) -> None:
        content = version.content if version.alive else None
        served = session.id not in self._visitors
        must = delivery.kind == Kind.EVENT and served and self._certain(session, delivery.sent_us)
        place = (session.remainder, version.number)
        if place in self._places and delivery.kind != Kind.AGAIN:
            # Two sockets of the same partition side by side, as while one instance replaces another: the same history.
            self._places[place].must |= must
            self._places[place].origin = None
            return
        row = self._shown.setdefault((session.remainder, *version.key), [])
        if row and row[-1].content == content and not self._archived(version.key, row[-1], delivery):
            row[-1].must = row[-1].must or must
            row[-1].origin = None
        else:
            row.append(Expected(content, must, delivery.sent_us, delivery.kind, delivery))
        self._places[place] = row[-1]

    def _archived(self, key: Key, before: Expected, delivery: Delivery) -> bool:
        """Whether an entity was archived, so that its last content, sent again, is new."""
        if delivery.kind != Kind.AGAIN:
            return False
        ends_us = [(v.at_ms + 1) * 1000 for v in self.endings(key) if v.event == "Archived"]
        return any(before.sent_us < end_us <= delivery.sent_us for end_us in ends_us)

    def _certain(self, session: Session, sent_us: int) -> bool:
        margin = self.rules.uncertain_clean_us if session.clean else self.rules.uncertain_us
        if session.ended_us and sent_us > session.ended_us - margin:
            return False
        if any(p == session.remainder and begin <= sent_us <= end for p, begin, end in self.rules.gaps):
            return False
        return not any(self._excused(session, sent_us, gap) for gap in self.rules.announced or ())

    def _excused(self, session: Session, sent_us: int, gap: Gap) -> bool:
        """Whether a gap explains that something is missing: the socket that ended the gap itself has no excuse."""
        if gap.partition != session.remainder or not gap.from_us <= sent_us <= gap.to_us:
            return False
        newer = (s.synced_us for s in self.of_partition(gap.partition) if s.synced_us > session.synced_us)
        return any(synced <= gap.to_us for synced in newer)
