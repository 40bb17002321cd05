"""What a server must not send, sent: each thing ends where it can be found again, whole, and nothing stops."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from bridge.entities import schemas
from bridge.entities.catalogue import CATALOGUE
from tests.integration.bridge.conftest import Make
from tests.integration.bridge.scene import Bridge, Scene

MINE = 4_000_000_000_000
"""Ids from here on are of this test."""
HUGE = 99999999999999999999
MIB = 1 << 20


def event(entity_type: str, entity: str, kind: str = "Created") -> str:
    """One props message; the entity is JSON text, so that it can be anything."""
    return f'{{"e":"props","d":{{"entityType":"{entity_type}","eventType":"{kind}","entity":{entity}}}}}'


def wrong_everywhere(entity_type: str, number: int) -> str:
    """An entity in which every field but `id` has a type that it cannot have."""
    fields = schemas.wire_fields(schemas.value_schema(entity_type))
    records = {name for name, kind in fields.items() if isinstance(kind, dict) and kind["type"] == "record"}
    wrong: dict[str, Any] = {name: [name] if name in records else {"not": [name, 1.5]} for name in fields}
    return json.dumps({**wrong, "id": number})


async def inject(scene: Scene, *messages: str, remainder: int = 0) -> None:
    """One frame of messages."""
    frame = f"a[{','.join(messages)}]"
    assert (await scene.control("POST", "inject", {"frame": frame, "remainder": remainder}))["sockets"] == 1


def mine(records: list[dict[str, Any]], number: int) -> dict[str, Any]:
    """The one record of an id."""
    (record,) = (r for r in records if r["key"]["id"] == number)
    value: dict[str, Any] = record["value"]
    return value


async def test_bad_entities_are_kept_whole_and_nothing_else_is_touched(scene: Make) -> None:
    made = await scene()
    bridge = await made.start().ready()
    large = json.dumps({"id": MINE + 9, "text": "x" * (5 * MIB)})
    refused = [
        ("no_id", None, '{"accountId":25}'),
        ("id_not_int64", None, '{"id":"5","accountId":25}'),
        ("no_id", None, '{"id":null,"accountId":25}'),
        ("id_not_int64", None, '{"id":9223372036854775808,"price":1e400}'),
        ("id_not_int64", None, '{"id":1.5}'),
        ("id_not_int64", None, '{"id":true}'),
        ("not_an_object", None, "5"),
        ("not_an_object", None, '"five"'),
        ("too_large", MINE + 9, large),
    ]
    for _, _, entity in refused:
        await inject(made, event("order", entity))
    await inject(made, event("order", '{"id":"7"}', "Deleted"))
    await inject(made, event("order", '{"id":-5,"accountId":0}'))
    numbers = f'{{"id":{MINE},"price":1e400,"stopPrice":{HUGE},"orderQty":{HUGE},"orderId":1.5,"maxShow":1e2}}'
    await inject(made, event("orderVersion", numbers))
    await inject(made, event("riskSecret", '{"id":1,"score":1e400}'), event("order", "[[]]"))
    await inject(made, '{"e":"surprise","d":{"x":1}}', "7", '{"e":"props","d":"nonsense"}', '{"e":"props"}', "null")
    await inject(made, '{"s":200,"i":1,"d":{"riskSecrets":[{"id":2}],"orders":5,"fills":null}}')
    await inject(made, *(event(name, wrong_everywhere(name, MINE + 1)) for name in CATALOGUE))
    await made.step(30)
    await bridge.drained()

    topics = await made.topics("bridge.dead-letter", "bridge.unmapped", *CATALOGUE)
    letters = [r["value"] for r in topics["bridge.dead-letter"]]
    whole = joined(letters)
    assert [(x["reason"], x["entity_id"]) for x, _ in whole] == [
        *((reason, number) for reason, number, _ in refused),
        ("id_not_int64", None),
        ("not_an_object", None),
    ]
    for (letter, raw), (_, _, entity) in zip(whole, refused, strict=False):
        assert json.loads(raw, parse_float=str) == json.loads(entity, parse_float=str)
        assert (letter["topic"], letter["entity_type"]) == (f"{made.prefix}.order", "order")
    assert len([x for x in letters if x["reason"] == "too_large"]) == 11

    odd = mine(topics["orderVersion"], MINE)["after"]
    kept = {"price": "1e400", "stopPrice": str(HUGE), "orderQty": str(HUGE), "orderId": "1.5", "maxShow": "100.0"}
    assert odd["unmapped"] == kept
    assert (odd["price"], odd["orderQty"], odd["maxShow"]) == (None, None, None)
    every_field_is_kept(topics)

    unmapped = [r["value"] for r in topics["bridge.unmapped"]]
    assert [(u["entity_type"], u["list_name"], json.loads(u["raw"], parse_float=str)) for u in unmapped] == [
        ("riskSecret", None, {"id": 1, "score": "1e400"}),
        ("surprise", None, {"e": "surprise", "d": {"x": 1}}),
        ("message", None, 7),
        ("props", None, "nonsense"),
        ("props", None, None),
        ("riskSecret", "riskSecrets", {"id": 2}),
        ("orders", "orders", 5),
    ]
    await only_mine_is_invented(made)
    await nothing_was_lost(bridge)


def every_field_is_kept(topics: dict[str, list[dict[str, Any]]]) -> None:
    for name in CATALOGUE:
        after = mine(topics[name], MINE + 1)["after"]
        sent = json.loads(wrong_everywhere(name, MINE + 1))
        assert {"id": after["id"], **{k: json.loads(v) for k, v in after["unmapped"].items()}} == sent
        assert [k for k, v in after.items() if v is not None] == ["id", "unmapped"]


def joined(letters: list[dict[str, Any]]) -> list[tuple[dict[str, Any], bytes]]:
    """Dead letters put together from their parts, in order."""
    found: list[tuple[dict[str, Any], bytes]] = []
    for letter in letters:
        raw = letter["raw"].encode()
        if letter["part"]:
            first, before = found.pop()
            found.append((first, before + raw))
        else:
            found.append((letter, raw))
    for letter, raw in found:
        assert (hashlib.sha256(raw).hexdigest(), len(raw)) == (letter["sha256"], letter["length"])
    return found


async def only_mine_is_invented(made: Scene) -> None:
    """The ledger does not know what was injected; apart from that the oracle has nothing to say."""
    report = await made.judge()
    assert {fault for fault, count in report.wrong.items() if count} == {"invented"}
    assert all(o["id"] >= MINE or o["id"] == -5 for o in report.offences)


async def nothing_was_lost(bridge: Bridge) -> None:
    assert [s["sessions"] for s in await bridge.shards()] == [1, 1]
