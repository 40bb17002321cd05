from typing import Any

import pytest

from bridge.source.rows import Rows, Unmapped, rows

ONE, TWO = {"id": 1}, {"id": 2}


def props(data: Any) -> dict[str, Any]:
    return {"e": "props", "d": data}


def answer(data: Any) -> dict[str, Any]:
    return {"i": 1, "s": 200, "d": data}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            props({"entityType": "order", "eventType": "Created", "entity": ONE}),
            [Rows("order", "Created", [ONE], None, False)],
        ),
        (
            props({"entityType": "order", "eventType": "Updated", "entity": [ONE, TWO]}),
            [Rows("order", "Updated", [ONE, TWO], None, False)],
        ),
        (props({"entityType": "order", "entity": ONE}), [Rows("order", None, [ONE], None, False)]),
        (
            props(
                [
                    {"entityType": "order", "eventType": "Created", "entity": ONE},
                    {"entityType": "fill", "eventType": "Deleted", "entity": TWO},
                ]
            ),
            [Rows("order", "Created", [ONE], None, False), Rows("fill", "Deleted", [TWO], None, False)],
        ),
        (
            props({"entityType": "newThing", "eventType": "Archived", "entity": "text"}),
            [Rows("newThing", "Archived", ["text"], None, False)],
        ),
        (
            answer({"orders": [ONE, TWO], "users": [], "fills": None}),
            [Rows("order", None, [ONE, TWO], "orders", True), Rows("user", None, [], "users", True)],
        ),
        (answer({"userReadStatuses": [ONE]}), [Rows("userReadStatus", None, [ONE], "userReadStatuses", True)]),
        (answer({"novelties": [ONE]}), [Rows("novelty", None, [ONE], "novelties", True)]),
        (answer({"orders": {"id": 1}}), [Unmapped("list", "orders", {"id": 1})]),
        (
            answer([{"entityType": "order", "entity": [ONE]}, {"entityType": "fill", "entity": TWO}]),
            [Rows("order", None, [ONE], None, True), Rows("fill", None, [TWO], None, True)],
        ),
        (
            answer([{"entityType": "order", "eventType": "Created", "entity": ONE}]),
            [Rows("order", None, [ONE], None, True)],
        ),
        (
            answer([{"orders": [ONE]}, {"fills": [TWO]}]),
            [
                Rows("order", None, [ONE], "orders", True),
                Rows("fill", None, [TWO], "fills", True),
            ],
        ),
        (answer(None), []),
        (answer({}), []),
        (answer("text"), [Unmapped("message", "", answer("text"))]),
        (answer([5]), [Unmapped("message", "", 5)]),
        (answer([{"entityType": 5, "entity": ONE}]), [Unmapped("props", "", {"entityType": 5, "entity": ONE})]),
        ({"e": "clock", "d": '{"t":1}'}, [Unmapped("event", "clock", {"e": "clock", "d": '{"t":1}'})]),
        ({"e": ["x"]}, [Unmapped("event", "", {"e": ["x"]})]),
        (props("text"), [Unmapped("props", "", "text")]),
        (props({"entityType": "order"}), [Unmapped("props", "order", {"entityType": "order"})]),
        (
            props({"entityType": "order", "eventType": 5, "entity": ONE}),
            [Unmapped("props", "order", {"entityType": "order", "eventType": 5, "entity": ONE})],
        ),
        (props([None, 7]), [Unmapped("props", "", 7)]),
        ({"x": 1}, [Unmapped("message", "", {"x": 1})]),
        ("text", [Unmapped("message", "", "text")]),
        ([1], [Unmapped("message", "", [1])]),
        (None, []),
    ],
)
def test_every_shape_comes_apart(message: Any, expected: list[Rows | Unmapped]) -> None:
    assert list(rows(message)) == expected


def test_a_signal_without_an_id_is_an_entity_of_its_own_type() -> None:
    signal = {"adminAlertSignal": {"adminAlertId": 70}}

    found = rows(props({"entityType": "OtherEnvAdminAlertSignal", "eventType": "Created", "entity": signal}))

    assert list(found) == [Rows("OtherEnvAdminAlertSignal", "Created", [signal], None, False)]
