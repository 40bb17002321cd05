"""Do the certificates that the bridge has published agree with the records before them? Pure."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence

from bridge.oracle.records import Certificate, Record
from bridge.oracle.report import Report

MODULUS = 1 << 128


def weight(number: int, value: bytes) -> int:
    """What one key adds to the sum of its type: half of SHA-256 over its id, as eight bytes, and its `Value`."""
    digest = hashlib.sha256(number.to_bytes(8, "big", signed=True) + value).hexdigest()
    return int(digest[:32], 16)


def certified(report: Report, records: Iterable[Record], certificates: Sequence[Certificate]) -> None:
    """Blames each certificate that does not say what the topics hold at its offsets, or up to its `seq`.

    Args:
        report: where to blame.
        records: all of the entity topics, per topic and partition in the order of their offsets.
        certificates: what was published.
    """
    report.certificates += len(certificates)
    rows: dict[tuple[int, str], list[Record]] = defaultdict(list)
    for record in records:
        rows[record.partition, record.entity_type].append(record)
    for partition in {c.partition for c in certificates}:
        own = sorted((c for c in certificates if c.partition == partition), key=lambda c: c.seq)
        types = {t for p, t in rows if p == partition} | {t for c in own for t in c.types}
        for entity_type in sorted(types):
            _follow(report, rows[partition, entity_type], entity_type, own)


def _follow(report: Report, records: list[Record], entity_type: str, certificates: list[Certificate]) -> None:
    """Folds one topic's partition and stops at each certificate."""
    state: dict[int, int] = {}
    total = at = newest = 0
    for certificate in certificates:
        end = certificate.offsets.get(entity_type, 0)
        while at < len(records) and records[at].offset < end:
            record = records[at]
            total -= state.pop(record.id, 0)
            if record.weight is not None:
                state[record.id] = record.weight
                total += record.weight
            newest = max(newest, _seq(record))
            at += 1
        rest = next((_seq(r) for r in records[at:] if r.source is not None), certificate.seq + 1)
        if not newest <= certificate.seq < rest:
            _blame(report, certificate, entity_type, f"its offset {end} stands between seq {newest} and {rest}")
        found = (len(state), f"{total % MODULUS:032x}")
        told = certificate.types.get(entity_type, (0, f"{0:032x}"))
        if found != told:
            _blame(report, certificate, entity_type, f"the topic comes to {found}, it says {told}")


def _seq(record: Record) -> int:
    return record.source.seq if record.source else 0


def _blame(report: Report, certificate: Certificate, entity_type: str, sentence: str) -> None:
    facts = {"partition": certificate.partition, "type": entity_type, "seq": certificate.seq}
    report.blame("certificate_wrong", sentence, **facts)
