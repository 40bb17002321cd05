from __future__ import annotations

from bridge.changes.state import PublishedState
from bridge.entities.change import Entry

OLD: Entry = (b"old", 1, 2)
NEW: Entry = (b"new", 1, 2)


def put(state: PublishedState, number: int, entry: Entry | None) -> None:
    """As the reconciler does it: note what was there, then change it in place."""
    table = state.tables["order"]
    state.undo.append((table, number, table.get(number)))
    if entry is None:
        table.pop(number, None)
    else:
        table[number] = entry


def see(state: PublishedState, seen: set[int], number: int) -> None:
    seen.add(number)
    state.live_undo.append((seen, number))


def restored(**entries: Entry) -> PublishedState:
    state = PublishedState(["order", "fill"])
    for number, entry in entries.items():
        state.restore("order", int(number[1:]), entry)
    return state


def test_restored_entries_are_not_taken_back() -> None:
    state = restored(n1=OLD)
    state.rollback()
    assert state.tables["order"] == {1: OLD}


def test_rollback_takes_back_changes_additions_and_removals() -> None:
    state = restored(n1=OLD, n2=OLD)
    put(state, 1, NEW)
    put(state, 2, None)
    put(state, 3, NEW)
    state.rollback()
    assert state.tables["order"] == {1: OLD, 2: OLD}


def test_rollback_of_several_changes_of_one_key_ends_at_the_oldest() -> None:
    state = restored(n1=OLD)
    for entry in (NEW, None, (b"third", None, None), None):
        put(state, 1, entry)
    state.rollback()
    assert state.tables["order"] == {1: OLD}


def test_what_came_before_the_frame_is_not_taken_back() -> None:
    state = restored(n1=OLD)
    put(state, 1, NEW)
    seen: set[int] = set()
    see(state, seen, 1)
    state.begin()
    state.rollback()
    assert state.tables["order"] == {1: NEW}
    assert seen == {1}


def test_rollback_keeps_what_came_before_the_frame() -> None:
    state = restored(n1=OLD)
    seen: set[int] = set()
    put(state, 1, NEW)
    see(state, seen, 1)
    state.begin()
    put(state, 1, None)
    put(state, 2, NEW)
    see(state, seen, 2)
    state.rollback()
    assert state.tables["order"] == {1: NEW}
    assert seen == {1}


def test_counting_and_iterating_see_all_types() -> None:
    state = restored(n1=OLD, n2=NEW)
    state.restore("fill", 9, OLD)
    assert len(state) == 3
    assert state.counts() == {"order": 2, "fill": 1}
    assert set(state) == {("order", 1, OLD), ("order", 2, NEW), ("fill", 9, OLD)}


def test_types_without_entries_are_not_counted() -> None:
    assert restored().counts() == {}
