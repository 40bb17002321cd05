from typing import Any

import pytest

from bridge.source import forward
from bridge.source.rows import Rows, rows


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        ({"e": "props", "d": {}}, True),
        ({"e": "clock", "d": "x"}, True),
        ({"e": "shutdown", "d": {}}, False),
        ({"i": 1, "s": 200, "d": {"orders": []}}, True),
        ({"i": 9, "s": 200, "d": "x"}, True),
        ({"i": 0, "s": 200, "d": {"x": []}}, False),
        ({"i": 1, "s": 200}, False),
        ({"i": 1, "s": 429}, False),
        ({"i": 1, "s": 200, "d": {"p-ticket": "t", "p-time": 1}}, False),
        ({"i": 1, "s": 200, "d": {"errorText": "no"}}, False),
        ({"x": 1}, True),
        ("text", True),
        (None, False),
    ],
)
def test_only_data_and_the_unknown_are_forwarded(message: Any, wanted: bool) -> None:
    assert forward.carries_data(message) is wanted


@pytest.mark.parametrize(
    ("data", "batch"),
    [
        ({"entityType": "order", "entity": [{}]}, True),
        ({"entityType": "order", "eventType": "Created", "entity": [{}]}, True),
        ([{"entityType": "order", "entity": [{}]}, {"entityType": "fill", "entity": []}], True),
        ({"entityType": "order", "eventType": "Updated", "entity": [{}]}, False),
        ({"entityType": "order", "eventType": "Deleted", "entity": [{}]}, False),
        ({"entityType": "order", "eventType": "Created", "entity": {}}, False),
        ([{"entity": [{}]}, {"entity": {}}], False),
        ([], False),
        (None, False),
    ],
)
def test_a_batch_is_an_array_that_nobody_updated_or_deleted(data: Any, batch: bool) -> None:
    assert forward.is_batch({"e": "props", "d": data}) is batch


def test_a_frame_written_as_snapshot_keeps_every_value_exactly() -> None:
    raw = (
        b'a[{"e":"props","d":{"entityType":"order","eventType":"Created","entity":[{"id":99999999999999999999999}]}},'
        b'{"e":"props","d":{"entityType":"fill","eventType":"Updated","entity":{"id":2}}}]'
    )

    anew = forward.messages(forward.written_as_snapshot(raw, 3), exact=True)

    assert anew[0] == {"i": 3, "s": 200, "d": [{"entityType": "order", "entity": [{"id": 99999999999999999999999}]}]}
    assert list(rows(anew[0])) == [Rows("order", None, [{"id": 99999999999999999999999}], None, True)]
    assert list(rows(anew[1])) == [Rows("fill", "Updated", [{"id": 2}], None, False)]


def test_what_is_too_deep_to_be_written_again_is_a_value_error() -> None:
    deep = b"[" * 200 + b"]" * 200
    raw = b'a[{"e":"props","d":{"entityType":"order","entity":[' + deep + b"]}}]"

    with pytest.raises(ValueError, match="nested"):
        forward.written_as_snapshot(raw, 1)
