"""Heartbeats: point 2 of the vendor's checklist."""

from __future__ import annotations

from itertools import pairwise

from tests.conformance.checklist import PACE
from tests.conformance.client import world
from tests.conformance.evidence import Evidence, point


@point("2.1")
async def test_heartbeats_are_regular(evidence: Evidence) -> None:
    async with world() as made:
        await made.live()
        await made.until(lambda: len(made.tap.beats()) > PACE.beats, 10 * PACE.beats * PACE.limits.heartbeat_s + 60)
        await made.log_off()
        beats = made.tap.beats()
    pauses = [after - before for before, after in pairwise(beats)]
    # Never faster than told; one that comes late is followed by one that seems early, so the mean is judged.
    assert sum(pauses) / len(pauses) >= 0.9 * PACE.limits.heartbeat_s
    evidence.did.append(f"{len(beats)} heartbeats `[]`, told to come every {PACE.limits.heartbeat_s:g} s.")
    evidence.measured("shortest pause", min(pauses))
    evidence.measured("mean pause", sum(pauses) / len(pauses), most=PACE.limits.heartbeat_s + 0.25)
    evidence.measured("longest pause", max(pauses), most=PACE.limits.heartbeat_s + 1.0)
    evidence.show(made.tap, [x for x in made.tap.sent() if x.text == "[]"], most=6)


@point("2.2")
async def test_heartbeats_go_on_under_heavy_traffic(evidence: Evidence) -> None:
    async with world() as made:
        client = await made.live()
        quiet = len(made.tap.beats())
        events = 0
        while len(made.tap.beats()) < quiet + PACE.beats // 2:
            events += (await made.simulator.load(events=PACE.burst, per_frame=10))["events"]
        await made.settled(client)
        beats = made.tap.beats()[quiet:]
        assert client.lost == []
        await made.log_off()
    pauses = [after - before for before, after in pairwise(beats)]
    evidence.did.append(f"{events} events were sent as fast as they were read; the heartbeats came all the while.")
    evidence.measured("events a second meanwhile", events / (beats[-1] - beats[0]), "1/s")
    evidence.measured("longest pause", max(pauses), most=PACE.limits.heartbeat_s + 2.0)


@point("2.3")
async def test_a_silent_server_is_noticed_and_left(evidence: Evidence) -> None:
    async with world() as made:
        client = await made.live()
        made.simulator.arm("half_open")
        await made.until(lambda: client.lost)
        await made.simulator.step(20)
        await made.until(lambda: client.completed == 2)
        await made.settled(client)
        first, second = made.tap.wires()
        await made.until(lambda: made.tap.beats(second))
        await made.log_off()
        left = made.tap.sent(first)[-1]
        heard = [x.at for x in made.tap.lines if x.wire == first and not x.to_server and x.at < left.at]
        beats = len(made.tap.beats(first))
    assert client.lost[0].cause == "idle"
    assert left.text == "(closed 4000)"
    assert left.at - heard[-1] >= 0.9 * PACE.limits.idle_s
    evidence.did.append(
        f"The server fell silent without closing. After {beats} heartbeats of its own the client took it for dead, "
        "closed with 4000, connected, authorised and synced again, and what had happened meanwhile was there."
    )
    evidence.measured("silence before it was left", left.at - heard[-1], most=PACE.limits.idle_s + 5.0)
    evidence.unproven.append("After which silence of the client the service closes: that is not published.")
    evidence.show(made.tap, [x for x in made.tap.lines if x.text not in {"h", "[]"} and x.at >= heard[-1]], most=10)
