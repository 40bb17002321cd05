"""The oracle's view of a ledger is the simulator's."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.oracle.content import canonical
from bridge.oracle.ledger import faults_of_the_truth, fetch, read
from bridge.oracle.records import Kind
from bridge.simulator.ledger import write_ledger
from bridge.simulator.options import Options
from bridge.simulator.server import Simulator
from tests.component.simulator.client import connected


async def test_everything_arrives_typed(tmp_path: Path) -> None:
    options = Options(accounts=12, split="D", unknown_types=True, nulls=True)
    async with Simulator(options) as simulator, connected(simulator) as client, connected(simulator) as other:
        await client.sync(1, 2)
        await other.sync(0, 2)
        await simulator.step(60)
        other_log = simulator.ledger.sessions[1]
        simulator.arm("drop", remainder=0)
        await simulator.load(events=40, per_frame=4, keys=8)
        truth = await fetch(simulator.control_url)
        write_ledger(simulator.ledger, tmp_path)
        assert read(tmp_path) == truth
    ledger = simulator.ledger
    assert list(truth.versions) == [c.number for c in ledger.events()]
    assert any(not version.known for version in truth.versions.values())
    assert b"null" not in b"".join(v.content for v in truth.versions.values() if v.entity_type == "order")
    assert truth.versions[1].content == canonical({"id": 1, "name": "USD", "symbol": "$"})
    session, ended = truth.sessions
    assert (session.expression, session.divisor, session.remainder, session.ended_us) == ("modAccountId", 2, 1, 0)
    assert ended.ended_us == other_log.ended_us > ended.synced_us
    mine = [d for d in truth.deliveries if d.session == session.id]
    assert sum(d.kind == Kind.EVENT for d in mine) == ledger.sessions[0].events
    assert sum(d.kind == Kind.SNAPSHOT for d in mine) == ledger.sessions[0].kinds.count(Kind.SNAPSHOT) > 0
    assert all(d.number in truth.versions for d in truth.deliveries)
    frames = [d.frame for d in mine]
    assert frames == sorted(frames)
    assert len(set(frames)) < len(frames)


async def test_a_world_that_does_not_add_up_says_so() -> None:
    async with Simulator(Options(accounts=2)) as simulator:
        assert await faults_of_the_truth(simulator.control_url) == []
        simulator.world.store.update("cashBalance", simulator.world.accounts[0].cash_id, amount=7.0)
        assert len(await faults_of_the_truth(simulator.control_url)) == 2


def test_a_ledger_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read(tmp_path)
