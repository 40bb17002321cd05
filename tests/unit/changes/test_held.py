from __future__ import annotations

from bridge.changes.held import MOST_SHOWN, HeldKeys, shown


def test_what_is_held_is_told_by_type_until_it_is_released() -> None:
    held = HeldKeys()
    held.hold("account", 7, 100)
    held.hold("account", 3, 200)
    held.hold("position", 1, 300)

    assert held.counts() == {"account": 2, "position": 1}
    assert held.among("account", {3, 4}) == {3}
    assert shown(held)["account"] == {"count": 2, "since_ms": 100, "ids": [3, 7]}
    held.release("position", 1)
    held.release("position", 1)
    held.release("fill", 1)
    assert (list(held), held.of("position")) == (["account"], {})
    held.release("account", 3)
    held.release("account", 7)
    assert not held


def test_only_the_first_ids_of_many_are_told() -> None:
    held = HeldKeys()
    for number in range(MOST_SHOWN + 5):
        held.hold("account", number, 1)
    told = shown(held)["account"]
    assert (told["count"], told["ids"]) == (MOST_SHOWN + 5, list(range(MOST_SHOWN)))
