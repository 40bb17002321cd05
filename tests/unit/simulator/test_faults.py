from __future__ import annotations

from typing import Any

import pytest

from bridge.simulator.faults import KINDS, FaultError, Faults


def test_a_fault_fires_as_often_as_it_was_told_and_reports_it() -> None:
    faults = Faults()
    fault = faults.arm("drop", times=2, skip=1)
    assert [len(list(faults.take("live"))) for _ in range(5)] == [0, 1, 1, 0, 0]
    assert fault.fired == 2
    assert not faults.armed("live")
    assert faults.unfired() == []


def test_a_fault_that_nothing_consulted_is_unfired() -> None:
    faults = Faults()
    fault = faults.arm("drop")
    assert faults.first("frame") is None
    assert faults.unfired() == [fault]


def test_a_fault_strikes_only_its_shard() -> None:
    faults = Faults()
    faults.arm("half_open", remainder=2)
    assert [faults.first("live", r) for r in (0, None, 2)] == [None, None, faults.all()[0]]


def test_chance_is_seeded() -> None:
    def fired(seed: int) -> list[int]:
        faults = Faults(seed)
        faults.arm("frame_drop", times=None, probability=0.3)
        return [len(list(faults.take("frame"))) for _ in range(200)]

    assert fired(1) == fired(1)
    assert fired(1) != fired(2)
    assert 30 < sum(fired(1)) < 90


def test_arguments_are_completed_and_checked() -> None:
    faults = Faults()
    assert faults.arm("token_penalty", seconds=7).args == {"seconds": 7, "captcha": False}
    with pytest.raises(FaultError, match="no argument 'minutes'"):
        faults.arm("token_penalty", minutes=7)
    with pytest.raises(FaultError, match="no fault 'fire'"):
        faults.arm("fire")


def test_disarmed_faults_stay_on_record() -> None:
    faults = Faults()
    for kind in KINDS:
        faults.arm(kind, times=None)
    assert len(list(faults.take("token"))) == 5
    faults.disarm()
    assert not any(faults.first(kind.point) for kind in KINDS.values())
    assert sum(fault.fired for fault in faults.all()) == 5


def test_where_only_one_can_strike_the_others_have_not_fired() -> None:
    faults = Faults()
    error, missing = faults.arm("token_error"), faults.arm("token_missing")
    assert faults.first("token") is error
    assert (error.fired, missing.fired) == (1, 0)
    assert faults.first("token") is missing


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("drop", {"times": 0}),
        ("drop", {"times": "twice"}),
        ("drop", {"skip": -1}),
        ("drop", {"probability": 0}),
        ("drop", {"probability": 1.5}),
        ("drop", {"remainder": "1"}),
        ("token_error", {"remainder": 1}),
        ("token_error", {"text": 5}),
        ("token_penalty", {"seconds": "3"}),
        ("token_penalty", {"captcha": 1}),
        ("sync_status", {"status": 429.5}),
        ("part_delay", {"seconds": -1}),
    ],
)
def test_what_makes_no_sense_is_refused(kind: str, settings: dict[str, Any]) -> None:
    with pytest.raises(FaultError, match=kind):
        Faults().arm(kind, **settings)
