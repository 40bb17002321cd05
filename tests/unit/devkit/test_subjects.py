"""What the REST tests of the registry do not reach: see tests/component/test_dev_registry.py for the rest."""

from __future__ import annotations

import json

import pytest

from bridge.devkit.subjects import Change, Refused, Subjects

ONE, TWO = '"int"', '"long"'


def fill(subjects: Subjects) -> None:
    subjects.register("x", ONE)
    subjects.register("x", TWO)
    subjects.set_level("x", "FULL")
    subjects.set_level(None, "NONE")
    subjects.set_mode("y", "READONLY")
    subjects.delete("x", "1")
    subjects.delete("x", "1", permanent=True)
    subjects.clear_mode("y")


def shape(subjects: Subjects) -> object:
    versions = [subjects.versions(name, deleted=True) for name in subjects.subjects(deleted=True)]
    return versions, subjects.level("x"), subjects.level(None), subjects.mode("y"), subjects.schema(1)


def test_replayed_journal_gives_the_same_registry() -> None:
    journal: list[Change] = []
    first, second = Subjects(journal.append), Subjects(journal.append)
    fill(first)
    for change in json.loads(json.dumps(journal)):
        second.apply(change)
    assert shape(first) == shape(second)


def test_refused_change_is_not_in_the_journal() -> None:
    journal: list[Change] = []
    subjects = Subjects(journal.append)
    subjects.register("x", ONE)
    before = list(journal)
    for change in (
        lambda: subjects.register("x", '"string"'),
        lambda: subjects.register("x", "{"),
        lambda: subjects.set_mode(None, "IMPORT"),
        lambda: subjects.set_level("x", ""),
        lambda: subjects.delete("x", permanent=True),
        lambda: subjects.delete("nobody"),
    ):
        with pytest.raises(Refused):
            change()
    assert journal == before


def test_version_that_comes_back_after_its_deletion_gets_a_new_number_and_the_old_id() -> None:
    subjects = Subjects(list[Change]().append)
    first = subjects.register("x", ONE)
    subjects.delete("x")
    again = subjects.register("x", ONE)
    assert (again.version, again.id) == (2, first.id)


def test_latest_has_two_names() -> None:
    subjects = Subjects(list[Change]().append)
    fill(subjects)
    assert subjects.version("x", "latest") == subjects.version("x", "-1")
    assert subjects.version("x", "latest").version == 2


@pytest.mark.parametrize("version", ["0", "-2", "one", "1.5", "99999999999"])
def test_what_is_not_a_version_is_refused(version: str) -> None:
    subjects = Subjects(list[Change]().append)
    subjects.register("x", ONE)
    with pytest.raises(Refused) as caught:
        subjects.version("x", version)
    assert caught.value.code == 42202


def test_level_that_is_cleared_falls_back_to_the_global_one() -> None:
    subjects = Subjects(list[Change]().append)
    subjects.set_level("x", "FULL")
    assert subjects.clear_level("x") == "FULL"
    assert subjects.level("x") == "BACKWARD"
