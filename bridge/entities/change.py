"""A change: what the reconciler found and the Kafka side writes. The one type those two rooms share.

Plain tuples rather than classes: one is made per event, and a tuple costs a fifth of an object.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

READ, CREATE, UPDATE, DELETE = "r", "c", "u", "d"
INITIAL, LIVE, RECONCILE = "true", "false", "reconcile"
RETRIED = "retry"
AUDIT = "audit"

Change: TypeAlias = tuple[
    str,  # entity type, wire name
    int,  # id
    str,  # op: READ, CREATE, UPDATE or DELETE
    bytes | None,  # before: the last committed Value; never None for UPDATE and DELETE
    bytes | None,  # after: None for DELETE
    int | None,  # the entity's own time, epoch milliseconds
    int | None,  # owning account, if it could be resolved
    int | None,  # owning user, if it could be resolved
    str,  # snapshot: INITIAL, LIVE, RECONCILE, AUDIT or RETRIED
]

Entry: TypeAlias = tuple[bytes, int | None, int | None]
"""Published content of one key: Value bytes, owning account, owning user."""


class Refused(NamedTuple):
    """Something that cannot become a record of its type; it goes to the dead-letter topic whole.

    Attributes:
        reason: short stable word, `detail` a sentence.
        raw: exact JSON, or the raw bytes where they could not be read as JSON.
        length, sha256: of the whole, if `raw` is only its beginning; None if it is all.
    """

    entity_type: str | None
    entity_id: int | None
    event_type: str | None
    reason: str
    detail: str
    raw: bytes
    length: int | None = None
    sha256: str | None = None


class Unmapped(NamedTuple):
    """Something the catalogue does not know; it goes to the unmapped topic."""

    entity_type: str
    event_type: str | None
    list_name: str | None
    snapshot: bool
    content: Any
