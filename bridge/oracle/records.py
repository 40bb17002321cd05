"""What the judge works on: records from Kafka, and versions, sessions and deliveries from the ledger. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

Key = tuple[str, int]
"""Entity type and id."""


@dataclass(frozen=True, slots=True)
class Source:
    """The part of an envelope's `source` that can be judged."""

    snapshot: str
    shard: int
    divisor: int
    epoch: int
    seq: int
    frame: int
    frame_last: int
    received_us: int
    resend: bool
    account_id: int | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """One committed record of an entity topic.

    Attributes:
        entity_type: from the topic's name.
        partition: where it stands.
        offset: where it stands in the partition.
        id: the entity's id, from the key.
        op: r, c, u or d; empty for a tombstone.
        before: canonical content before, None if null.
        after: canonical content after, None if null.
        source: None for a tombstone.
        archived: the tombstone carries the header that tells archiving from deletion.
        read_us: wall time at which a polling reader got it, None if none was polling.
        weight: what `after` adds to a certificate's sum, None without it.
    """

    entity_type: str
    partition: int
    offset: int
    id: int
    op: str = ""
    before: bytes | None = None
    after: bytes | None = None
    source: Source | None = None
    archived: bool = False
    read_us: int | None = None
    weight: int | None = None

    @property
    def key(self) -> Key:
        """Which entity it is about."""
        return self.entity_type, self.id


@dataclass(frozen=True, slots=True)
class Version:
    """One version of one entity in the simulator's ledger; `event` Archived is the silent end at the session roll."""

    number: int
    entity_type: str
    event: str
    id: int
    account_id: int | None
    user_id: int | None
    content: bytes
    known: bool = True
    at_ms: int = 0

    @property
    def key(self) -> Key:
        """Which entity it is about."""
        return self.entity_type, self.id

    @property
    def alive(self) -> bool:
        """Whether the entity exists after this version."""
        return self.event in ("Created", "Updated")


@dataclass(frozen=True, slots=True)
class Session:
    """One synced socket.

    `ended_us` is 0 while it lives, `types` None means all; `clean` means that the client itself closed it properly.
    """

    id: int
    expression: str | None
    divisor: int
    remainder: int
    types: frozenset[str] | None
    synced_us: int
    ended_us: int = 0
    clean: bool = False


@dataclass(frozen=True, slots=True)
class Gap:
    """An interruption that the bridge has announced; times in microseconds since the epoch."""

    partition: int
    from_us: int
    to_us: int


@dataclass(frozen=True, slots=True)
class Certificate:
    """What the bridge says that a partition of all topics comes to.

    `types` are count and hash by entity type, `offsets` by entity type the first one that is not included.
    """

    partition: int
    seq: int
    types: dict[str, tuple[int, str]]
    offsets: dict[str, int]


@dataclass(frozen=True, slots=True)
class Told:
    """What the bridge has said about itself; `gaps` is None if it has said nothing at all."""

    gaps: tuple[Gap, ...] | None = None
    certificates: tuple[Certificate, ...] = ()


@dataclass(frozen=True, slots=True)
class Mark:
    """A look of a polling reader: how far each topic and partition could be read at a time.

    `ends` are offsets by entity type and partition, each the first that could not be read.
    """

    at_us: int
    ends: dict[tuple[str, int], int]


class Kind(IntEnum):
    """How a version was written to a socket."""

    SNAPSHOT = 0
    EVENT = 1
    AGAIN = 2
    WITHHELD = 3


@dataclass(frozen=True, slots=True)
class Delivery:
    """A version written to a socket at a time; what came in one frame has the same `frame`, 0 if nobody knows."""

    session: int
    number: int
    sent_us: int
    kind: Kind
    frame: int = 0


@dataclass(frozen=True, slots=True)
class Truth:
    """All that the ledger says."""

    versions: dict[int, Version]
    sessions: list[Session]
    deliveries: list[Delivery]
