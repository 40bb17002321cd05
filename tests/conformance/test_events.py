"""Event handling and idempotency: point 3 of the vendor's checklist."""

from __future__ import annotations

import pytest

from tests.conformance.checklist import PACE
from tests.conformance.client import world
from tests.conformance.evidence import Evidence, point

BROKEN = {
    "no JSON": 'a[{"oops',
    "no frame of the protocol": "\x00garbage",
    "JSON that is no array": "a{}",
}
ODD = [
    'a[{"e":"props","d":{"entityType":"order","eventType":"Created","entity":{"accountId":25}}}]',
    'a[{"e":"props","d":{"entityType":"order","eventType":"Created","entity":{"id":"seven"}}}]',
    'a[{"e":"props","d":{"entityType":"order","eventType":"Updated","entity":[[],null,5]}}]',
    'a[{"e":"props","d":{"entityType":"unheardOf","eventType":"Created","entity":{"id":1}}}]',
    'a[{"e":"props","d":"nonsense"},{"e":"surprise"},7,null,"text"]',
]


@point("3.1", "5.3")
async def test_events_are_processed_as_they_happen(evidence: Evidence) -> None:
    async with world(deletes=0.1) as made:
        client = await made.live()
        snapshot = len(client.changes)
        events = await made.simulator.step(60)
        await made.settled(client)
        await made.log_off()
        mine = [x for x in made.tap.answers('"e":"props"') if x.wire != "http"]
    assert len(client.changes) > snapshot
    evidence.did.append(
        f"{events} events happened in the world after the snapshot; those of the client's shard made "
        f"{len(client.changes) - snapshot} changes. What the client then believed was equal to the simulator's ledger."
    )
    evidence.show(made.tap, mine, most=4)


@point("3.2")
async def test_the_same_event_twice_changes_nothing(evidence: Evidence) -> None:
    async with world() as made:
        client = await made.live()
        await made.simulator.step(20)
        await made.settled(client)
        last = made.tap.answers('"e":"props"')[-1].text
        before, met = len(client.changes), client.reconciler.counts.duplicates
        for _ in range(3):
            made.simulator.inject(last)
        await made.until(lambda: client.reconciler.counts.duplicates >= met + 3)
        assert len(client.changes) == before
        assert made.differences(client) == []
        await made.log_off()
        evidence.did.append("The last frame was sent three times more: recognised as repetitions, no change.")
        evidence.show(made.tap, [x for x in made.tap.lines if x.text == last])


@point("3.3")
async def test_events_out_of_order_end_in_the_right_state(evidence: Evidence) -> None:
    async with world(fill_before_order=True, events_between_parts=True, deletes=0.1) as made:
        made.simulator.arm("part_delay", seconds=0.3)
        client = made.start()
        await made.until(lambda: made.simulator.faults.all()[0].fired and made.tap.requests("user/syncrequest"))
        await made.simulator.step(60)
        await made.until(lambda: client.completed)
        await made.simulator.step(60)
        await made.settled(client)
        assert client.lost == []
        await made.log_off()
    beaten = client.reconciler.counts.beaten_different
    assert beaten > 0
    evidence.did.append(
        "Fills came before their orders, and parts of the snapshot after newer events. "
        f"{beaten} rows of the snapshot were older than an event that had come before them and were left aside. What "
        "the client then believed was equal to the simulator's ledger."
    )


@point("3.4")
async def test_odd_messages_are_set_aside(evidence: Evidence) -> None:
    async with world() as made:
        client = await made.live()
        for frame in ODD:
            assert made.simulator.inject(frame) == 1
        await made.simulator.step(20)
        await made.settled(client)
        assert client.lost == []
        counts = client.reconciler.counts
        assert counts.refused.total() == 5
        assert counts.unmapped["unheardOf"] == 1
        await made.log_off()
        evidence.did.append(
            "Entities without a usable id, unknown types and messages of no known form were set aside and counted."
        )
        evidence.show(made.tap, [x for x in made.tap.lines if x.text in ODD])


@point("3.4")
@pytest.mark.parametrize("what", BROKEN)
async def test_a_frame_that_nobody_can_read_ends_the_session_and_nothing_else(evidence: Evidence, what: str) -> None:
    async with world() as made:
        client = await made.live()
        made.simulator.inject(BROKEN[what])
        await made.until(lambda: client.completed == 2)
        await made.simulator.step(20)
        await made.settled(client)
        await made.log_off()
    assert [lost.cause for lost in client.lost] == ["garbage", "stopped"]
    evidence.did.append(f"A frame that is {what} ended the session; the next one began by itself and lost nothing.")
    evidence.show(made.tap, [x for x in made.tap.lines if x.text == BROKEN[what] or x.text.startswith("(")])


@point("3.5")
async def test_nothing_is_lost_under_high_volume(evidence: Evidence) -> None:
    async with world() as made:
        client = await made.live()
        sent = await made.simulator.load(events=PACE.burst, per_frame=10)
        (session,) = made.simulator.ledger.sessions
        assert session.events >= sent["events"] >= PACE.burst
        await made.until(lambda: client.reconciler.counts.events >= session.events, 600)
        await made.settled(client)
        assert client.reconciler.counts.events == session.events
        assert client.lost == []
        await made.log_off()
    evidence.did.append(
        f"{session.events} events were sent as fast as they were read, and as many processed; the state was right."
    )
    evidence.measured("events a second, through the witness", sent["events"] / sent["seconds"], "1/s")
    evidence.unproven.append("How many events a second the service sends at most.")
