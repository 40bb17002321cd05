"""Whoever catches an error must know from its class alone what to do, and with which code to exit."""

from __future__ import annotations

import pytest

from bridge import errors
from bridge.errors import BridgeError, Recovery

EXPECTED = {
    "ConfigurationError": (Recovery.STOP, 2),
    "AuthorizationRefused": (Recovery.STOP, 3),
    "KafkaUnusable": (Recovery.STOP, 4),
    "KafkaUnavailable": (Recovery.RETRY, 4),
    "Replaced": (Recovery.STOP, 5),
    "SessionLost": (Recovery.RECONNECT, 1),
    "OutcomeUnknown": (Recovery.RECOVER, 1),
    "Unencodable": (Recovery.DEAD_LETTER, 1),
}


def descendants(kind: type[BridgeError]) -> set[type[BridgeError]]:
    return {each for child in kind.__subclasses__() for each in {child, *descendants(child)}}


def test_every_class_has_the_recovery_and_exit_code_of_the_contract() -> None:
    ours = {each for each in descendants(BridgeError) if each.__module__ == errors.__name__}
    assert {each.__name__: (each.recovery, each.exit_code) for each in ours} == EXPECTED


def test_the_tree_in_the_module_names_every_class() -> None:
    assert errors.__doc__ is not None
    missing = [name for name in EXPECTED if f"── {name} " not in errors.__doc__.replace("└", "├")]
    assert missing == []


@pytest.mark.parametrize("name", EXPECTED)
def test_the_tree_in_the_module_tells_the_same_recovery(name: str) -> None:
    (line,) = [line for line in (errors.__doc__ or "").splitlines() if f"── {name} " in line]
    recovery, code = EXPECTED[name]
    assert recovery.name in line
    if recovery is Recovery.STOP:
        assert f"exit {code}" in line


def test_session_lost_keeps_cause_code_and_wait() -> None:
    lost = errors.SessionLost("shutdown", "quota reached", code=4008, wait_s=300.0)
    assert str(lost) == "session lost (shutdown 4008): quota reached"
    assert (lost.cause, lost.reason, lost.code, lost.wait_s) == ("shutdown", "quota reached", 4008, 300.0)
    assert str(errors.SessionLost("idle")) == "session lost (idle)"


def test_unencodable_keeps_its_stable_word() -> None:
    error = errors.Unencodable("no_id", "the entity has no id")
    assert (error.reason, str(error)) == ("no_id", "the entity has no id")
