"""Prometheus metrics, made from the shards' plain numbers when somebody scrapes.

The names that are here belong to the process; docs/operations.md shows all, a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from bridge.operate.metrics import METRICS, MetricName, ShardView, Value
from bridge.shard.stats import BOUNDS_S, Histogram

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
