from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.cli.deadletter import Choice, _moment, _old
from bridge.errors import ConfigurationError
from bridge.kafka.plan import DAY_MS
from tests.unit.kafka.test_letters import LETTER

NOW_MS = 100 * DAY_MS


def test_the_filters_narrow_what_is_shown() -> None:
    for choice, expected in (
        (Choice(None, None, None, None, None), True),
        (Choice(1, "too_large", "order", None, None), True),
        (Choice(0, None, None, None, None), False),
        (Choice(None, "no_id", None, None, None), False),
        (Choice(None, None, "fill", None, None), False),
    ):
        assert choice(LETTER) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [(None, None), ("1970-01-02", DAY_MS), ("1970-01-01T01:00", 3_600_000), ("1970-01-01T01:00+01:00", 0)],
)
def test_times_without_a_zone_are_utc(text: str | None, expected: int | None) -> None:
    assert _moment(text) == expected


def test_a_time_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="give a time like"):
        _moment("yesterday")


@pytest.mark.parametrize(("entity_type", "days"), [("order", 30), ("chatMessage", 7)])
def test_a_letter_is_old_when_a_deletion_after_it_could_not_be_seen_any_more(entity_type: str, days: int) -> None:
    letter = replace(LETTER, entity_type=entity_type, written_ms=NOW_MS - days * DAY_MS)
    assert not _old(letter, NOW_MS)
    assert _old(letter, NOW_MS + 1)
