"""Every rule of the reconciler, each by the smallest stream that shows it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from bridge.changes.reconciler import MAX_NAMES
from bridge.entities.change import Change
from bridge.entities.exact import Inexact, exact_dumps, exact_loads
from tests.unit.changes.scene import Scene, content, deleted, listed, live

ORDER: dict[str, Any] = {"id": 7, "accountId": 5, "ordStatus": "Working"}
FILLED = {**ORDER, "ordStatus": "Filled"}
POSITION = {"id": 3, "accountId": 5, "netPos": 1}


def one(scene: Scene, row: Any) -> Change:
    (change,) = scene.apply(row).changes
    return change


# What an op says


@pytest.mark.parametrize("event", ["Created", "Updated", None, "Whatever"])
def test_new_key_is_a_create_whatever_the_wire_calls_it(event: str | None) -> None:
    assert Scene().changes(live("order", ORDER, event=event)) == [("order", 7, "c", "false")]


@pytest.mark.parametrize("event", ["Created", "Updated", None])
def test_known_key_is_an_update_whatever_the_wire_calls_it(event: str | None) -> None:
    scene = Scene()
    scene.apply(live("order", ORDER))
    assert scene.changes(live("order", FILLED, event=event)) == [("order", 7, "u", "false")]


def test_before_is_the_previous_content_and_after_the_new_one() -> None:
    scene = Scene()
    created = one(scene, live("order", ORDER))
    assert created[3] is None
    assert content("order", created[4]) == ORDER
    updated = one(scene, live("order", FILLED))
    assert updated[3] == created[4]
    assert content("order", updated[4]) == FILLED
    removed = one(scene, deleted("order", {"id": 7}))
    assert (removed[3], removed[4]) == (updated[4], None)


def test_several_changes_of_a_key_in_one_frame_are_all_published_in_order() -> None:
    scene = Scene()
    rows = [live("order", ORDER), live("order", FILLED), live("order", ORDER), deleted("order", {"id": 7})]
    assert [op for _, _, op, _ in scene.changes(*rows, live("order", ORDER))] == ["c", "u", "u", "d", "c"]


def test_own_time_of_the_entity_comes_along() -> None:
    timed = {**ORDER, "timestamp": "2026-03-01T12:00:00.250Z"}
    assert one(Scene(), live("order", timed))[5] == 1_772_366_400_250
    assert one(Scene(), live("order", ORDER))[5] is None


# What is not published


def test_equal_content_is_not_published_again() -> None:
    scene = Scene()
    scene.apply(live("order", ORDER))
    assert not scene.apply(live("order", dict(reversed(ORDER.items()))))
    assert not scene.apply(live("order", {**ORDER, "text": None}))
    assert scene.counts.duplicates == 2


def test_there_and_back_again_is_three_changes() -> None:
    scene = Scene()
    rows = [live("order", ORDER), live("order", FILLED), live("order", ORDER)]
    assert [scene.changes(row)[0][2] for row in rows] == ["c", "u", "u"]


def test_without_deduplication_live_repeats_are_published_but_snapshot_rows_are_not() -> None:
    scene = Scene(deduplicate=False).session()
    first = one(scene, live("order", ORDER))
    again = one(scene, live("order", ORDER))
    assert (again[2], again[3], again[4]) == ("u", first[4], first[4])
    scene.session()
    assert not scene.apply(listed("order", ORDER))


# Snapshots


def test_rows_of_the_first_snapshot_are_reads() -> None:
    assert Scene().session(initial=True).changes(listed("order", ORDER)) == [("order", 7, "r", "true")]


def test_rows_of_a_later_snapshot_are_differences() -> None:
    scene = Scene().session(initial=True)
    scene.apply(listed("order", ORDER), listed("position", POSITION))
    scene.session()
    rows = [listed("order", FILLED), listed("position", POSITION, {**POSITION, "id": 4})]
    assert scene.changes(*rows) == [("order", 7, "u", "reconcile"), ("position", 4, "c", "reconcile")]


def test_absence_alone_deletes_nothing() -> None:
    scene = Scene().session(initial=True)
    scene.apply(listed("order", ORDER))
    scene.session()
    assert not scene.apply(listed("order"))
    assert 7 in scene.state.tables["order"]


def test_key_left_by_a_broken_first_session_is_updated_by_the_next() -> None:
    scene = Scene().session(initial=True)
    scene.apply(listed("order", ORDER))
    assert scene.session(initial=True).changes(listed("order", FILLED)) == [("order", 7, "u", "true")]


def test_live_event_beats_a_snapshot_row_of_its_session() -> None:
    scene = Scene().session()
    scene.apply(live("order", FILLED))
    assert not scene.apply(listed("order", ORDER))
    assert (scene.counts.beaten, scene.counts.beaten_different) == (1, 1)
    assert not scene.apply(listed("order", FILLED))
    assert (scene.counts.beaten, scene.counts.beaten_different) == (2, 1)


def test_repeat_counts_as_live_though_it_is_not_published() -> None:
    scene = Scene().session()
    scene.apply(live("order", ORDER))
    scene.session()
    scene.apply(live("order", ORDER))
    assert not scene.apply(listed("order", FILLED))


def test_a_new_session_forgets_what_was_live() -> None:
    scene = Scene().session()
    scene.apply(live("order", ORDER))
    assert scene.session().changes(listed("order", FILLED)) == [("order", 7, "u", "reconcile")]


def test_live_events_of_one_type_do_not_beat_rows_of_another() -> None:
    scene = Scene().session()
    scene.apply(live("order", {**ORDER, "id": 3}))
    assert scene.changes(listed("position", POSITION)) == [("position", 3, "c", "reconcile")]


# Deletes


def test_delete_of_a_known_key_has_its_owners_and_last_content() -> None:
    scene = Scene()
    created = one(scene, live("order", ORDER))
    change = one(scene, deleted("order", {**FILLED, "accountId": 999}))
    assert change == ("order", 7, "d", created[4], None, None, 5, None, "false")
    assert 7 not in scene.state.tables["order"]


def test_delete_of_an_unknown_key_publishes_nothing_and_is_counted() -> None:
    scene = Scene()
    assert not scene.apply(deleted("order", {"id": 7}))
    assert scene.counts.unknown_deletes == 1


@pytest.mark.parametrize("known", [True, False])
def test_a_later_snapshot_part_cannot_resurrect_a_deleted_key(known: bool) -> None:
    scene = Scene().session()
    if known:
        scene.apply(listed("order", ORDER))
    scene.apply(deleted("order", {"id": 7}))
    assert not scene.apply(listed("order", ORDER))
    assert scene.counts.beaten_different == 1
    assert 7 not in scene.state.tables["order"]


def test_a_live_event_does_resurrect_a_deleted_key() -> None:
    scene = Scene()
    scene.apply(live("order", ORDER), deleted("order", {"id": 7}))
    assert scene.changes(live("order", ORDER)) == [("order", 7, "c", "false")]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, "no_id"),
        ({"id": None}, "no_id"),
        ({"id": "7"}, "id_not_int64"),
        ({"id": True}, "id_not_int64"),
        ({"id": 7.0}, "id_not_int64"),
        ({"id": 2**63}, "id_not_int64"),
        (7, "not_an_object"),
        (None, "not_an_object"),
    ],
)
def test_delete_without_a_usable_id_is_a_dead_letter(body: Any, reason: str) -> None:
    scene = Scene()
    scene.apply(live("order", ORDER))
    found = scene.apply(deleted("order", body))
    (refused,) = found.refused
    assert (refused.reason, refused.event_type, refused.entity_type) == (reason, "Deleted", "order")
    assert refused.raw == exact_dumps(body).encode()
    assert not found.changes
    assert 7 in scene.state.tables["order"]


# What cannot become a record


@pytest.mark.parametrize(
    ("entity", "reason", "number"),
    [
        ([1, 2], "not_an_object", None),
        ("text", "not_an_object", None),
        (None, "not_an_object", None),
        ({"accountId": 5}, "no_id", None),
        ({"id": "7"}, "id_not_int64", None),
        ({"id": 2**63}, "id_not_int64", None),
        ({"id": 7, "a\ud800": 1}, "name_not_unicode", 7),
    ],
)
@pytest.mark.parametrize("make", [live, listed])
def test_what_cannot_be_encoded_is_handed_back_whole(make: Any, entity: Any, reason: str, number: int | None) -> None:
    scene = Scene().session()
    found = scene.apply(make("order", entity, ORDER))
    (refused,) = found.refused
    assert (refused.reason, refused.entity_id, refused.entity_type) == (reason, number, "order")
    assert exact_loads(refused.raw) == entity
    assert scene.counts.refused == {reason: 1}
    assert [change[1] for change in found.changes] == [7]


@pytest.mark.parametrize("depth", [65, 400, 1000])
@pytest.mark.parametrize("make", [live, listed])
def test_what_is_nested_too_deeply_is_handed_back_whole(make: Any, depth: int) -> None:
    deep = "[" * depth + "]" * depth
    entity = orjson.loads('{"id":7,"x":' + deep + "}")
    (refused,) = Scene().session().apply(make("order", entity)).refused
    assert (refused.reason, refused.entity_id) == ("too_deep", 7)
    assert refused.raw == b'{"id":7,"x":' + deep.encode() + b"}"


def test_value_beyond_the_limit_is_a_dead_letter_and_the_state_stays() -> None:
    scene = Scene(max_value_bytes=200)
    scene.apply(live("order", ORDER))
    found = scene.apply(live("order", {**ORDER, "text": "x" * 200}))
    (refused,) = found.refused
    assert (refused.reason, refused.entity_id, refused.event_type) == ("too_large", 7, "Updated")
    assert "more than kafka.max_record_bytes" in refused.detail
    assert not found.changes
    assert [op for *_, op, _ in scene.changes(live("order", FILLED))] == ["u"]


def test_value_at_the_limit_is_published() -> None:
    size = len(one(Scene(), live("order", ORDER))[4] or b"")
    assert Scene(max_value_bytes=size).apply(live("order", ORDER)).changes
    assert Scene(max_value_bytes=size - 1).apply(live("order", ORDER)).refused


def test_unknown_types_are_set_aside_with_all_they_came_with() -> None:
    scene = Scene()
    found = scene.apply(live("riskBudget", {"id": 1}, 5, event="Created"), listed("riskBudget", {"id": 2}))
    first, second, third = found.unmapped
    assert first == ("riskBudget", "Created", None, False, {"id": 1})
    assert second.content == 5
    assert (third.list_name, third.snapshot) == ("riskBudgets", True)
    assert scene.counts.unmapped == {"riskBudget": 3}


def test_names_of_unknown_types_are_counted_up_to_a_limit() -> None:
    scene = Scene()
    scene.apply(*(live(f"t{number}", 1) for number in range(MAX_NAMES + 10)), live("t3", 1))
    assert len(scene.counts.unmapped) == MAX_NAMES + 1
    assert scene.counts.unmapped["(others)"] == 10
    assert scene.counts.unmapped["t3"] == 2


def test_system_signal_without_id_is_unmapped_and_with_id_published() -> None:
    scene = Scene()
    wrapped = {"adminAlertSignal": {"id": 1}}
    found = scene.apply(live("OtherEnvAdminAlertSignal", wrapped))
    assert [each.content for each in found.unmapped] == [wrapped]
    assert not found.refused
    assert scene.changes(live("OtherEnvAdminAlertSignal", {"id": 1})) == [("OtherEnvAdminAlertSignal", 1, "c", "false")]


# Numbers that the fast reader may have rounded

ROUNDED = float(2**64)


@pytest.mark.parametrize(
    "row",
    [
        live("order", {**ORDER, "price": ROUNDED}),
        live("order", {**ORDER, "newField": [ROUNDED]}),
        live("order", {"id": ROUNDED}),
        listed("order", {"id": ROUNDED}),
        deleted("order", {"id": ROUNDED}),
        live("riskBudget", {"id": 1, "limit": ROUNDED}),
        listed("riskBudget", {"id": 1, "limit": ROUNDED}),
        live("OtherEnvAdminAlertSignal", {"limit": ROUNDED}),
    ],
)
def test_what_would_be_kept_rounded_is_to_be_read_exactly_first(row: Any) -> None:
    scene = Scene().session()
    scene.apply(live("order", {**ORDER, "id": 6}))
    scene.state.begin()
    with pytest.raises(Inexact):
        scene.apply(live("order", {**FILLED, "id": 6}), live("order", {**ORDER, "id": 8}), row)
    scene.state.rollback()
    assert scene.changes(listed("order", {**ORDER, "id": 8}))[0][2] == "c"
    assert content("order", scene.state.tables["order"][6][0])["ordStatus"] == "Working"


def test_exactly_read_numbers_are_kept_in_full() -> None:
    found = Scene().apply(deleted("order", {"id": 2**64}), live("riskBudget", 2**64), exact=True)
    assert found.refused[0].raw == b'{"id":18446744073709551616}'
    assert found.unmapped[0].content == 2**64


# Owners


def test_account_of_a_fill_is_that_of_its_order_and_the_user_that_of_the_account() -> None:
    scene = Scene()
    scene.apply(live("account", {"id": 5, "userId": 50}), live("order", ORDER))
    fill = one(scene, live("fill", {"id": 70, "orderId": 7}))
    fee = one(scene, live("fillFee", {"id": 70}))
    assert fill[6:8] == fee[6:8] == (5, 50)


def test_account_is_its_own_and_names_its_user() -> None:
    assert one(Scene(), live("account", {"id": 5, "userId": 50}))[6:8] == (5, 50)


def test_what_belongs_to_a_user_has_no_account() -> None:
    assert one(Scene(), live("userProperty", {"id": 1, "userId": 50}))[6:8] == (None, 50)
    assert one(Scene(), live("user", {"id": 50}))[6:8] == (None, 50)


def test_reference_data_has_no_owner() -> None:
    assert one(Scene(), live("contract", {"id": 1, "name": "ESZ6"}))[6:8] == (None, None)


def test_owner_that_is_not_known_yet_is_null() -> None:
    scene = Scene()
    assert one(scene, live("fill", {"id": 70, "orderId": 7}))[6:8] == (None, None)
    assert one(scene, live("order", ORDER))[6:8] == (5, None)


@pytest.mark.parametrize("owner", ["5", True, 5.0, 2**63, None])
def test_owner_that_is_no_int64_is_null(owner: Any) -> None:
    found = Scene().apply(live("order", {"id": 7, "accountId": owner}), exact=True)
    assert found.changes[0][6] is None


# Foreign rows (invariant 1); this is shard 1 of 4

OWN, FOREIGN = {"id": 1, "accountId": 5}, {"id": 2, "accountId": 6}


def test_foreign_live_event_is_published_and_counted() -> None:
    scene = Scene()
    assert scene.changes(live("order", FOREIGN)) == [("order", 2, "c", "false")]
    assert scene.counts.foreign_live == 1
    assert scene.changes(live("order", OWN)) == [("order", 1, "c", "false")]
    assert scene.counts.foreign_live == 1


def test_foreign_snapshot_row_without_proof_is_published_and_counted() -> None:
    scene = Scene().session()
    assert len(scene.changes(listed("order", OWN, FOREIGN))) == 2
    assert (scene.counts.foreign_snapshot, scene.counts.foreign_skipped) == (1, 0)


def test_foreign_snapshot_row_is_skipped_when_the_session_proves_the_snapshot_is_not_sharded() -> None:
    scene = Scene().session()
    scene.apply(live("position", POSITION))
    assert scene.changes(listed("order", OWN, FOREIGN)) == [("order", 1, "c", "reconcile")]
    assert scene.counts.foreign_skipped == 1


def test_live_events_alone_prove_nothing_while_all_rows_are_of_one_foreign_remainder() -> None:
    scene = Scene().session()
    scene.apply(live("position", POSITION))
    assert len(scene.changes(listed("order", FOREIGN))) == 1


def test_a_foreign_live_event_spoils_the_proof() -> None:
    scene = Scene().session()
    scene.apply(live("position", POSITION), live("position", {**POSITION, "id": 4, "accountId": 6}))
    assert len(scene.changes(listed("order", OWN, FOREIGN))) == 2


def test_proof_does_not_outlive_its_session() -> None:
    scene = Scene().session()
    scene.apply(live("position", POSITION), listed("order", OWN, FOREIGN))
    assert len(scene.session().changes(listed("order", OWN, FOREIGN))) == 1
    assert scene.counts.foreign_skipped == 1


@pytest.mark.parametrize(("foreign", "published"), [("skip", 1), ("publish", 2)])
def test_the_setting_decides_without_proof(foreign: str, published: int) -> None:
    scene = Scene(foreign=foreign).session()
    assert len(scene.changes(listed("order", OWN, FOREIGN))) == published
    assert scene.counts.foreign_snapshot == 1


def test_publish_publishes_even_against_proof() -> None:
    scene = Scene(foreign="publish").session()
    scene.apply(live("position", POSITION))
    assert len(scene.changes(listed("order", OWN, FOREIGN))) == 2


def test_sharding_by_user_looks_at_users() -> None:
    scene = Scene(expression="modUserId")
    scene.apply(live("userProperty", {"id": 1, "userId": 6}), live("order", FOREIGN))
    assert scene.counts.foreign_live == 1


# Taking back


def test_rollback_and_the_same_rows_give_the_same_changes() -> None:
    scene = Scene().session()
    scene.apply(listed("order", ORDER))
    scene.state.begin()
    rows = [
        live("order", FILLED),
        deleted("order", {"id": 7}),
        live("order", ORDER),
        deleted("position", {"id": 3}),
        listed("position", POSITION),
        listed("order", FILLED, {**ORDER, "id": 8}),
    ]
    first = scene.apply(*rows).changes
    assert [change[2] for change in first] == ["u", "d", "c", "c"]
    scene.state.rollback()
    assert scene.apply(*rows).changes == first


def test_counts_say_what_was_met() -> None:
    scene = Scene().session()
    scene.apply(live("order", ORDER), deleted("order", {"id": 9}), listed("position", POSITION, POSITION))
    assert (scene.counts.events, scene.counts.snapshot_rows, scene.counts.duplicates) == (2, 2, 1)
