"""Log-off: point 6 of the vendor's checklist."""

from __future__ import annotations

import asyncio

import pytest

from tests.conformance.checklist import PACE
from tests.conformance.client import world
from tests.conformance.evidence import Evidence, point

LOSSES = {"drop": "dropped", "close": "closed", "close_frame": "go_away"}


@point("6.1", "6.2")
async def test_logging_off_leaves_nothing_behind(evidence: Evidence) -> None:
    tasks = asyncio.all_tasks()
    async with world() as made:
        client = await made.live()
        await made.until(lambda: len(made.tap.beats()) >= 2)
        await made.log_off()
        said = len(made.tap.sent())
        await made.watch(PACE.away_s)
        assert made.tap.sent()[said:] == []
        assert made.tap.sent()[-1].text == "(closed 1000)"
        await made.until(lambda: not made.simulator.connections)
        (session,) = made.simulator.ledger.sessions
        assert session.code == 1000
        evidence.show(made.tap, made.tap.lines[-4:])
    assert [lost.cause for lost in client.lost] == ["stopped"]
    assert asyncio.all_tasks() <= tasks | {asyncio.current_task()}
    evidence.did.append(
        "Told to stop, the client closed with 1000; the server confirmed it. Nothing was heard of it afterwards, "
        "no heartbeat either; no task was left, and a socket left open would have failed the test."
    )
    evidence.measured("watched without a word from the client", PACE.away_s)


@point("6.3")
@pytest.mark.parametrize("kind", LOSSES)
async def test_after_a_loss_it_comes_back_by_itself(evidence: Evidence, kind: str) -> None:
    async with world() as made:
        client = await made.live()
        await made.simulator.step(40)
        await made.settled(client)
        believed = len(client.changes)
        made.simulator.arm(kind)
        await made.until(lambda: client.lost)
        await made.simulator.step(10)
        await made.until(lambda: client.completed == 2)
        await made.settled(client)
        news = client.changes[believed:]
        await made.log_off()
        first, second = made.tap.wires()
        requests = [x.text.partition("\n")[0] for x in made.tap.sent(second) if "\n" in x.text]
        ended = [x for x in made.tap.lines if x.wire == first][-1]
        back = next(x for x in made.tap.answers('"s":200') if x.wire == second and '"i":1' in x.text)
        evidence.show(made.tap, [x for x in made.tap.lines if x.at >= ended.at and x.text not in {"h", "[]"}], most=8)
    assert [lost.cause for lost in client.lost] == [LOSSES[kind], "stopped"]
    assert requests == ["authorize", "user/syncrequest"]
    assert 0 < len(news) < len(client.state)
    evidence.did.append(
        f"The socket was lost ({LOSSES[kind]}). The client connected, authorised and synced again by itself; of the "
        f"{len(client.state)} entities of the new snapshot only {len(news)} changes came, "
        "those that had happened meanwhile."
    )
    evidence.measured("from the loss to the new snapshot", back.at - ended.at)
