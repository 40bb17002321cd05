"""Prometheus metrics, made from the shards' plain numbers when somebody scrapes; the hot path knows nothing of it.

`METRICS` is the one list of names; docs/operations.md shows it, a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from bridge.changes.held import HeldKeys
from bridge.changes.reconciler import Counts
from bridge.shard.stats import BOUNDS_S, Histogram, ShardStats

Kind = Literal["counter", "gauge", "histogram"]


Value = float | Histogram | Mapping[str, float]


Decide = Callable[[bool, str | None, Collection[int]], Awaitable[Mapping[str, int]]]


@dataclass(frozen=True, slots=True)
class ShardView:
    """Where one shard's numbers stand.

    Attributes:
        held: keys whose deletion the brake holds.
        decide: confirms (or discards) held deletions, of a type and of ids if any are named; gives the number of keys
            by type once it is committed.
    """

    stats: ShardStats
    counts: Counts
    entities: Callable[[], int]
    held: HeldKeys
    decide: Decide


def _silence(view: ShardView, now_us: int) -> float:
    heard_us = view.stats.last_server_us
    return (now_us - heard_us) / 1e6 if heard_us else 0.0


@dataclass(frozen=True, slots=True)
class MetricName:
    """One metric: its name (without `_total`), kind, extra label, meaning, and where its value is read."""

    name: str
    kind: Kind
    label: str | None
    help: str
    read: Callable[[ShardView, int], Value]


METRICS: Mapping[str, MetricName] = {
    m.name: m
    for m in (
        MetricName(
            "syncbridge_shard_owned", "gauge", None, "1 while this process owns the shard.", lambda v, _: v.stats.owned
        ),
        MetricName(
            "syncbridge_shard_ready",
            "gauge",
            None,
            "1 when a snapshot has been committed in this process.",
            lambda v, _: v.stats.ready,
        ),
        MetricName(
            "syncbridge_session_open",
            "gauge",
            None,
            "1 while a synced socket session is open.",
            lambda v, _: v.stats.session_open,
        ),
        MetricName(
            "syncbridge_sessions_opened",
            "counter",
            None,
            "Socket sessions that sent a syncrequest.",
            lambda v, _: v.stats.sessions,
        ),
        MetricName(
            "syncbridge_sessions_lost",
            "counter",
            "cause",
            "Sessions that ended without our asking.",
            lambda v, _: v.stats.lost,
        ),
        MetricName("syncbridge_server_silence_seconds", "gauge", None, "Time since the server was heard.", _silence),
        MetricName(
            "syncbridge_frames_received",
            "counter",
            None,
            "Frames with data taken from the channel.",
            lambda v, _: v.stats.frames,
        ),
        MetricName("syncbridge_events_received", "counter", None, "Live events in them.", lambda v, _: v.counts.events),
        MetricName(
            "syncbridge_snapshot_rows_received",
            "counter",
            None,
            "Snapshot rows in them.",
            lambda v, _: v.counts.snapshot_rows,
        ),
        MetricName(
            "syncbridge_changes_committed", "counter", None, "Envelopes committed.", lambda v, _: v.stats.events
        ),
        MetricName(
            "syncbridge_records_committed",
            "counter",
            "topic",
            "Records committed, by topic.",
            lambda v, _: v.stats.topics,
        ),
        MetricName(
            "syncbridge_transactions_committed",
            "counter",
            None,
            "Transactions committed.",
            lambda v, _: v.stats.transactions,
        ),
        MetricName(
            "syncbridge_transactions_unsettled",
            "counter",
            None,
            "Transactions whose outcome had to be learnt.",
            lambda v, _: v.stats.recoveries,
        ),
        MetricName(
            "syncbridge_commit_seconds",
            "histogram",
            None,
            "Begin to commit of a transaction.",
            lambda v, _: v.stats.commit,
        ),
        MetricName(
            "syncbridge_latency_seconds",
            "histogram",
            None,
            "Arrival of the oldest frame to its commit.",
            lambda v, _: v.stats.latency,
        ),
        MetricName(
            "syncbridge_waiting_bytes",
            "gauge",
            None,
            "Bytes that wait in the channel.",
            lambda v, _: v.stats.waiting_bytes,
        ),
        MetricName(
            "syncbridge_duplicates_skipped",
            "counter",
            None,
            "Events and rows equal to what is committed.",
            lambda v, _: v.counts.duplicates,
        ),
        MetricName(
            "syncbridge_rows_beaten",
            "counter",
            None,
            "Snapshot rows whose key had been seen live.",
            lambda v, _: v.counts.beaten,
        ),
        MetricName(
            "syncbridge_rows_beaten_different",
            "counter",
            None,
            "Those of them with different content.",
            lambda v, _: v.counts.beaten_different,
        ),
        MetricName(
            "syncbridge_deletes_unknown",
            "counter",
            None,
            "Deleted events for keys that were not published.",
            lambda v, _: v.counts.unknown_deletes,
        ),
        MetricName(
            "syncbridge_resends_published",
            "counter",
            None,
            "Changes near the session roll that the broker has sent once more.",
            lambda v, _: v.counts.resent,
        ),
        MetricName(
            "syncbridge_foreign_live",
            "counter",
            None,
            "Live events whose owner belongs to another shard.",
            lambda v, _: v.counts.foreign_live,
        ),
        MetricName(
            "syncbridge_foreign_snapshot",
            "counter",
            None,
            "Snapshot rows whose owner does.",
            lambda v, _: v.counts.foreign_snapshot,
        ),
        MetricName(
            "syncbridge_foreign_skipped",
            "counter",
            None,
            "Those of them that were skipped.",
            lambda v, _: v.counts.foreign_skipped,
        ),
        MetricName(
            "syncbridge_dead_letters_written",
            "counter",
            "reason",
            "Entities that could not be encoded.",
            lambda v, _: v.counts.refused,
        ),
        MetricName(
            "syncbridge_unmapped_written",
            "counter",
            "entity_type",
            "Entities of unknown types.",
            lambda v, _: v.counts.unmapped,
        ),
        MetricName(
            "syncbridge_deletes_held",
            "gauge",
            "entity_type",
            "Keys missing from a snapshot that the brake does not let be deleted.",
            lambda v, _: v.held.counts(),
        ),
        MetricName(
            "syncbridge_entities_archived",
            "counter",
            None,
            "Session entities archived after a roll.",
            lambda v, _: v.stats.archived,
        ),
        MetricName(
            "syncbridge_entities_published", "gauge", None, "Keys in the published state.", lambda v, _: v.entities()
        ),
        MetricName("syncbridge_epoch", "gauge", None, "Epoch of the claim.", lambda v, _: v.stats.epoch),
        MetricName("syncbridge_seq", "gauge", None, "Last committed seq.", lambda v, _: v.stats.seq),
    )
}


DRIFT = "syncbridge_drift_seen"
DRIFT_HELP = "Values the schema does not know or cannot hold, kept in `unmapped`; of the whole process."
WAITS = "syncbridge_source_wait_seconds"
WAITS_HELP = "Time waited for limits towards the broker, all shards together, waits that still last included."
HOLD = "syncbridge_source_hold_seconds"
HOLD_HELP = "Time left in which no shard begins anything new at the broker, because it said so."
Drift = Callable[[], Iterable[tuple[str, str, str, int]]]
"""Gives (entity type, field, kind of drift, count)."""


@dataclass(frozen=True, slots=True)
class SourceView:
    """Where the numbers stand that all shards share.

    Attributes:
        waited: gives seconds by limit.
        hold: gives seconds.
    """

    waited: Callable[[], Mapping[str, float]]
    hold: Callable[[], float]


class ShardCollector(Collector):
    """Collects all shards' numbers at scrape time.

    Args:
        now_us: epoch microseconds, for the time since the server was heard.
    """

    def __init__(
        self, shards: Sequence[ShardView], drift: Drift, source: SourceView, now_us: Callable[[], int]
    ) -> None:
        self._shards, self._drift, self._source, self._now_us = shards, drift, source, now_us

    def collect(self) -> Iterable[Metric]:
        """All metrics of `METRICS`, each with the label `shard`, the drift, and the waits for the broker."""
        drift = CounterMetricFamily(DRIFT, DRIFT_HELP, labels=["entity_type", "field", "kind"])
        for entity_type, field, kind, count in self._drift():
            drift.add_metric([entity_type, field, kind], count)
        yield drift
        waits = CounterMetricFamily(WAITS, WAITS_HELP, labels=["limit"])
        for limit, seconds in self._source.waited().items():
            waits.add_metric([limit], seconds)
        yield waits
        yield GaugeMetricFamily(HOLD, HOLD_HELP, value=self._source.hold())
        for definition in METRICS.values():
            family = _family(definition)
            for view in self._shards:
                _add(family, str(view.stats.shard), definition.read(view, self._now_us()))
            yield family


def _family(definition: MetricName) -> Metric:
    labels = ["shard", *([definition.label] if definition.label else [])]
    make = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily, "histogram": HistogramMetricFamily}
    family: Metric = make[definition.kind](definition.name, definition.help, labels=labels)
    return family


def _add(family: Metric, shard: str, value: Value) -> None:
    if isinstance(family, HistogramMetricFamily):
        assert isinstance(value, Histogram)  # noqa: S101 - METRICS says so
        family.add_metric([shard], list(_buckets(value)), sum_value=value.total_s)
    elif isinstance(family, CounterMetricFamily | GaugeMetricFamily):
        if isinstance(value, Mapping):
            for label, number in list(value.items()):
                family.add_metric([shard, label], number)
        elif not isinstance(value, Histogram):
            family.add_metric([shard], value)


def _buckets(histogram: Histogram) -> Iterator[tuple[str, float]]:
    total = 0
    for bound, count in zip((*BOUNDS_S, float("inf")), histogram.counts, strict=True):
        total += count
        yield ("+Inf" if bound == float("inf") else str(bound)), total
