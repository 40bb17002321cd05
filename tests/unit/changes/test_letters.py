"""Letters that are tried again, over a real state and real encoders."""

from __future__ import annotations

from typing import Any

from bridge.changes.letters import Letter, Outcome, Retrial
from tests.component.operate.letters import retrial_of
from tests.unit.changes.scene import Scene, content, deleted, listed, live

ORDER: dict[str, Any] = {"id": 7, "accountId": 5, "action": "Buy"}
CHANGED = {**ORDER, "action": "Sell"}


def outcome(retrial: Retrial, entity: Any, newer_than: str | None = None, entity_type: str = "order") -> Outcome:
    return retrial.retry(Letter(entity_type, entity, newer_than))[1]


def test_a_key_without_content_is_created_with_its_owners() -> None:
    scene = Scene()
    scene.apply(live("account", {"id": 5, "userId": 9}))
    (change,), found = retrial_of(scene).retry(Letter("order", ORDER, None))
    assert change[:4] == ("order", 7, "c", None)
    assert content("order", change[4]) == ORDER
    assert change[5:] == (None, 5, 9, "retry")
    assert (found.word, found.content) == ("published", retrial_of(scene).content("order", 7))


def test_a_key_that_is_as_the_letter_says_is_updated() -> None:
    scene = Scene()
    scene.apply(live("order", ORDER))
    retrial = retrial_of(scene)
    old = scene.state.tables["order"][7][0]
    (change,), _ = retrial.retry(Letter("order", CHANGED, retrial.content("order", 7)))
    assert (change[2], change[3], content("order", change[4])) == ("u", old, CHANGED)
    assert content("order", scene.state.tables["order"][7][0]) == CHANGED


def test_a_key_with_another_content_is_left_alone() -> None:
    scene = Scene()
    retrial = retrial_of(scene)
    scene.apply(live("order", ORDER))
    before = retrial.content("order", 7)
    scene.apply(live("order", {**ORDER, "ordStatus": "Filled"}))
    assert outcome(retrial, CHANGED, before).word == "superseded"
    assert outcome(retrial, CHANGED).word == "superseded"
    scene.apply(deleted("order", ORDER))
    assert outcome(retrial, CHANGED, before).word == "superseded"
    assert retrial.counts == {"superseded": 3}
    assert 7 not in scene.state.tables["order"]


def test_what_stands_there_already_is_not_published_again() -> None:
    scene = Scene()
    scene.apply(live("order", ORDER))
    changes, found = retrial_of(scene).retry(Letter("order", ORDER, None))
    assert (changes, found.word) == ([], "unchanged")


def test_what_still_cannot_be_encoded_says_why_and_changes_nothing() -> None:
    scene = Scene()
    retrial = retrial_of(scene, max_value_bytes=50)
    for entity, kind, why in (
        ({"id": "7"}, "order", "id_not_int64"),
        ({"id": 7, "unknown": "x" * 60}, "order", "too_large"),
        (7, "order", "not_an_object"),
        ({"id": 7}, "novelty", "novelty is no entity type"),
    ):
        found = outcome(retrial, entity, entity_type=kind)
        assert found.word == "unencodable"
        assert found.detail.startswith(why)
    assert not len(scene.state)
    assert not scene.counts.refused


def test_a_letter_is_no_sign_of_life_and_beats_no_row() -> None:
    scene = Scene().session()
    retrial_of(scene).retry(Letter("order", ORDER, None))
    assert scene.changes(listed("order", CHANGED)) == [("order", 7, "u", "reconcile")]


def test_letters_of_one_key_follow_each_other() -> None:
    retrial = retrial_of(Scene())
    first = outcome(retrial, ORDER)
    second = outcome(retrial, CHANGED, first.content)
    assert (first.word, second.word) == ("published", "published")
