"""Any interleaving of snapshots, live events, deletes and failed commits, against a deliberately naive model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bridge.changes.reconciler import Row
from bridge.entities.change import Change
from tests.unit.changes.scene import Scene, content, deleted, listed, live

IDS = st.integers(1, 4)
TYPES = st.sampled_from(["order", "position", "fill"])
ENTITIES = st.fixed_dictionaries(
    {"id": IDS}, optional={"accountId": st.sampled_from([1, 5]), "action": st.sampled_from(["Buy", "Sell"])}
)
ROWS = st.one_of(
    st.builds(lambda t, e: live(t, *e), TYPES, st.lists(ENTITIES, max_size=3)),
    st.builds(lambda t, e: listed(t, *e), TYPES, st.lists(ENTITIES, max_size=4)),
    st.builds(lambda t, i: deleted(t, {"id": i}), TYPES, IDS),
)
FRAMES = st.lists(ROWS, max_size=4)


@dataclass
class Naive:
    """What anybody would write who had read the rules and need not be fast. Whole entities, no encoding, no undo."""

    published: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    live: set[tuple[str, int]] = field(default_factory=set)
    log: list[tuple[str, int, str, dict[str, Any] | None, dict[str, Any] | None]] = field(default_factory=list)

    def frame(self, rows: list[Row]) -> None:
        for entity_type, event, entities, _, snapshot in rows:
            for entity in entities:
                key = entity_type, entity["id"]
                if snapshot and key in self.live:
                    continue
                if not snapshot:
                    self.live.add(key)
                before = self.published.get(key)
                after = None if event == "Deleted" else self.known(entity_type, entity)
                if before == after:
                    continue
                self.log.append((*key, "d" if after is None else "c" if before is None else "u", before, after))
                self.published.pop(key, None)
                if after is not None:
                    self.published[key] = after

    @staticmethod
    def known(entity_type: str, entity: dict[str, Any]) -> dict[str, Any]:
        """An unknown field comes back from `unmapped`; here none is unknown but these."""
        unknown = {"position": {"action"}, "fill": {"accountId"}}.get(entity_type, set())
        kept = {name: value for name, value in entity.items() if name not in unknown}
        words = {name: f'"{v}"' if isinstance(v, str) else str(v) for name, v in entity.items() if name in unknown}
        return {**kept, "unmapped": words} if words else kept


def brief(change: Change) -> tuple[Any, ...]:
    name, number, op, before, after = change[:5]
    return name, number, op, before and content(name, before), after and content(name, after)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("frame"), FRAMES),
        st.tuples(st.just("refused by kafka"), st.lists(FRAMES, max_size=3)),
        st.tuples(st.just("session"), st.none()),
        st.tuples(st.just("commit"), st.none()),
    ),
    max_size=25,
)


@given(STEPS)
def test_published_changes_are_those_of_the_naive_model(steps: list[tuple[str, Any]]) -> None:
    scene, naive, published = Scene().session(), Naive(), list[Change]()
    for what, data in steps:
        if what == "session":
            scene.session()
            naive.live.clear()
        elif what == "commit":
            scene.state.begin()
        elif what == "frame":
            published += scene.apply(*data).changes
            naive.frame(data)
        else:
            scene.state.begin()
            for frame in data:
                scene.apply(*frame)
            scene.state.rollback()
    assert [brief(change) for change in published] == naive.log
    state = {(name, number): content(name, entry[0]) for name, number, entry in scene.state}
    assert state == naive.published


@given(st.lists(FRAMES, max_size=5), st.lists(FRAMES, min_size=1, max_size=5))
def test_after_a_rollback_the_same_frames_give_the_same_changes(first: list[list[Row]], then: list[list[Row]]) -> None:
    scene = Scene().session()
    for frame in first:
        scene.apply(*frame)
    scene.state.begin()
    before = list(scene.state)
    once = [scene.apply(*frame) for frame in then]
    state = list(scene.state)
    scene.state.rollback()
    assert sorted(scene.state) == sorted(before)
    assert [scene.apply(*frame) for frame in then] == once
    assert sorted(scene.state) == sorted(state)


@given(st.lists(FRAMES, max_size=6))
def test_replaying_the_changes_gives_the_state_and_every_before_is_the_content_there(frames: list[list[Row]]) -> None:
    scene = Scene().session()
    replayed: dict[tuple[str, int], bytes] = {}
    for frame in frames:
        for name, number, op, before, after, *_ in scene.apply(*frame).changes:
            assert before == replayed.get((name, number))
            assert op == ("d" if after is None else "c" if before is None else "u")
            if after is None:
                del replayed[name, number]
            else:
                assert before != after
                replayed[name, number] = after
    assert replayed == {(name, number): entry[0] for name, number, entry in scene.state}
