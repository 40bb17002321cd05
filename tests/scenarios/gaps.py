"""Are the bounds of the gaps that a bridge tells of those of the times without a socket? Against the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bridge.kafka.names import TopicNames
from bridge.oracle.decode import Decoder
from tests.integration.bridge.scene import Scene
from tests.integration.reading import read_topics

CLOCK_S = 0.05
"""By so much the bridge may see a moment before the ledger does."""
BOUND_S = 7.0
"""The bridge notes every 5 s that the server lives, and lets a gap begin 1 s before that; a snapshot is complete a
moment after it came."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """One gap beside the truth, in seconds.

    Attributes:
        shard: whose it is.
        cause: what the bridge says.
        early: by how much it begins before the end of the last socket whose snapshot was complete.
        late: by how much it ends after the beginning of the socket that ended it.
    """

    shard: int
    cause: str
    early: float
    late: float


async def bounds(made: Scene) -> list[Bounds]:
    """Every gap that was told. A session that ends before its snapshot is complete ends no gap: then it goes on."""
    sessions = await made.sessions()
    decoder = Decoder(made.stage.registry_url)
    found: list[Bounds] = []
    completed: dict[int, list[int]] = {}
    for record in await read_topics(made.bootstrap, TopicNames(made.prefix).events):
        value, shard = await decoder.value(record.value), record.partition
        if value["event"] == "snapshot_completed":
            completed.setdefault(shard, []).append(value["ts_ms"] * 1000)
        elif value["event"] == "gap":  # it follows the completion that ended it
            before, now = (_serving(sessions, shard, at_us) for at_us in completed[shard][-2:])
            early = before["ended_us"] / 1e6 - value["from_ms"] / 1e3
            late = value["to_ms"] / 1e3 - now["synced_us"] / 1e6
            found.append(Bounds(shard, value["cause"], round(early, 3), round(late, 3)))
    return found


def right(found: list[Bounds], *, exact: bool) -> dict[str, float]:
    """All of a gap must lie in what is told; if `exact` no more than some seconds beyond. Gives the widest margins."""
    assert found, "no gap was told"
    for gap in found:
        assert min(gap.early, gap.late) >= -CLOCK_S, f"it does not cover the time without a socket: {gap}"
        assert not exact or max(gap.early, gap.late) <= BOUND_S, f"it is too wide: {gap}"
    return {
        "gaps": len(found),
        "gap_begins_early_s_at_most": max(gap.early for gap in found),
        "gap_ends_late_s_at_most": max(gap.late for gap in found),
    }


def _serving(sessions: list[dict[str, Any]], shard: int, at_us: int) -> dict[str, Any]:
    """The socket that a snapshot of this moment came from."""
    return max(
        (s for s in sessions if s["remainder"] == shard and s["synced_us"] <= at_us + CLOCK_S * 1e6),
        key=lambda s: s["synced_us"],
    )
