from __future__ import annotations

import pytest

from bridge.simulator.faults import KINDS, FaultError, Faults


def test_a_fault_fires_as_often_as_it_was_told_and_reports_it() -> None:
    faults = Faults()
    fault = faults.arm("drop", times=2, skip=1)
    assert [len(faults.take("live")) for _ in range(5)] == [0, 1, 1, 0, 0]
    assert fault.fired == 2
    assert not faults.armed("live")
    assert faults.unfired() == []


def test_a_fault_that_nothing_consulted_is_unfired() -> None:
    faults = Faults()
    fault = faults.arm("drop")
    faults.take("frame")
    assert faults.unfired() == [fault]


def test_a_fault_strikes_only_its_shard() -> None:
    faults = Faults()
    faults.arm("half_open", remainder=2)
    assert [len(faults.take("live", r)) for r in (0, None, 2)] == [0, 0, 1]


def test_chance_is_seeded() -> None:
    def fired(seed: int) -> list[int]:
        faults = Faults(seed)
        faults.arm("frame_drop", times=None, probability=0.3)
        return [len(faults.take("frame")) for _ in range(200)]

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
    assert len(faults.take("token")) == 5
    faults.disarm()
    assert not any(faults.take(kind.point) for kind in KINDS.values())
    assert sum(fault.fired for fault in faults.all()) == 5
