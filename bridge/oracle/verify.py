"""Verifies a run: topics against ledger."""

from __future__ import annotations

import ssl
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from bridge.oracle.certificates import certified
from bridge.oracle.decode import Decoder
from bridge.oracle.expectation import Rules
from bridge.oracle.judge import judge
from bridge.oracle.ledger import faults_of_the_truth, fetch, read
from bridge.oracle.reader import Follower, read_all, read_told
from bridge.oracle.records import Record, Truth
from bridge.oracle.report import Report
from bridge.oracle.schemas import Registry


async def verify(
    bootstrap: str,
    prefix: str,
    control_url: str | Path,
    registry: Registry | str | None = None,
    divisor: int = 4,
    *,
    rules: Rules | None = None,
    follower: Follower | None = None,
    tls: ssl.SSLContext | None = None,
    **settings: Any,
) -> Report:
    """Reads all entity topics of a prefix and judges them against a simulator's ledger.

    Args:
        bootstrap: servers of the cluster.
        prefix: topic prefix.
        control_url: the simulator's own endpoints, `http://host:port/sim`, or a folder with its ledger.
        registry: schema registry or its address, None for single-object encoding.
        divisor: number of partitions; ignored if `rules` are given.
        rules: how to judge, None for the defaults; the gaps that the bridge has announced are added.
        follower: a reader that polled during the run; only with it the report has latencies, and frames are judged as
            they became readable.
        tls: what to trust where the simulator's address is `https`.
        settings: further settings of the Kafka consumer (security).
    """
    rules = rules or Rules(divisor)
    if rules.now_us is None:
        rules = replace(rules, now_us=time.time_ns() // 1000)
    decoder = Decoder(registry)
    records, broken = await read_all(bootstrap, prefix, decoder, **settings)
    told, unread = await read_told(bootstrap, prefix, decoder, **settings)
    if rules.announced is None:
        rules = replace(rules, announced=told.gaps)
    marks = follower.marks if follower is not None else ()
    report = judge(_timed(records, follower), await _truth(control_url, tls), rules, marks)
    if rules.exactly_once:  # else a crash leaves records in the topics that the state does not know of
        certified(report, records, told.certificates)
    if isinstance(control_url, str):
        for sentence in await faults_of_the_truth(control_url, tls):
            report.blame("truth_wrong", sentence)
    broken += unread
    for topic, partition, offset, why in broken:
        report.blame("undecodable", why, topic=topic, partition=partition, offset=offset)
    return report


async def _truth(source: str | Path, tls: ssl.SSLContext | None) -> Truth:
    return read(source) if isinstance(source, Path) else await fetch(source, tls)


def _timed(records: list[Record], follower: Follower | None) -> list[Record]:
    if follower is None:
        return records
    times = follower.read_us()
    return [replace(r, read_us=times.get((r.entity_type, r.partition, r.offset))) for r in records]
