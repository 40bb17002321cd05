"""What vanished unseen is deleted when a snapshot shows it, and too much at once is held until the next one agrees."""

from __future__ import annotations

from typing import Any

from tests.integration.bridge.conftest import Make
from tests.integration.bridge.scene import Bridge, Scene, until

TYPE = "userAccountAutoLiq"
FEW, MANY = 3, 20


async def published(made: Scene) -> list[int]:
    """Ids of the type in partition 0, folded from the topic."""
    state: dict[int, Any] = {}
    for record in (await made.topics(TYPE))[TYPE]:
        if record["partition"] == 0:
            state[record["key"]["id"]] = record["value"]
    return sorted(number for number, value in state.items() if value is not None)


async def told(made: Scene, event: str) -> list[dict[str, Any]]:
    records = (await made.topics("bridge.events"))["bridge.events"]
    return [r["value"] for r in records if r["value"]["event"] == event and r["value"]["shard"] == 0]


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
    records = (await made.topics(TYPE))[TYPE]
    gone = [r for r in records if r["value"] and r["value"]["op"] == "d"]
    assert sorted(r["key"]["id"] for r in gone) == numbers[:FEW]
    assert all(r["value"]["before"] and not r["value"]["after"] for r in gone)
    assert {r["value"]["source"]["snapshot"] for r in gone} == {"reconcile"}
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

    # A second snapshot agrees.
    await reconnect(made, second)
    await until(lambda: _equals(made, numbers[FEW + MANY :]), "the many are deleted")
    assert [e["counts"] for e in await told(made, "deletes_inferred")] == [{TYPE: FEW}, {TYPE: MANY}]
    assert (await second.stop())[0] == 0


async def _equals(made: Scene, numbers: list[int]) -> bool:
    return await published(made) == numbers
