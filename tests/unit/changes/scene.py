"""A shard's reconciler over the real catalogue and encoders, and short ways to say what arrives."""

from __future__ import annotations

from functools import cache
from typing import Any

from bridge.app.implementation import ENCODER, RECONCILER
from bridge.app.shards import kinds
from bridge.changes.reconciler import Found, Row
from bridge.changes.state import PublishedState
from bridge.entities import schemas
from bridge.entities.catalogue import CATALOGUE
from bridge.entities.decoder import decode
from bridge.entities.encoder import Encoder


@cache
def encoders() -> dict[str, Encoder]:
    """One encoder per type: generating code for shapes takes a while."""
    return {name: ENCODER(name, schemas.value_schema(name)) for name in CATALOGUE}


class Scene:
    """Shard `remainder` of `divisor`, as the composition root builds it."""

    def __init__(self, *, divisor: int = 4, remainder: int = 1, expression: str = "modAccountId", **options: Any):
        self.state = PublishedState(CATALOGUE)
        self.kinds = kinds(self.state, encoders(), expression)
        self.reconciler = RECONCILER(
            self.state,
            self.kinds,
            divisor=divisor,
            remainder=remainder,
            **{"max_value_bytes": 100_000, **options},
        )
        self.counts = self.reconciler.counts

    def session(self, *, initial: bool = False) -> Scene:
        self.reconciler.open_session(initial=initial)
        return self

    def apply(self, *rows: Row, exact: bool = False) -> Found:
        return self.reconciler.apply(rows, exact=exact)

    def changes(self, *rows: Row) -> list[tuple[str, int, str, str]]:
        """What the rows came to, briefly: entity type, id, op, snapshot."""
        return [(c[0], c[1], c[2], c[8]) for c in self.apply(*rows).changes]


def live(entity_type: str, *entities: Any, event: str | None = "Updated") -> Row:
    return entity_type, event, list(entities), None, False


def deleted(entity_type: str, *entities: Any) -> Row:
    return live(entity_type, *entities, event="Deleted")


def listed(entity_type: str, *entities: Any) -> Row:
    list_name = CATALOGUE[entity_type].list_name if entity_type in CATALOGUE else f"{entity_type}s"
    return entity_type, None, list(entities), list_name, True


def content(entity_type: str, value: bytes | None) -> dict[str, Any]:
    """The fields of an encoded Value that are not null."""
    assert value is not None
    fields = decode(value, schemas.value_schema(entity_type))
    return {name: field for name, field in fields.items() if field is not None and field != {}}
