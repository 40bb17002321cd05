"""Answers of several workers as one bridge would give them."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.exposition import generate_latest

from bridge.changes.counts import Counts
from bridge.changes.held import HeldKeys
from bridge.operate.collector import ShardCollector, SourceView
from bridge.operate.metrics import ShardView
from bridge.shard.stats import ShardStats
from bridge.workers import merged
from tests.component.operate.letters import letters_of

ORDER = (3, 0, 1, 2)


def answer(*shards: int, ready: bool = True) -> dict[str, Any]:
    return {"version": "old", "tasks": 5, "shards": [{"shard": n, "ready": ready, "owned": True} for n in shards]}


def exposed(*shards: int) -> str:
    """What a worker with these shards says, every metric with a value."""
    registry = CollectorRegistry(auto_describe=False)
    views = []
    for shard in shards:
        stats = ShardStats(shard, frames=10 + shard)
        stats.commit.observe(0.004)
        stats.lost["idle"] += 1
        views.append(ShardView(stats, Counts(), lambda: 0, HeldKeys(), decide, letters_of(shard)))
    source = SourceView(lambda: {"connect": 1.5}, lambda: 60.0)
    registry.register(ShardCollector(views, lambda: [("order", "x", "field", 2)], source, lambda: 0))
    return generate_latest(registry).decode()


async def decide(*_: object) -> dict[str, int]:
    return {}


def lines(text: str, *names: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(names)]


def test_status_lists_all_shards_in_order_with_their_workers() -> None:
    found = merged.status({"version": "1"}, ORDER, {2: answer(0, 2), 1: answer(3, 1)}, 7)

    assert [(s["shard"], s["worker"]) for s in found["shards"]] == [(3, 1), (0, 2), (1, 1), (2, 2)]
    assert (found["version"], found["ready"], found["tasks"]) == ("1", True, 17)


def test_it_is_ready_when_all_shards_of_all_workers_are() -> None:
    assert merged.waiting(ORDER, {1: answer(3, 1), 2: answer(0, 2, ready=False)}) == [0, 2]
    assert merged.waiting(ORDER, {1: answer(3, 1)}) == [0, 2]
    assert not merged.status({}, ORDER, {1: answer(3, 1)}, 0)["ready"]


def test_one_workers_metrics_of_shards_stay_as_they_are() -> None:
    text = exposed(0, 1)
    found = merged.metrics("", {1: text}).decode()

    assert lines(found, "syncbridge_commit_seconds", "syncbridge_sessions_lost", "syncbridge_frames") == lines(
        text, "syncbridge_commit_seconds", "syncbridge_sessions_lost", "syncbridge_frames"
    )
    assert [x for x in found.splitlines() if x.startswith("#") and "worker_up" not in x] == lines(text, "#")


def test_metrics_of_two_workers_do_not_collide() -> None:
    registry = CollectorRegistry()
    Counter("thing", "Of a process.", registry=registry).inc(4)
    own = generate_latest(registry).decode()

    found = merged.metrics(own, {1: exposed(0, 2), 2: own + exposed(1), 3: None}).decode()

    assert lines(found, "syncbridge_frames_received_total") == [
        f'syncbridge_frames_received_total{{shard="{n}"}} {10 + n}.0' for n in (0, 2, 1)
    ]
    assert lines(found, "syncbridge_source_", "thing_total", "syncbridge_worker_up", "syncbridge_drift") == [
        'syncbridge_worker_up{worker="1"} 1.0',
        'syncbridge_worker_up{worker="2"} 1.0',
        'syncbridge_worker_up{worker="3"} 0.0',
        'thing_total{worker="supervisor"} 4.0',
        'thing_total{worker="2"} 4.0',
        'syncbridge_drift_seen_total{entity_type="order",field="x",kind="field",worker="1"} 2.0',
        'syncbridge_drift_seen_total{entity_type="order",field="x",kind="field",worker="2"} 2.0',
        'syncbridge_source_wait_seconds_total{limit="connect",worker="1"} 1.5',
        'syncbridge_source_wait_seconds_total{limit="connect",worker="2"} 1.5',
        'syncbridge_source_hold_seconds{worker="1"} 60.0',
        'syncbridge_source_hold_seconds{worker="2"} 60.0',
    ]
    samples = [line.rpartition(" ")[0] for line in found.splitlines() if not line.startswith("#")]
    assert len(samples) == len(set(samples))
    kinds = lines(found, "# TYPE")
    assert len(kinds) == len(set(kinds)), "one head for each metric"
