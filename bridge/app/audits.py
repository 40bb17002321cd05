"""The audits of a shard, as the settings want them."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from bridge.changes.audit import Audit
from bridge.changes.kind import Kind
from bridge.changes.reconciler import Reconciler
from bridge.config import Settings
from bridge.shard.audit import Audits, Pace
from bridge.shard.ports import Clock, Spares
from bridge.shard.reader import Reader
from bridge.shard.stats import ShardStats


def audits(
    settings: Settings,
    spares: Spares | None,
    known: Mapping[str, Kind],
    reconciler: Reconciler,
    reader: Reader,
    clock: Clock,
    stats: ShardStats,
    logger: structlog.typing.FilteringBoundLogger,
) -> Audits:
    """Audits of one shard, at other times than those of the others."""

    def begin(session: int, began_ms: int) -> Audit:
        limit = settings.kafka.max_record_bytes
        return Audit(known, reconciler, session=session, began_ms=began_ms, max_value_bytes=limit)

    return Audits(
        spares=spares,
        pace=_pace(settings, stats.shard),
        begin=begin,
        reader=reader,
        clock=clock,
        stats=stats,
        logger=logger,
    )


def _pace(settings: Settings, shard: int) -> Pace:
    """The first audits of the shards of a process are spread over one interval."""
    audit, remainders = settings.audit, settings.sharding.remainders
    return Pace(
        interval_s=audit.interval_s,
        first_s=audit.interval_s * (remainders.index(shard) + 1) / len(remainders),
        before_s=audit.before_s,
        after_s=audit.after_s,
        absence_s=max(audit.after_s, settings.snapshot.delete_quiet_s),
        memory_bytes=settings.pressure.memory_mb * 2**20,
    )
