"""Whether topics are right that are too long to be judged record by record: the end of it all, and no `seq` missing.

The oracle keeps every record and every delivery, which takes a gigabyte a minute here. This reads the topics once and
keeps only the present.
"""

from __future__ import annotations

from typing import Any

import orjson

from bridge.entities.catalogue import SNAPSHOT_TYPES
from bridge.oracle.content import canonical
from bridge.oracle.decode import Decoder
from bridge.oracle.reader import _to_the_end, entity_type_of
from tests.integration.bridge.scene import Scene
from tests.scenarios.common import state

Place = tuple[int, str, int]
"""Partition, entity type, id."""


class Present:
    """What the topics come to.

    Attributes:
        content: of every key that exists, as comparable bytes.
        seqs: how often each seq of each shard has been seen.
    """

    def __init__(self, shards: int) -> None:
        self.content: dict[Place, bytes] = {}
        self.seqs = [bytearray() for _ in range(shards)]
        self.records = 0

    def add(self, record: Any) -> None:
        """Take the next record of a partition."""
        place = (record.partition, record.entity_type, record.id)
        if record.source is not None:
            self.records += 1
            seen, seq = self.seqs[record.partition], record.source.seq
            seen.extend(bytes(max(0, seq + 1 - len(seen))))
            seen[seq] = min(255, seen[seq] + 1)
        if record.after is None:
            self.content.pop(place, None)
        else:
            self.content[place] = record.after

    def wrong(self, truth: dict[tuple[str, int], bytes]) -> list[str]:
        """What is not as it must be."""
        found = [f"shard {n}: seq has holes or repeats" for n, s in enumerate(self.seqs) if set(s[1:]) - {1}]
        here: dict[tuple[str, int], set[bytes]] = {}
        for (_, name, number), content in self.content.items():
            here.setdefault((name, number), set()).add(content)
        return found + [
            f"{key}: {here.get(key)}, which must be {truth.get(key)!r}"
            for key in truth.keys() | here.keys()
            if here.get(key) != ({truth[key]} if key in truth else None)
        ]


async def present(made: Scene) -> Present:
    """Read all entity topics once."""
    found, decoder = Present(made.stage.plan.shards), Decoder()

    def is_ours(topic: str) -> bool:
        return entity_type_of(topic, made.prefix) is not None

    async for message in _to_the_end(made.bootstrap, {}, is_ours):
        name = entity_type_of(message.topic, made.prefix)
        assert name is not None, "only these were asked for"
        headers = dict(message.headers)
        found.add(await decoder.record(name, message.partition, message.offset, message.key, message.value, headers))
    return found


async def truth(made: Scene) -> dict[tuple[str, int], bytes]:
    """What is alive in the simulated world, of the types that a snapshot lists: others are not known from the start."""
    alive = await state(made)
    return {(x["type"], x["id"]): canonical(x["entity"]) for x in alive if x["type"] in SNAPSHOT_TYPES}


def few(wrong: list[str]) -> str:
    """The beginning of what is wrong, for an error."""
    return orjson.dumps(wrong[:5], option=orjson.OPT_INDENT_2).decode()
