"""What a shard knows to be published, and how it comes back from the state topic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.changes.certificate import Originals
from bridge.changes.held import HeldKeys
from bridge.changes.state import PublishedState
from bridge.entities import schemas
from bridge.entities.catalogue import CATALOGUE
from bridge.entities.change import Entry
from bridge.entities.decoder import re_encode
from bridge.entities.encoder import Encoder
from bridge.errors import KafkaUnusable
from bridge.kafka.statelog import HELD, OnEntity, StoredEntity, StoredHeld


@dataclass(slots=True)
class Memory:
    """What a shard knows to be published, all of it restored from Kafka."""

    state: PublishedState = field(default_factory=lambda: PublishedState(CATALOGUE))
    held: HeldKeys = field(default_factory=HeldKeys)
    originals: Originals = field(default_factory=Originals)


def restorer(memory: Memory, encoders: Mapping[str, Encoder]) -> OnEntity:
    """Puts stored entities into the state; what an older schema wrote is encoded anew, without a record.

    Deletions that were held are held again.

    Raises (when called):
        KafkaUnusable: the state was written by a newer release than this one.
    """
    current = {name: schemas.state_fingerprint(encoder.schema) for name, encoder in encoders.items()}

    def on_entity(name: str, number: int, stored: StoredEntity | StoredHeld | None) -> None:
        if name.startswith(HELD):
            held_type = name.removeprefix(HELD)
            if isinstance(stored, StoredHeld):
                memory.held.hold(held_type, number, stored.since_ms)
            else:
                memory.held.release(held_type, number)
            return
        table = memory.state.tables.get(name)
        if table is None:
            raise KafkaUnusable(
                f"the state topic holds the entity type {name}, which this version does not know: it was written by a "
                "newer release; run that one"
            )
        if not isinstance(stored, StoredEntity):
            table.pop(number, None)
            return
        value = stored.value
        if stored.fingerprint != current[name]:
            value = re_encode(value, _written_with(name, stored.fingerprint), encoders[name])
            memory.originals.remember(name, number, value, stored.value)
        entry: Entry = (value, stored.account_id, stored.user_id)
        table[number] = entry

    return on_entity


def _written_with(name: str, fingerprint: bytes) -> dict[str, Any]:
    for version in reversed(schemas.released_versions()):
        try:
            schema = schemas.value_schema(name, version)
        except LookupError:
            break  # the type came later than this version
        if schemas.state_fingerprint(schema) == fingerprint:
            return schema
    raise KafkaUnusable(
        f"the state topic holds a {name} written with a schema that this version does not know "
        f"(fingerprint {fingerprint.hex()}): it was written by a newer release; run that one"
    )
