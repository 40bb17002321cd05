from __future__ import annotations

from typing import Any

import orjson
import pytest

from bridge.simulator.options import Options
from bridge.simulator.sharding import Subscription
from bridge.simulator.store import Change
from bridge.simulator.wire import (
    Part,
    Request,
    event_frames,
    parse_request,
    response,
    snapshot_frames,
    snapshot_rows,
    token_of,
)
from bridge.simulator.world import World

NOW = 1_787_060_101_123
TYPES = frozenset({"user", "account", "order", "position", "contract"})
CHANGES = [
    Change(1, 0, "order", "Created", 5, 1, 1, b'{"id":5}'),
    Change(2, 0, "order", "Created", 6, 1, 1, b'{"id":6}'),
    Change(3, 0, "fill", "Deleted", 7, 1, 1, b'{"id":7,"qty":1}'),
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("account/list\n2\n\n", Request("account/list", 2, "", "")),
        ("authorize\n0\n\ntoken", Request("authorize", 0, "", "token")),
        ("contract/item\n26\nid=560901\n", Request("contract/item", 26, "id=560901", "")),
        ("account/list\n2\nundefined\nundefined", Request("account/list", 2, "", "")),
        ("account/list\n2\n", Request("account/list", 2, "", "")),
        ("account/list", Request("account/list", None, "", "")),
        ("User/SyncRequest\n1\n\n{}\n", Request("user/syncrequest", 1, "", "{}")),
        ("/account/list\n-2\n\n", Request("account/list", None, "", "")),
        ("a\n1\n\n{\n}", Request("a", 1, "", "{\n}")),
        ("", Request("", None, "", "")),
        ("a\n" + "9" * 5000, Request("a", None, "", "")),
    ],
)
def test_requests_of_real_clients(text: str, expected: Request) -> None:
    assert parse_request(text) == expected


@pytest.mark.parametrize("body", ["eyJ.A", '"eyJ.A"', '{"token":"eyJ.A"}'])
def test_the_forms_of_a_token(body: str) -> None:
    assert token_of(body) == "eyJ.A"


def test_a_token_that_is_broken_json_is_no_token() -> None:
    assert token_of("{eyJ") == "{eyJ"
    assert token_of('{"name":1}') == ""


def test_answers() -> None:
    assert response(0, 200, Options()) == b'a[{"s":200,"i":0}]'
    assert response(None, 429, Options()) == b'a[{"s":429}]'
    assert response(2, 401, Options(), "Access is denied") == b'a[{"s":401,"i":2,"d":"Access is denied"}]'
    assert response(3, 404, Options(double_errors=True), "No") == b'a[{"s":404,"i":3,"d":"\\"No\\""}]'


def parsed(part: Part) -> list[Any]:
    assert part.text[:2] == b"a["
    messages: list[Any] = orjson.loads(part.text[1:])
    return messages


def sent(**options: Any) -> list[list[Any]]:
    return [parsed(part) for part in event_frames(CHANGES, Options(**options))]


def props(entity_type: str, event: str, entity: Any) -> dict[str, Any]:
    return {"e": "props", "d": {"entityType": entity_type, "eventType": event, "entity": entity}}


def test_events_that_belong_together_share_a_frame() -> None:
    assert sent() == [
        [
            props("order", "Created", {"id": 5}),
            props("order", "Created", {"id": 6}),
            props("fill", "Deleted", {"id": 7, "qty": 1}),
        ]
    ]


def test_frames_may_be_limited() -> None:
    assert [len(frame) for frame in sent(messages_per_frame=2)] == [2, 1]


def test_entities_may_come_as_arrays() -> None:
    expected = [props("order", "Created", [{"id": 5}, {"id": 6}]), props("fill", "Deleted", [{"id": 7, "qty": 1}])]
    assert sent(entity_array=True) == [expected]


def test_events_may_come_as_an_array() -> None:
    [[message]] = sent(event_array=True)
    assert [event["entity"] for event in message["d"]] == [{"id": 5}, {"id": 6}, {"id": 7, "qty": 1}]


def test_elements_may_be_strings() -> None:
    [elements] = sent(string_elements=True)
    assert orjson.loads(elements[0]) == props("order", "Created", {"id": 5})


def test_deletions_may_be_stubs() -> None:
    assert sent(deleted_body="id")[0][2] == props("fill", "Deleted", {"id": 7})


def snapshot(**options: Any) -> tuple[World, list[Part]]:
    chosen = Options(accounts=10, **options)
    world = World(chosen, NOW)
    for step in range(50):
        world.step(NOW + step)
    rows = snapshot_rows(world.store, Subscription(TYPES), chosen)
    return world, snapshot_frames(rows, 1, chosen)


def folded(messages: list[Any]) -> dict[tuple[str, int], Any]:
    """All variants as one table, written apart from the client's code."""
    found = {}
    singular = {"users": "user", "accounts": "account", "orders": "order", "positions": "position"}
    for message in messages:
        data = message["d"]
        if message.get("e") == "props":
            for entity in data["entity"]:
                found[data["entityType"], entity["id"]] = entity
        elif isinstance(data, list):
            for pair in data:
                found[pair["entityType"], pair["entity"]["id"]] = pair["entity"]
        else:
            for name, rows in data.items():
                for entity in rows or ():
                    found[singular.get(name, name.removesuffix("s")), entity["id"]] = entity
    return found


@pytest.mark.parametrize("split", ["A", "B", "C", "D"])
def test_every_variant_shows_the_whole_snapshot(split: str) -> None:
    world, parts = snapshot(split=split, parts=5)
    expected = {(t, n): orjson.loads(c.json) for t in TYPES for c in world.store.rows(t) for n in [c.id]}
    assert folded([m for part in parts for m in parsed(part)]) == expected
    assert {(c.entity_type, c.id) for part in parts for c in part.changes} == set(expected)
    assert len(parts) == (1 if split == "D" else 5)


def test_the_variants_have_their_own_shapes() -> None:
    shapes = {}
    for split in "ABCD":
        _, parts = snapshot(split=split, parts=3)
        shapes[split] = [
            "props" if m.get("e") else type(m["d"]).__name__ + str(m["i"]) for part in parts for m in parsed(part)
        ]
    assert shapes["A"] == ["dict1"] * 3
    assert shapes["B"][0] == "dict1"
    assert set(shapes["B"][1:]) == {"props"}
    assert shapes["C"] == ["list1"] * 3
    assert shapes["D"] == ["dict1"]


@pytest.mark.parametrize(
    ("empty_lists", "fills"), [("empty", {"fills": []}), ("null", {"fills": None}), ("absent", {})]
)
def test_lists_without_rows(empty_lists: Any, fills: dict[str, Any]) -> None:
    options = Options(accounts=1, empty_lists=empty_lists)
    rows = snapshot_rows(World(options, NOW).store, Subscription(frozenset({"fill"})), options)
    [part] = snapshot_frames(rows, 1, options)
    assert parsed(part)[0]["d"] == {"users": [], "contractGroups": [], **fills}


def test_lists_that_no_specification_knows() -> None:
    options = Options(accounts=9, unknown_lists=True, split="D")
    world = World(options, NOW)
    [part] = snapshot_frames(snapshot_rows(world.store, Subscription(frozenset()), options), 1, options)
    assert parsed(part)[0]["d"]["tradingPermissions"]


def test_a_snapshot_can_lag_behind_the_events() -> None:
    options = Options(accounts=1, snapshot_lag_s=5)
    world, sub = World(options, NOW), Subscription(frozenset({"cashBalance"}))
    balance = {"id": 77, "accountId": world.accounts[0].id}
    for second, event, amount in ((1, "Created", 1.0), (3, "Updated", 2.0), (6, "Updated", 3.0), (9, "Deleted", 3.0)):
        world.place(NOW + second * 1000, "cashBalance", event, {**balance, "amount": amount})

    def shown(second: int) -> list[float]:
        rows = snapshot_rows(world.store, sub, options, NOW + second * 1000)
        return [orjson.loads(row.json)["amount"] for row in rows["cashBalance"] if row.id == 77]

    assert [shown(second) for second in (9, 10, 11, 13, 14)] == [[2.0], [2.0], [3.0], [3.0], []]
    assert snapshot_rows(world.store, sub, options)["cashBalance"][1:] == []
