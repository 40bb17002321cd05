"""Short lives of a bridge that are judged by nothing but the oracle: what the mutants must not survive."""

from __future__ import annotations

import time
from typing import Any

import aiohttp
import orjson

from tests.integration.bridge.conftest import Make
from tests.integration.bridge.scene import Scene, until

QUIET_US = 4_000_000
"""So long after a snapshot the oracle wants to see the deletes and the gap that it gives reason for."""
NEGATIVE, LARGE = -7, (1 << 60) + 129
"""Owners whose remainder a division with floating point, or one that rounds towards zero, gets wrong."""
PECULIAR = ("unknown-fields", "unknown-symbols", "nulls", "integer-doubles", "entity-array", "event-array")


async def test_rows_that_come_after_newer_events_and_every_shape_of_an_event(scene: Make) -> None:
    made = await scene(
        simulator={
            **dict.fromkeys((*PECULIAR, "events-between-parts"), ""),
            "accounts": "12",
            "deletes": "0.15",
            "duplicates": "0.1",
        }
    )
    for remainder in (0, 1):
        await made.arm("part_delay", remainder=remainder, seconds=1.0)
    bridge = made.start()
    await made.fired("part_delay", 2)
    await made.step(40)
    await bridge.ready()
    await made.step(60)
    await bridge.drained()
    report = await made.judged_ok()
    assert report.events_sent > 500
    assert (await bridge.stop())[0] == 0


async def test_what_changed_and_vanished_while_nobody_listened(scene: Make) -> None:
    made = await scene(simulator={"accounts": "12", "deletes": "0"}, settings={"snapshot.delete_quiet_s": "1"})
    first = await made.start().ready()
    await made.step(40)
    await first.drained()
    assert (await first.stop())[0] == 0
    gone = [each["id"] for each in await ledger(made) if each["type"] == "userAccountAutoLiq"][:3]
    for number in gone:
        await inject(made, "userAccountAutoLiq", "Deleted", {"id": number})
    await made.step(20)

    second = await made.start().ready()
    await made.step(20)
    await second.drained()
    await until(lambda: synced_for(made, QUIET_US), "the second session is old enough to be judged")
    report = await made.judged_ok(delete_quiet_us=QUIET_US, announce_us=QUIET_US)
    assert report.events_sent > 100
    assert (await second.stop())[0] == 0


async def test_rows_of_owners_of_any_size_belong_to_one_shard(scene: Make) -> None:
    made = await scene(simulator={"accounts": "4"}, settings={"sharding.foreign": "skip"})
    for number in (NEGATIVE, NEGATIVE - 1, LARGE, LARGE + 1):
        await inject(made, "account", "Created", {"id": number, "name": f"SIM{number}", "userId": 15_460})
        await inject(made, "cashBalance", "Created", {"id": number, "accountId": number, "amount": 12.5})
    bridge = await made.start().ready()
    await made.step(5)
    await bridge.drained()
    await made.judged_ok()
    assert (await bridge.stop())[0] == 0


async def inject(made: Scene, entity_type: str, event: str, entity: dict[str, Any]) -> None:
    await made.control("POST", "inject", {"entityType": entity_type, "eventType": event, "entity": entity})


async def ledger(made: Scene) -> list[dict[str, Any]]:
    """The entities of the world as they are."""
    url = f"{made.stage.control_url}/ledger/state"
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        return [orjson.loads(line) for line in (await answer.read()).splitlines()]


async def synced_for(made: Scene, us: int) -> bool:
    newest: int = max(s["synced_us"] for s in await made.sessions())
    return time.time_ns() // 1000 > newest + us
