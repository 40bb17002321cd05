"""A socket that only looked in, beside the one that serves the shard."""

from __future__ import annotations

import pytest

from bridge.oracle.records import Kind
from tests.unit.oracle.scene import Scene, content, scene

ORDER = ("order", 600)
LOST, LATER = content(id=600, ordStatus="Canceled"), content(id=600, ordStatus="Rejected")


def visited(*, outlives: bool = False) -> Scene:
    """While another socket of shard 0 is open an event comes to that one alone; then it ends, or the first one does."""
    made = scene()
    first = made.session(0)
    made.new_session(0)
    made.happen(ORDER, LOST, 4, published=False)
    if outlives:
        made.sessions.remove(first)
        made.sessions.append(first)
    made.end_session(0)
    if not outlives:
        made.sessions.append(made.sessions.pop(0))
    made.now += 60_000_000
    return made


def wrong(made: Scene) -> set[str]:
    return {fault for fault, count in made.judged().wrong.items() if count}


def test_what_only_a_visitor_was_sent_need_not_be_there() -> None:
    made = visited()
    made.happen(ORDER, LATER, 4)
    assert wrong(made) == set()
    assert made.judged().events_sent == visited(outlives=True).judged().events_sent


def test_but_the_final_state_must_be_right() -> None:
    assert wrong(visited()) == {"state_differs"}


def test_a_socket_that_replaces_another_is_no_visitor() -> None:
    made = visited(outlives=True)
    made.happen(ORDER, LATER, 4)
    assert wrong(made) == {"lost"}


@pytest.mark.parametrize(("word", "right"), [("audit", True), ("reconcile", True), ("false", False)])
def test_a_repair_says_what_it_is(word: str, right: bool) -> None:
    made = scene()
    made.new_session(0)
    made.show(made.happen(ORDER, LOST, 4, sent=False), kind=Kind.SNAPSHOT, published=False)
    made.end_session(0)
    made.publish(0, ORDER, LOST, word)
    assert (wrong(made) == set()) is right
