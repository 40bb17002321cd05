"""The demo as somebody runs it who has just installed the package."""

from __future__ import annotations

import json
import os

from tests.integration.bridge.scene import run_verb

VERDICT = {
    "events_sent", "records_committed", "lost", "duplicated", "out_of_order", "wrong_partition", "latency_ms", "ok",
}  # fmt: skip


async def test_demo_runs_verifies_and_tells_its_verdict_as_json() -> None:
    outcome = await run_verb(os.environ, "demo", "--seconds", "5", "--json", "--accounts", "50")
    assert outcome.status == 0, outcome.err
    verdict = json.loads(outcome.out.splitlines()[-1])
    assert verdict.keys() >= VERDICT
    assert (verdict["ok"], verdict["lost"], verdict["duplicated"]) == (True, 0, 0)
    assert verdict["events_sent"] > 200
    assert 0 < verdict["latency_ms"]["p50"] <= verdict["latency_ms"]["p99"]
    assert "verifying" in outcome.err
