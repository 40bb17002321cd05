from typing import Any

import pytest

from bridge.source import forward


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
