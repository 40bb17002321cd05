"""The metrics of a shard, and where each is read from its plain numbers; the hot path knows nothing of it.

`METRICS` is the one list of names; docs/operations.md shows it, a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from bridge.changes.counts import Counts
from bridge.changes.held import HeldKeys
from bridge.shard.letters import LetterDesk
from bridge.shard.stats import Histogram, ShardStats

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
        letters: where dead letters are handed in again.
    """

    stats: ShardStats
    counts: Counts
    entities: Callable[[], int]
    held: HeldKeys
    decide: Decide
    letters: LetterDesk


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
            "syncbridge_spooled_bytes",
            "gauge",
            None,
            "Bytes that wait in the spool on disk.",
            lambda v, _: v.stats.spooled_bytes,
        ),
        MetricName(
            "syncbridge_spills",
            "counter",
            None,
            "Times that memory was full and the spool used.",
            lambda v, _: v.stats.spills,
        ),
        MetricName(
            "syncbridge_frames_spooled",
            "counter",
            None,
            "Frames that went through the spool.",
            lambda v, _: v.stats.spooled_frames,
        ),
        MetricName(
            "syncbridge_spool_failures",
            "counter",
            None,
            "Times that the disk of the spool failed or was full.",
            lambda v, _: v.stats.spool_failures,
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
            "syncbridge_dead_letters_retried",
            "counter",
            "outcome",
            "Dead letters that were handed in again.",
            lambda v, _: v.letters.counts,
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
            "syncbridge_audits_completed",
            "counter",
            None,
            "Snapshots on a spare socket that were compared with what is published.",
            lambda v, _: v.stats.audits,
        ),
        MetricName(
            "syncbridge_audits_skipped",
            "counter",
            "reason",
            "Audits that were due and did not happen, or came to no end.",
            lambda v, _: v.stats.audits_skipped,
        ),
        MetricName(
            "syncbridge_audit_repairs",
            "counter",
            "entity_type",
            "Keys that an audit found to be otherwise than published, and repaired: silent loss.",
            lambda v, _: v.stats.audit_repairs,
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
