"""The oracle's view of a ledger is the simulator's."""

from __future__ import annotations

from bridge.oracle.content import canonical
from bridge.oracle.ledger import fetch
from bridge.oracle.records import Kind
from bridge.simulator.options import Options
from bridge.simulator.server import Simulator
from tests.component.simulator.client import connected


async def test_everything_arrives_typed() -> None:
    options = Options(accounts=12, split="D", unknown_types=True, nulls=True)
    async with Simulator(options) as simulator, connected(simulator) as client, connected(simulator) as other:
        await client.sync(1, 2)
        await other.sync(0, 2)
        await simulator.step(60)
        other_log = simulator.ledger.sessions[1]
        simulator.arm("drop", remainder=0)
        await simulator.load(events=40, per_frame=4, keys=8)
        truth = await fetch(simulator.control_url)
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
