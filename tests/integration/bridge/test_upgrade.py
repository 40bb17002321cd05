"""A newer release takes over what an older one has written, under schemas that have grown."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.bridge.conftest import Make

OLDER = "tests.integration.bridge.older_release"


@pytest.mark.parametrize("registry", [True, False], ids=["registry", "single-object"])
async def test_state_of_an_older_schema_gives_no_spurious_record_and_a_before_that_decodes(
    scene: Make, registry: bool
) -> None:
    made = await scene(registry=registry)
    older = await made.start(module=OLDER).ready()
    await made.step(40)
    await older.drained()
    seq = [s["seq"] for s in await older.shards()]
    assert (await older.stop())[0] == 0
    written = await made.judged_ok()
    orders = [r["value"] for r in await made.tail("order")]
    assert {key for o in orders for key in o["after"]["unmapped"]} == {"archived", "external"}

    newer = await made.start().ready()
    await newer.drained()
    assert [s["seq"] for s in await newer.shards()] == seq
    assert (await made.judged_ok()).records_committed == written.records_committed

    await made.step(40)
    await newer.drained()
    await made.judged_ok()
    assert [before_and_after(o) for o in (r["value"] for r in await made.tail("order")) if grown(o)]


def grown(envelope: dict[str, Any]) -> bool:
    return bool(envelope["op"] == "u" and envelope["source"]["epoch"] == 2)


def before_and_after(envelope: dict[str, Any]) -> bool:
    """What was unmapped under the older schema stands in its field, also in a `before` that the older release wrote."""
    for content in (envelope["before"], envelope["after"]):
        assert (content["archived"], content["external"], content["unmapped"]) == (False, False, {})
    return True
