"""The recipes of docs/topics.md, run on records that the bridge makes."""

from __future__ import annotations

import io
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import fastavro

from bridge.changes.certificate import Originals, sums
from bridge.changes.state import PublishedState
from bridge.entities import schemas
from bridge.entities.change import CREATE, DELETE, INITIAL, LIVE, READ, UPDATE, Change
from bridge.entities.encoder import Encoder
from bridge.entities.schemas import envelope_schema
from bridge.kafka.envelope import Batches, Envelopes, Origin, TypeBytes
from bridge.kafka.framing import SingleObject
from bridge.kafka.names import TopicNames
from bridge.kafka.packing import EncodedRecords
from tests.packed import records_of

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/topics.md"
NAMES = TopicNames("tradovate.demo")
TYPES = ("order", "fill")
ENCODERS = {name: Encoder(name, schemas.value_schema(name)) for name in TYPES}
Decoded = tuple[str, int, dict[str, Any], dict[str, Any] | None]


def recipe(name: str) -> Callable[..., Any]:
    place: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL):
        exec(block, place)  # noqa: S102 - our own document
    found: Callable[..., Any] = place[name]
    return found


def content(name: str, **fields: Any) -> bytes:
    return ENCODERS[name].encode(fields)[0]


def change(name: str, number: int, op: str, before: bytes | None, after: bytes | None) -> Change:
    return (name, number, op, before, after, None, None, None, INITIAL if op == READ else LIVE)


A, B, FILL = content("order", id=7, accountId=1), content("order", id=7, accountId=2), content("fill", id=9, orderId=7)
FRAMES = [
    [change("order", 7, READ, None, A)],
    [change("order", 7, UPDATE, A, B), change("fill", 9, CREATE, None, FILL)],
    [change("order", 7, DELETE, B, None), change("order", 8, CREATE, None, content("order", id=8))],
]


def written() -> list[Decoded]:
    """The frames as records of partition 1, topic by topic, as a consumer decodes them."""
    framing = SingleObject()
    types = {
        name: TypeBytes(
            topic=NAMES.entity(name),
            key=framing.prefix("", "key", schemas.key_schema(name)),
            value=framing.prefix("", "value", envelope_schema(name)),
            state_key=b"",
            state_value=b"",
        )
        for name in TYPES
    }
    envelopes = Envelopes(Origin("0", NAMES.prefix, "demo", 1, 4), 3, types, NAMES.state)
    batches: Batches = defaultdict(EncodedRecords)
    seq = 0
    for number, changes in enumerate(FRAMES, 1):
        seq = envelopes.add(changes, seq, seq + len(changes), number, 1_000_000 * number, 1_000 * number, batches)
    return [
        (name, 1, read(key, schemas.key_schema(name)), None if value is None else read(value, envelope_schema(name)))
        for name in TYPES
        for key, value in records_of(batches[NAMES.entity(name)])
    ]


def read(data: bytes, schema: dict[str, Any]) -> Any:
    return fastavro.schemaless_reader(io.BytesIO(data[10:]), fastavro.parse_schema(schema), None)


def envelopes_of(records: list[Decoded]) -> list[dict[str, Any]]:
    return [value for *_, value in records if value is not None]


def test_folding_gives_the_present_state() -> None:
    table = recipe("fold")(written())
    assert {place: row["id"] for place, row in table.items()} == {("order", 1, 8): 8, ("fill", 1, 9): 9}


def test_a_second_reading_brings_no_news() -> None:
    records = [(topic, value) for topic, _, _, value in written() if value is not None]
    seen: dict[Any, Any] = {}
    news = recipe("news")
    assert list(news(records[:2], seen)) == records[:2]
    assert list(news(records, seen)) == records[2:]


def test_completeness_is_seen_and_so_is_a_loss() -> None:
    found = envelopes_of(written())
    assert recipe("missing")(found) == []
    assert recipe("missing")([e for e in found if e["source"]["seq"] != 3]) == [3]
    assert recipe("missing")([]) == []


def test_a_certificate_can_be_worked_out_from_the_topics() -> None:
    state = PublishedState(TYPES)
    values: dict[int, bytes] = {}
    for name, _, key, value in written():
        if name == "order":
            if value is None or value["after"] is None:
                values.pop(key["id"], None)
            else:
                values[key["id"]] = again(value["after"], schemas.value_schema("order"))
    state.restore("order", 8, (content("order", id=8), None, None))
    (certified,) = [part[1] for part in sums(state, Originals()) if part is not None]
    assert recipe("comes_to")(values) == asdict(certified)
    assert recipe("comes_to")({8: b"other"}) != asdict(certified)


def again(value: dict[str, Any], schema: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)
    return out.getvalue()


def test_frames_are_given_out_when_they_are_whole() -> None:
    found = envelopes_of(written())  # all orders before the fill: as from two consumers
    assert [e["source"]["seq"] for e in found] == [1, 2, 4, 5, 3]
    frames = [[e["source"]["seq"] for e in frame] for frame in recipe("frames")(found)]
    assert frames == [[1], [2, 3], [4, 5]]
    assert [len(frame) for frame in recipe("frames")(found[:-1])] == [1]
