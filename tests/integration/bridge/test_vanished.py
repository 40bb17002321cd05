"""What vanished unseen is deleted when a snapshot shows it; too much at once is held until the next one agrees.

What is held survives a restart, can be decided by hand, and is forgotten when it appears again.
"""

from __future__ import annotations

from typing import Any

from bridge.entities import schemas
from bridge.kafka.decode import RecordDecoder
from tests.integration.bridge.conftest import Make
from tests.integration.bridge.scene import Bridge, Outcome, Scene, until
from tests.integration.reading import read_topics

TYPE = "userAccountAutoLiq"
CONTROL = [schemas.control_schema(name) for name in ("ShardKey", "Event")]
FEW, MANY = 3, 20


async def published(made: Scene) -> list[int]:
    """Ids of the type in partition 0, folded from the topic."""
    state = {key["id"]: value for key, value in await records(made, TYPE)}
    return sorted(number for number, value in state.items() if value is not None)


async def told(made: Scene, event: str) -> list[dict[str, Any]]:
    values = [value for _, value in await records(made, "bridge.events") if value is not None]
    return [value for value in values if value["event"] == event]


async def records(made: Scene, topic: str) -> list[tuple[dict[str, Any], dict[str, Any] | None]]:
    """Keys and values in partition 0, decoded."""
    decoder = RecordDecoder([schemas.envelope_schema(TYPE), schemas.key_schema(TYPE), *CONTROL], None)
    found = await read_topics(made.bootstrap, f"{made.prefix}.{topic}")
    return [(await decoder.decode(r.key), await decoder.decode(r.value)) for r in found if r.partition == 0]


async def delete_unseen(made: Scene, numbers: list[int]) -> None:
    for number in numbers:
        await made.control("POST", "inject", {"entityType": TYPE, "eventType": "Deleted", "entity": {"id": number}})


async def reconnect(made: Scene, bridge: Bridge) -> None:
    """The socket of shard 0 is reset at its next frame; a new session follows and comes to its snapshot."""
    sessions = (await bridge.shards())[0]["sessions"]
    await made.arm("drop", remainder=0)
    await made.step(5)

    async def again() -> bool:
        shard = (await bridge.shards())[0]
        if shard["sessions"] == sessions:
            await made.step(1)  # an event for shard 0 has to come along for the fault to strike
        return bool(shard["sessions"] > sessions and shard["phase"] == "live")

    await until(again, "shard 0 is live again")


async def test_what_vanished_while_away_is_deleted_under_a_brake(scene: Make) -> None:
    made = await scene(
        simulator={"accounts": "100", "deletes": "0"},
        settings={"snapshot.delete_quiet_s": "1", "snapshot.delete_share": "0.3"},
    )
    first = await made.start().ready()
    await first.drained()
    numbers = await published(made)
    assert len(numbers) > 2 * MANY
    assert (await first.stop())[0] == 0

    # A few while the bridge is away: believed, once the snapshot has been quiet for long enough.
    await delete_unseen(made, numbers[:FEW])
    second = await made.start().ready()

    async def deleted() -> bool:
        return await published(made) == numbers[FEW:]

    await until(deleted, "the few are deleted")
    gone = [(key["id"], value) for key, value in await records(made, TYPE) if value and value["op"] == "d"]
    assert sorted(number for number, _ in gone) == numbers[:FEW]
    assert all(value["before"] and not value["after"] for _, value in gone)
    assert {value["source"]["snapshot"] for _, value in gone} == {"reconcile"}
    assert [e["counts"] for e in await told(made, "deletes_inferred")] == [{TYPE: FEW}]

    # Many while connected, in frames that never arrive: the next snapshot is not believed at once.
    await made.arm("frame_drop", times=MANY, remainder=0)
    await delete_unseen(made, numbers[FEW : FEW + MANY])
    await made.fired("frame_drop", MANY)
    await reconnect(made, second)

    async def held() -> bool:
        return [e["counts"] for e in await told(made, "deletes_held")] == [{TYPE: MANY}]

    await until(held, "the many are held")
    assert await published(made) == numbers[FEW:]
    status, metrics = await second.get("/metrics")
    assert status == 200
    assert f'syncbridge_deletes_held{{entity_type="{TYPE}",shard="0"}} {MANY}.0' in metrics

    assert [(e["cause"], e[TYPE]) for e in second.log("deletes_held")] == [("share", MANY)]

    # Seen alive again: forgotten. Confirmed by hand: deleted. The rest survives a crash.
    again, confirmed = numbers[FEW], numbers[FEW + 1]
    await made.control("POST", "inject", {"entityType": TYPE, "entity": {"id": again, "dailyLossAutoLiq": 4711.0}})
    await until(lambda: _held(second, MANY - 1), "the one that appeared is held no more")
    outcome = await verb(made, second, "confirm", "--id", str(confirmed))
    assert outcome.lines() == [{"shards": [{"shard": 0, "keys": {TYPE: 1}}]}]
    await second.process.child.kill()
    third = await made.start(snapshot__delete_quiet_s="3600").ready()
    (listed,) = (await verb(made, third, "list")).lines()
    held_now = listed["shards"][0]["held"][TYPE]
    assert (held_now["count"], held_now["ids"]) == (MANY - 2, numbers[FEW + 2 : FEW + MANY])
    await third.process.child.kill()

    # A second snapshot agrees.
    fourth = await made.start().ready()
    await until(lambda: _equals(made, [again, *numbers[FEW + MANY :]]), "the many are deleted")
    assert [(e["cause"], e["counts"]) for e in await told(made, "deletes_inferred")] == [
        (None, {TYPE: FEW}),
        ("confirmed", {TYPE: 1}),
        ("agreed", {TYPE: MANY - 2}),
    ]
    assert [(e["cause"], e["counts"]) for e in await told(made, "deletes_released")] == [("appeared", {TYPE: 1})]
    await until(lambda: _held(fourth, 0), "nothing is held")
    assert (await fourth.stop())[0] == 0


async def verb(made: Scene, bridge: Bridge, *arguments: str) -> Outcome:
    outcome = await made.verb("deletes", *arguments, "--url", bridge.url, "--json")
    assert outcome.status == 0, outcome.err
    return outcome


async def _held(bridge: Bridge, count: int) -> bool:
    held: dict[str, int] = (await bridge.shards())[0]["deletes_held"]
    return held.get(TYPE, 0) == count


async def _equals(made: Scene, numbers: list[int]) -> bool:
    return await published(made) == numbers
