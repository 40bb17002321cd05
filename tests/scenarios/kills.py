"""The bridge is killed again and again at random moments, under load."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from random import Random

from bridge.oracle.reader import Follower
from tests.integration.bridge.scene import Scene
from tests.scenarios.churn import Churn
from tests.scenarios.common import accounts, judged, of_state, scene
from tests.scenarios.gaps import bounds, right
from tests.scenarios.registry import Figures, Ground, scenario

SHARDS, ACCOUNTS = 2, 20
STARTING_S, LIVE_S = 1.2, 1.5
"""Kills come so long after the start of the process, or after it was ready."""
EARLY = 3
"""Every so many kills one comes while the bridge starts."""


@scenario(
    "kills",
    "Kill the bridge (SIGKILL) 200 times at random moments under load, and start it again each time",
    minutes=11,
)
async def play(ground: Ground) -> Figures:
    """No frame in part, no hole in `seq`, nothing twice, the right end, and gaps with the right bounds."""
    kills, entities, rate = (3, 200, 200) if ground.small else (200, 1_000, 500)
    async with scene(ground, shards=SHARDS, accounts=ACCOUNTS) as made:
        await made.create_topics()
        async with (
            Churn(made, await accounts(made), entities) as churn,
            Follower(made.bootstrap, made.prefix) as follower,
        ):
            await made.start().ready()
            churn.go(rate)
            began = time.monotonic()
            hit = await kill_again_and_again(made, kills)
            last = await made.bridges[-1].ready()
            seconds = time.monotonic() - began
            await churn.stop()
            await made.calm(last)
            report = await judged(made, follower, exact=not ground.small)
        assert ground.small or hit["in_mid_transaction"], "no kill met an open transaction"
        gaps = right(await bounds(made), exact=not ground.small)
        return {
            "kills": kills, **hit, "claims": [s["epoch"] for s in await last.shards()],
            "sockets_that_synced": len(await made.sessions()), "events": churn.events,
            "envelopes": report.records_committed, "certificates_that_agree": report.certificates,
            "looks_of_a_reader": len(follower.marks), **gaps, "killing_s": round(seconds),
        }  # fmt: skip


async def kill_again_and_again(made: Scene, kills: int) -> dict[str, int]:
    """Kill and start; gives what the kills met."""
    rng, hit = Random(5), Counter[str]()  # noqa: S311 - a run is to be repeatable
    async with of_state(made) as ends:
        for number in range(kills):
            bridge = made.bridges[-1]
            early = number % EARLY == 1
            if early:
                await asyncio.sleep(rng.random() * STARTING_S)
            else:
                await bridge.ready()
                await asyncio.sleep(rng.random() * LIVE_S)
            bridge.process.check()
            await bridge.process.child.kill()
            assert bridge.process.child.returncode == -9, "it was killed, and did not end by itself"
            hit["while_starting" if early else "while_live"] += 1
            hit["in_mid_transaction"] += bool(await ends.pending())
            made.start()
    return dict(hit)
