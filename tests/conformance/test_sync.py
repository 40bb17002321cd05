"""syncrequest: point 5 of the vendor's checklist."""

from __future__ import annotations

import pytest

from bridge.entities.catalogue import SNAPSHOT_TYPES
from tests.conformance.client import DIVISOR, EXPRESSION, world
from tests.conformance.evidence import Evidence, point
from tests.conformance.tap import as_json

SYNC = "user/syncrequest"


@point("5.1")
async def test_one_syncrequest_for_each_socket(evidence: Evidence) -> None:
    async with world() as made:
        client = await made.live()
        for _ in range(2):
            made.simulator.arm("drop")
            complete = client.completed
            await made.until(lambda: client.completed > complete)  # noqa: B023 - waited for at once
        await made.simulator.step(20)
        await made.settled(client)
        await made.log_off()
        tap = made.tap
    assert [x.wire for x in tap.requests(SYNC)] == tap.wires()
    for request in tap.requests(SYNC):
        body = as_json(request.text)
        assert body["splitResponses"] is True
        assert body["entityTypes"] == list(SNAPSHOT_TYPES)
        assert body["shardingExpression"] == {"expressionType": EXPRESSION, "divisor": DIVISOR, "remainder": 0}
    evidence.did.append(
        f"{len(tap.wires())} sockets one after the other, one syncrequest on each, with splitResponses, the sharding "
        f"expression and the explicit list of {len(SNAPSHOT_TYPES)} entity types."
    )
    evidence.show(tap, tap.requests(SYNC))


@point("5.2")
@pytest.mark.parametrize("split", ["A", "B", "C", "D"])
async def test_the_initial_data_are_processed_in_every_form(evidence: Evidence, split: str) -> None:
    async with world(split=split, parts=5) as made:
        await made.simulator.step(100)
        client = await made.live()
        await made.settled(client)
        await made.log_off()
    rows = len(client.changes)
    assert rows == len(client.state) > 100
    evidence.did.append(
        f"Split form {split}: {rows} entities, what the client believed was equal to the simulator's ledger."
    )
    evidence.unproven.append("Which of the four forms the service uses is not published.")
