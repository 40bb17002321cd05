"""What the endpoints of several workers say, put together as one process would say it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

UP = "syncbridge_worker_up"
UP_HELP = "1 while the worker answers; only with several."
SUPERVISOR = "supervisor"
"""Label `worker` of the supervisor's own process."""

Answer = Mapping[str, Any]
"""An endpoint's JSON."""


def shards(order: Sequence[int], answers: Mapping[int, Answer], *, numbered: bool = False) -> list[dict[str, Any]]:
    """The entries `shards` of all answers, in the order of the settings.

    Args:
        answers: by number of the worker.
        numbered: add that number, as `worker`.
    """
    found = [{**each, **({"worker": n} if numbered else {})} for n, one in answers.items() for each in one["shards"]]
    return sorted(found, key=lambda each: order.index(each["shard"]))


def waiting(order: Sequence[int], answers: Mapping[int, Answer]) -> list[int]:
    """The shards that are not ready, among them those of workers that did not answer."""
    ready = {each["shard"] for one in answers.values() for each in one["shards"] if each["ready"] and each["owned"]}
    return [shard for shard in order if shard not in ready]


def status(about: Answer, order: Sequence[int], answers: Mapping[int, Answer], tasks: int) -> dict[str, Any]:
    """What `/status` says for all; shards of workers that do not answer are missing.

    Args:
        about: what identifies the run.
        order: the shards of all workers.
        answers: of each worker's `/status`, by its number.
        tasks: of the supervisor.
    """
    return {
        **about,
        "ready": not waiting(order, answers),
        "shards": shards(order, answers, numbered=True),
        "tasks": tasks + sum(one["tasks"] for one in answers.values()),
    }


def metrics(own: str, answers: Mapping[int, str | None]) -> bytes:
    """The metrics of all in Prometheus' text format.

    What has the label `shard` stands in one worker only and stays as it is; all else gets the label `worker`.

    Args:
        own: metrics of the supervisor's process.
        answers: of each worker's `/metrics`, None if there was none.
    """
    families: dict[str, Metric] = {}
    up = families[UP] = GaugeMetricFamily(UP, UP_HELP, labels=["worker"])
    for number, answer in answers.items():
        up.add_metric([str(number)], float(answer is not None))
    texts = {SUPERVISOR: own, **{str(number): text for number, text in answers.items() if text is not None}}
    for worker, text in texts.items():
        for family in text_string_to_metric_families(text):
            into = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            into.samples += [
                s if "shard" in s.labels else s._replace(labels={**s.labels, "worker": worker}) for s in family.samples
            ]
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(families.values()))
    return generate_latest(registry)


class _Families(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families
