"""The live terminal view of the demo: pure rendering of what `/status` said last and before."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

_STYLES = {"live": "green", "snapshot": "yellow", "waiting": "yellow", "connecting": "yellow", "stopped": "red"}
TOPICS_SHOWN = 14


@dataclass(frozen=True, slots=True)
class Sample:
    """One `/status` and when it was read, in seconds."""

    at_s: float
    status: dict[str, Any]


def render(addresses: dict[str, str], now: Sample | None, before: Sample | None, rate: float) -> RenderableType:
    """The whole view; `rate` is what the simulator is asked to produce, events a second."""
    where = Table.grid(padding=(0, 2))
    for name, address in addresses.items():
        where.add_row(Text(name, style="bold"), address)
    where.add_row(Text("simulated rate", style="bold"), f"{rate:g} events/s")
    if now is None:
        return Group(Panel(where, title="syncbridge demo"), Text("the bridge is starting ...", style="yellow"))
    return Group(
        Panel(where, title="syncbridge demo", subtitle="Ctrl-C stops everything"),
        _shards(now, before),
        _topics(now),
    )


def _shards(now: Sample, before: Sample | None) -> Table:
    table = Table(expand=True)
    for heading in ("shard", "state"):
        table.add_column(heading)
    for heading in ("entities", "events/s", "records/s", "commit p50 ms", "p99 ms", "lag ms", "epoch", "seq"):
        table.add_column(heading, justify="right")
    for shard in now.status["shards"]:
        old = _old(shard["shard"], before)
        seconds = now.at_s - before.at_s if before else 0.0
        table.add_row(
            str(shard["shard"]),
            Text(shard["phase"], style=_STYLES.get(shard["phase"], "")),
            f"{shard['entities']:,}",
            _rate(shard, old, "events", seconds),
            _rate(shard, old, "records", seconds),
            f"{shard['commit_ms']['p50']:.1f}",
            f"{shard['commit_ms']['p99']:.1f}",
            f"{shard['lag_ms']:.1f}",
            str(shard["epoch"]),
            f"{shard['seq']:,}",
        )
    return table


def _topics(now: Sample) -> Table:
    counts: Counter[str] = Counter()
    for shard in now.status["shards"]:
        counts.update(shard["topics"])
    table = Table(expand=True)
    for _ in range(2):
        table.add_column("topic")
        table.add_column("records", justify="right")
    shown = [(topic, f"{count:,}") for topic, count in counts.most_common(TOPICS_SHOWN)]
    half = (len(shown) + 1) // 2
    for i in range(half):
        right = shown[half + i] if half + i < len(shown) else ("", "")
        table.add_row(*shown[i], *right)
    return table


def _old(number: int, before: Sample | None) -> dict[str, Any] | None:
    if before is None:
        return None
    return next((s for s in before.status["shards"] if s["shard"] == number), None)


def _rate(new: dict[str, Any], old: dict[str, Any] | None, name: str, seconds: float) -> str:
    return f"{(new[name] - old[name]) / seconds:,.0f}" if old and seconds > 0 else "-"
