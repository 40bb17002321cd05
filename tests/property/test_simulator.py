"""Whatever the seed, the switches and the course of things: the world adds up and every view of it agrees."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.simulator.options import Options
from bridge.simulator.sharding import Subscription, wants
from bridge.simulator.store import Change
from bridge.simulator.wire import event_frames, parse_request, snapshot_frames, snapshot_rows, token_of
from bridge.simulator.world import World

NOW = 1_787_060_101_123
QUIRKS = (
    "entity_array", "event_array", "string_elements", "missing_ms", "integer_doubles", "nulls", "unknown_fields",
    "unknown_symbols", "unknown_types", "unknown_lists", "fill_before_order",
)  # fmt: skip
quirks = st.fixed_dictionaries({name: st.booleans() for name in QUIRKS})
slow = settings(max_examples=15)


def fold(table: dict[tuple[str, int], bytes], changes: list[Change]) -> None:
    for change in changes:
        if change.event in ("Deleted", "Archived"):
            del table[change.entity_type, change.id]
        else:
            table[change.entity_type, change.id] = change.json


@slow
@given(seed=st.integers(0, 10_000), accounts=st.integers(1, 30), switches=quirks, rolls=st.sets(st.integers(0, 119)))
def test_invariants_hold_and_the_changes_fold_to_the_state(
    seed: int, accounts: int, switches: dict[str, bool], rolls: set[int]
) -> None:
    world = World(Options(seed=seed, accounts=accounts, deletes=0.1).changed(dict(switches)), NOW)
    table: dict[tuple[str, int], bytes] = {}
    bursts = [world.beginning]
    for step in range(120):
        bursts.append(world.step(NOW + step * 11))
        if step in rolls and len(rolls) < 10:
            archived, burst = world.roll(NOW + step * 11)
            bursts += [[archived], burst]
    for burst in bursts:
        for frame in burst:
            fold(table, frame)
    assert world.check() == []
    types = {entity_type for entity_type, _ in table}
    assert table == {(t, c.id): c.json for t in types for c in world.store.rows(t)}
    numbers = [c.number for burst in bursts for frame in burst for c in frame]
    assert len(set(numbers)) == len(numbers)


@slow
@given(seed=st.integers(0, 10_000), divisor=st.integers(1, 9), switches=quirks, split=st.sampled_from("ABCD"))
def test_the_shards_together_see_everything_that_has_an_owner_exactly_once(
    seed: int, divisor: int, switches: dict[str, Any], split: str
) -> None:
    options = Options(seed=seed, accounts=10).changed({**switches, "split": split})
    world = World(options, NOW)
    burst = [world.step(NOW + step) for step in range(20)]
    shards = [Subscription(None, "modAccountId", divisor, r) for r in range(divisor)]
    shown = [
        (c.entity_type, c.id)
        for shard in shards
        for part in snapshot_frames(snapshot_rows(world.store, shard, options), 1, options)
        for c in part.changes
        if c.account_id is not None
    ]
    rows = [c for t in {t for t, _ in shown} for c in world.store.rows(t)]
    assert sorted(shown) == sorted((c.entity_type, c.id) for c in rows)
    for change in (c for b in burst for frame in b for c in frame if c.account_id is not None):
        assert sum(wants(shard, change, options) for shard in shards) == 1


@slow
@given(seed=st.integers(0, 10_000), switches=quirks, size=st.integers(0, 5))
def test_every_frame_is_an_array_of_messages_that_holds_its_changes(
    seed: int, switches: dict[str, Any], size: int
) -> None:
    options = Options(seed=seed, accounts=5).changed({**switches, "messages_per_frame": size})
    world = World(options, NOW)
    for step in range(10):
        for frame in world.step(NOW + step):
            parts = list(event_frames(frame, options))
            assert [c for part in parts for c in part.changes] == frame
            for part in parts:
                assert entities(part.text) == [orjson.loads(c.json) for c in part.changes]


def entities(text: bytes) -> list[Any]:
    found: list[Any] = []
    for element in orjson.loads(text.removeprefix(b"a")):
        message = orjson.loads(element) if isinstance(element, str) else element
        data = message["d"]
        for event in data if isinstance(data, list) else [data]:
            entity = event["entity"]
            found += entity if isinstance(entity, list) else [entity]
    return found


@given(st.text())
def test_no_text_of_a_client_breaks_the_server(text: str) -> None:
    request = parse_request(text)
    assert isinstance(token_of(request.body), str)
    assert request.id is None or request.id >= 0
