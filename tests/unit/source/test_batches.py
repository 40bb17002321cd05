from typing import Any

import pytest

from bridge.source import forward, frames
from bridge.source.batches import Told, is_batch, told_apart
from bridge.source.rows import Rows, rows
from tests.unit.source.driving import frame

ANSWER = {"i": 3, "s": 200, "d": {"orders": [{"id": 1}, {"id": 2}], "fills": None, "users": 7}}


def props(entity: Any, event: str | None = "Updated", entity_type: str = "order") -> dict[str, Any]:
    return {"e": "props", "d": {"entityType": entity_type, "eventType": event, "entity": entity}}


def apart(told: Told, *messages: Any) -> list[Any]:
    """The frame's messages afterwards."""
    raw = frame(*messages)
    anew = told_apart(raw, frames.elements(raw), 3, told)
    return frames.elements(raw if anew is None else anew)


def part(*entities: Any, entity_type: str = "order") -> dict[str, Any]:
    return {"i": 3, "s": 200, "d": [{"entityType": entity_type, "entity": list(entities)}]}


@pytest.mark.parametrize(
    ("change", "batch"),
    [
        ({"entityType": "order", "entity": [{}]}, True),
        ({"entityType": "order", "eventType": None, "entity": []}, True),
        ({"entityType": "order", "eventType": "Created", "entity": [{}]}, True),
        ({"entityType": "order", "eventType": "Updated", "entity": [{}]}, True),
        ({"entityType": "order", "eventType": "Deleted", "entity": [{}]}, False),
        ({"entityType": "order", "eventType": "Archived", "entity": [{}]}, False),
        ({"entityType": "order", "eventType": "Created", "entity": {}}, False),
        ({"eventType": "Created", "entity": [{}]}, False),
        ([], False),
        (None, False),
    ],
)
def test_a_batch_is_an_array_that_nobody_deleted(change: Any, batch: bool) -> None:
    assert is_batch(change) is batch


@pytest.mark.parametrize("event", ["Created", "Updated", None])
def test_keys_that_the_snapshot_has_not_named_are_parts_of_it_whatever_the_event_says(event: str | None) -> None:
    told = Told(100)

    assert apart(told, ANSWER, props([{"id": 3}, {"id": 4}], event)) == [ANSWER, part({"id": 3}, {"id": 4})]
    assert apart(told, props([{"id": 5}], event)) == [part({"id": 5})]
    assert apart(told, props([{"id": 1}], event, "fill")) == [part({"id": 1}, entity_type="fill")]


@pytest.mark.parametrize("event", ["Created", "Updated", None])
def test_keys_that_it_has_named_are_live(event: str | None) -> None:
    told = Told(100)
    told.hear(ANSWER)
    told.hear({"i": 3, "s": 200, "d": [{"entityType": "order", "entity": {"id": 3}}]})

    for number in (1, 2, 3):
        assert apart(told, props([{"id": number}], event)) == [props([{"id": number}], event)]


def test_keys_that_were_created_since_are_live_and_those_that_were_updated_are_still_to_come() -> None:
    told = Told(100)
    told.hear(ANSWER)
    created, updated = props({"id": 8}, "Created"), props({"id": 9}, "Updated")

    assert apart(told, created, updated) == [created, updated]
    assert apart(told, props([{"id": 8}, {"id": 9}])) == [part({"id": 9}), props([{"id": 8}])]


def test_an_array_of_both_is_divided_and_the_older_half_comes_first() -> None:
    told = Told(100)
    told.hear(ANSWER)
    twice = [{"id": 3, "n": 1}, {"id": 1}, {"id": 3, "n": 2}, "none", {"x": 1}]

    assert apart(told, props(twice)) == [
        part({"id": 3, "n": 1}),
        props([{"id": 1}, {"id": 3, "n": 2}, "none", {"x": 1}]),
    ]


def test_an_array_of_events_is_divided_too() -> None:
    told = Told(100)
    told.hear(ANSWER)
    single = {"entityType": "order", "eventType": "Created", "entity": {"id": 6}}
    deleted = {"entityType": "order", "eventType": "Deleted", "entity": [{"id": 7}]}
    batch = {"entityType": "order", "eventType": "Updated", "entity": [{"id": 5}, {"id": 6}]}
    empty = {"entityType": "fill", "eventType": "Updated", "entity": []}

    found = apart(told, {"e": "props", "d": [single, batch, deleted, empty, None]})

    assert found == [
        {"i": 3, "s": 200, "d": [*part({"id": 5})["d"], *part(entity_type="fill")["d"]]},
        {"e": "props", "d": [single, {**batch, "entity": [{"id": 6}]}, deleted, None]},
    ]


def test_every_value_stays_exactly_what_it_was_and_other_messages_where_they_were() -> None:
    raw = (
        b'a[{"e":"shutdown","d":{"reasonCode":"X"}},'
        b'{"e":"props","d":{"entityType":"order","entity":[{"id":7,"n":99999999999999999999999,"x":1.10}]}},'
        b'{"e":"props","d":{"entityType":"fill","eventType":"Updated","entity":{"id":2}}}]'
    )

    anew = told_apart(raw, frames.elements(raw), 3, Told(100))

    assert anew is not None
    assert [m["e"] for m in frames.elements(anew) if "e" in m] == ["shutdown", "props"]
    assert b"99999999999999999999999" in anew
    first, second = forward.messages(anew, exact=True)
    assert list(rows(first)) == [Rows("order", None, [{"id": 7, "n": 99999999999999999999999, "x": 1.1}], None, True)]
    assert list(rows(second)) == [Rows("fill", "Updated", [{"id": 2}], None, False)]


def test_what_is_too_deep_to_be_written_again_is_a_value_error() -> None:
    raw = b'a[{"e":"props","d":{"entityType":"order","entity":[{"id":1,"x":' + b"[" * 200 + b"]" * 200 + b"}]}}]"

    with pytest.raises(ValueError, match="nested"):
        told_apart(raw, frames.elements(raw), 1, Told(100))


def test_a_row_that_an_array_has_overtaken_is_left_out_of_later_answers_and_counted() -> None:
    """Then the array was live: the server splits its snapshot otherwise."""
    told = Told(100)
    apart(told, props([{"id": 1, "n": 2}, {"id": 2, "n": 2}]))
    lists: dict[str, Any] = {
        "i": 3,
        "s": 200,
        "d": {"orders": [{"id": 1}, {"id": 3}], "fills": [{"id": 1}], "users": None},
    }
    pairs = {"i": 3, "s": 200, "d": [*({"entityType": "order", "entity": {"id": n}} for n in (2, 4)), 7]}

    assert apart(told, lists) == [{**lists, "d": {**lists["d"], "orders": [{"id": 3}]}}]
    assert [row for row in rows(apart(told, pairs)[0]) if isinstance(row, Rows)] == [
        Rows("order", None, [], None, True),
        Rows("order", None, [{"id": 4}], None, True),
    ]
    assert apart(told, props({"id": 1, "n": 3})) == [props({"id": 1, "n": 3})]
    assert told.superseded == 2


def test_the_memory_of_keys_is_bounded_and_ends_with_the_snapshot() -> None:
    told = Told(2)
    told.hear({"i": 1, "s": 200, "d": {"orders": [{"id": number} for number in range(5)]}})

    assert [told.first("order", {"id": number}) for number in range(5)] == [False, False, True, True, True]
    told.forget()
    assert told.first("order", {"id": 0})
