from __future__ import annotations

from dataclasses import replace

from bridge.oracle.certificates import certified, weight
from bridge.oracle.records import Certificate, Record, Source
from bridge.oracle.report import Report

SHA256_OF_256_ABC = "6c816e752cc507f07a6e04e7978132f67d0816b2d46343f53fd9e978e4c34c1a"


def record(offset: int, number: int, seq: int, value: bytes | None) -> Record:
    source = Source("false", 1, 2, 1, seq, 1, seq, 0, False)
    return Record(
        "order", 1, offset, number, "u", source=source, weight=None if value is None else weight(number, value)
    )


RECORDS = [record(0, 5, 1, b"old"), record(1, 6, 3, b"other"), record(3, 5, 4, b"new"), record(4, 6, 5, None)]
TOMBSTONE = Record("order", 1, 5, 6)
BEFORE = f"{weight(5, b'new') + weight(6, b'other') & (1 << 128) - 1:032x}"
AFTER = f"{weight(5, b'new'):032x}"
FIRST = Certificate(1, 4, {"order": (2, BEFORE)}, {"order": 4, "fill": 0})
SECOND = Certificate(1, 5, {"order": (1, AFTER)}, {"order": 6, "fill": 0})


def wrong(*certificates: Certificate) -> list[str]:
    report = Report()
    certified(report, [*RECORDS, TOMBSTONE], certificates)
    assert report.certificates == len(certificates)
    assert set(report.wrong) <= {"certificate_wrong"}
    return [offence["what"] for offence in report.offences]


def test_a_weight_is_half_of_a_sha256_over_id_and_value() -> None:
    """Worked out with `printf '\\0\\0\\0\\0\\0\\0\\1\\0abc' | sha256sum`."""
    assert f"{weight(256, b'abc'):032x}" == SHA256_OF_256_ABC[:32]


def test_certificates_that_agree_are_not_blamed() -> None:
    assert wrong(FIRST, SECOND) == []
    assert wrong(SECOND, FIRST) == [], "they are taken in the order of their seq"


def test_another_count_hash_or_type_is_blamed() -> None:
    for types in ({"order": (1, BEFORE)}, {"order": (2, AFTER)}, {}, {**FIRST.types, "fill": (1, AFTER)}):
        assert len(wrong(replace(FIRST, types=types))) == 1


def test_an_offset_or_seq_elsewhere_is_blamed() -> None:
    assert wrong(replace(FIRST, seq=3)) == ["its offset 4 stands between seq 4 and 5"]
    assert wrong(replace(FIRST, seq=5)) == ["its offset 4 stands between seq 4 and 5"]
    assert len(wrong(replace(FIRST, offsets={"order": 3}))) == 2


def test_another_partition_is_not_looked_at() -> None:
    assert wrong(Certificate(0, 4, {}, {})) == []
