from __future__ import annotations

import pytest

from bridge.shard.writer import ENOUGH_BYTES, GATHER_S, MUCH_BYTES, gathering_s


@pytest.mark.parametrize(
    ("taken_bytes", "took_s", "wanted"),
    [
        (0, 0.020, 0.0),
        (MUCH_BYTES - 1, 0.020, 0.0),
        (MUCH_BYTES, 0.020, 0.010),
        (MUCH_BYTES, 0.0, 0.0),
        (MUCH_BYTES, 9.0, GATHER_S),
        (ENOUGH_BYTES - 1, 0.020, 0.010),
        (ENOUGH_BYTES, 0.020, 0.0),
    ],
)
def test_who_has_much_waits_for_more_as_long_as_kafka_is_slow_and_never_for_long(
    taken_bytes: int, took_s: float, wanted: float
) -> None:
    assert gathering_s(taken_bytes, took_s) == wanted
