"""What a shard knows of one entity type, and an entity as it was read by that."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

from bridge.changes.state import Table
from bridge.entities.catalogue import Lifecycle
from bridge.entities.encoder import Encoder, Shapes


@dataclass(slots=True)
class Kind:
    """All the reconciler needs of one entity type.

    Attributes:
        owner_field: the entity's own field whose value modulo divisor is the shard, if it has one.
        account_field: its own field that names the owning account.
        user_field: its own field that names the owning user.
        parent_field, parent: the field that points to the entity that knows the account, and that type's table.
        lifecycle: what it means that a key is absent from a snapshot.
        live, seen: keys met live, and in snapshot rows, since the session began.
        listed: whether the snapshot has brought the type's list, be it empty.
        read: generated encoders that also give id, shard's owner, what leads to the account, and user.
    """

    name: str
    encoder: Encoder
    table: Table
    owner_field: str | None
    account_field: str | None
    user_field: str | None
    parent_field: str | None
    parent: Table | None
    lifecycle: Lifecycle = Lifecycle.REFERENCE
    live: set[int] = field(default_factory=set)
    seen: set[int] = field(default_factory=set)
    listed: bool = False
    read: Shapes = field(init=False)

    def __post_init__(self) -> None:
        """Let the encoder give what `Reconciler.publish` needs."""
        if self.parent is None or self.parent_field is None:
            self.parent = self.parent_field = None
        self.read = self.encoder.shapes(
            "id", self.owner_field, self.parent_field or self.account_field, self.user_field
        )


Read: TypeAlias = tuple[bytes, int | None, int, int | None, Any, int | None]
"""What `Kind.read` gives of an entity: Value, its own time, id, shard's owner, what leads to the account, user."""
Event: TypeAlias = tuple[Kind, Read, Any, str | None]
"""An entity as it was read, itself, and the event type (None in a snapshot)."""
