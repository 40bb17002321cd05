from __future__ import annotations

from io import BytesIO
from typing import Any

import fastavro
import pytest

from bridge.entities import primitives
from bridge.entities.values import Misfit, from_millis, to_millis


def avro(schema: Any, value: Any) -> bytes:
    fastavro.schemaless_writer(out := BytesIO(), fastavro.parse_schema(schema), value)
    return out.getvalue()


EDGES = sorted({sign * ((1 << bits) + step) for bits in range(63) for step in (-1, 0, 1) for sign in (1, -1)})


def test_a_varint_is_avros_long_at_every_edge() -> None:
    for number in [*EDGES, 2**63 - 1, -(2**63)]:
        assert primitives.varint(number) == avro("long", number), number


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 2**64, -(2**64), 2**200])
def test_a_varint_has_64_bits(number: int) -> None:
    with pytest.raises(Misfit, match="out_of_range"):
        primitives.varint(number)


@pytest.mark.parametrize("value", ["", "Buy", "Zürich \U0001f600", "x" * 100_000])
def test_a_text_is_avros_string(value: str) -> None:
    assert primitives.text(value) == avro("string", value)
    assert primitives.TEXTS[value] == primitives.TEXTS[value] == avro(["null", "string"], value)


@pytest.mark.parametrize("value", [0, 7760, -12.5, 0.1, 2**53, -(2.0**53)])
def test_a_double_is_avros(value: float) -> None:
    assert primitives.exact(value) is value


@pytest.mark.parametrize("value", [2**53 + 2, 2.0**54, float("nan"), True, "1", None])
def test_a_double_that_needs_thought_is_left_to_the_reference(value: Any) -> None:
    with pytest.raises(Misfit):
        primitives.exact(value)


@pytest.mark.parametrize(
    "text", ["2016-11-04T00:02:36.626Z", "2025-01-31T00:58:39Z", "2016-11-04T23:59:59.6Z", "1969-12-31T23:59:59.999Z"]
)
def test_a_moment_is_the_same_by_table(text: str) -> None:
    assert primitives.millis(text) == primitives.millis(text) == to_millis(text)


@pytest.mark.parametrize(
    "value",
    [
        "2016-11-04T00:02:39Z123Z",
        "2016-02-30T00:02:36.626Z",
        "2016-11-04T24:02:36.626Z",
        "2016-11-04T00:02:60.626Z",
        "2016-11-04T00:02:36.6265Z",
        "2016-W44-5T00:02:36.626Z",
        "",
    ],
)
def test_the_tables_are_as_strict_as_the_pattern(value: str) -> None:
    for attempt in (primitives.millis, to_millis):
        with pytest.raises(Misfit):
            attempt(value)


@pytest.mark.parametrize(
    "written",
    [
        b'{"year":2026,"month":true,"day":1}',
        b'{"year":2026,"month":1.0,"day":1}',
        b'{"year":2026,"month":1,"day":1,"hour":null}',
        b'{"year":2026,"month":1}',
        b'"2026-01-01"',
    ],
)
def test_only_a_plain_trade_date_is_encoded_by_memo(written: bytes) -> None:
    assert primitives.DATES[b'{"year":2026,"month":1,"day":1}'] == avro(["null", "int"], 20454)
    with pytest.raises(Misfit):
        primitives.DATES[written]
    assert written not in primitives.DATES


def test_a_memo_is_bounded_and_does_not_keep_long_keys() -> None:
    memo = primitives.ShortMemo(str, 3)
    assert [memo["x" * number] for number in range(4)] == ["", "x", "xx", "xxx"]
    assert dict(memo) == {"xxx": "xxx"}
    assert memo["x" * 65] == "x" * 65
    assert dict(memo) == {"xxx": "xxx"}


def test_ids_and_moments_are_encoded_as_ever_and_few_are_held() -> None:
    ids, moments = primitives.Ids(), primitives.Moments()
    for number in (0, -1, 63, 2**27 - 1, 2**27, 2**41 - 1, 2**41, 2**63 - 1, -(2**63)):
        assert ids[number] == ids[number] == avro("long", number)
    for since in (-1, 0, 2**13 - 1, 2**13, 1_772_366_400_123, -62_135_596_800_000, 253_402_300_799_999):
        assert moments[from_millis(since)] == (avro(["null", "long"], since), since)
    for number in range(40_000):
        assert ids[number]
        assert moments[from_millis(number)]
    assert len(ids) < 20_000
    assert len(moments) <= 1000
    with pytest.raises(Misfit):
        ids[2**63]
    assert 2**63 not in ids


@pytest.mark.parametrize("number", [0, 1, 63, 64, 2**13 - 1, 2**13, 2**20, 2**27, 2**41, 2**48, 2**55, 2**62])
def test_running_numbers_are_avros_longs(number: int) -> None:
    for near in (number, number + 1):
        assert primitives.ascending(near) == avro("long", near)
        table, rest = primitives.block_of(near)
        assert table[near & 0x1FFF] + rest == avro("long", near)


def test_sizes_are_avros_longs() -> None:
    assert [avro("long", size) for size in range(1 << 13)] == primitives.SIZES
