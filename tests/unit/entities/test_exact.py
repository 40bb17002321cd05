from __future__ import annotations

from typing import Any

import orjson
import pytest

from bridge.entities.exact import (
    MAX_DEPTH,
    Inexact,
    RawNumber,
    any_depth_dumps,
    exact_dumps,
    exact_loads,
    refuse_rounded,
)
from bridge.errors import Unencodable


def nested(depth: int) -> Any:
    value: Any = 1
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("18446744073709551616", 2**64),
        ("-9223372036854775809", -(2**63) - 1),
        ("1e300", 1e300),
        ("0.1", 0.1),
        ("1e400", RawNumber("1e400")),
        ("-1e400", RawNumber("-1e400")),
        ("NaN", RawNumber("NaN")),
        ("-Infinity", RawNumber("-Infinity")),
        ("9" * 5000, RawNumber("9" * 5000)),
        ('{"a":[1,null,true]}', {"a": [1, None, True]}),
        ('"\\ud800"', "\ud800"),
    ],
)
def test_nothing_is_lost_on_the_way_in_and_out(text: str, value: Any) -> None:
    assert exact_loads(text) == exact_loads(text.encode()) == value
    assert exact_loads(exact_dumps(value)) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": {"d": 2, "c": []}}, '{"a":{"c":[],"d":2},"b":1}'),
        (2**64, "18446744073709551616"),
        (RawNumber("1e999"), "1e999"),
        ("Zürich \ud800 \U0001f600", '"Zürich \\ud800 \U0001f600"'),
        ({"\udfff": 'a"b\\'}, '{"\\udfff":"a\\"b\\\\"}'),
        ([1.0, 1, True, None, -0.0], "[1.0,1,true,null,-0.0]"),
    ],
)
def test_the_text_is_canonical(value: Any, text: str) -> None:
    assert exact_dumps(value) == any_depth_dumps(value) == text
    assert text.encode()


@pytest.mark.parametrize("raw", ["[1", b"\xff", ""])
def test_what_is_not_json_is_refused(raw: bytes | str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        exact_loads(raw)


def test_depth_has_a_limit_on_the_way_out_and_does_no_harm_on_the_way_in() -> None:
    assert exact_loads(exact_dumps(nested(MAX_DEPTH))) == nested(MAX_DEPTH)
    with pytest.raises(Unencodable) as refused:
        exact_dumps(nested(MAX_DEPTH + 1))
    assert refused.value.reason == "too_deep"
    with pytest.raises(Unencodable) as refused:
        exact_loads("[" * 200_000 + "]" * 200_000)
    assert refused.value.reason == "too_deep"


def test_any_depth_can_be_written_where_it_must_be_kept() -> None:
    assert any_depth_dumps(nested(MAX_DEPTH)) == exact_dumps(nested(MAX_DEPTH))
    text = any_depth_dumps(nested(100_000))
    assert text.startswith('[{"a":[{"a":')
    assert (text.count("["), text.count("}")) == (50_000, 50_000)


@pytest.mark.parametrize("digits", ["9223372036854775808.0", "18446744073709551616", "-9223372036854775809", "1e300"])
def test_a_number_that_orjson_may_have_rounded_is_noticed_at_any_depth(digits: str) -> None:
    for shape in ("%s", "[[%s]]", '{"a":{"b":[1,%s]}}'):
        with pytest.raises(Inexact):
            refuse_rounded(orjson.loads(shape % digits))


def test_numbers_that_orjson_reads_exactly_pass() -> None:
    refuse_rounded(orjson.loads('[18446744073709551615,-9223372036854775808,9.2e18,{"a":null,"b":"1e300"}]'))
    refuse_rounded(nested(5000))
