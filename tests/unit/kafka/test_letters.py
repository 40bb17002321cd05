from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest

from bridge.kafka.letters import DeadLetter, Joiner, Later

RAW = b'{"id":7}'
LETTER = DeadLetter(
    shard=1, offset=10, written_ms=5000, reason="too_large", detail="", entity_type="order", entity_id=7,
    event_type="Updated", position=(3, 40, 12), received_us=4_000_000, length=8, sha256="", raw=RAW, whole=True,
)  # fmt: skip
KEY = (1, "order", 7)


def part(number: int, of: int, raw: bytes, whole: bytes = RAW, shard: int = 1) -> dict[str, Any]:
    return {
        "reason": "too_large", "detail": "large", "entity_type": "order", "entity_id": 7, "event_type": "Updated",
        "topic": "p.order", "part": number, "parts": of, "sha256": sha256(whole).hexdigest(), "length": len(whole),
        "raw": raw, "shard": shard, "divisor": 2, "epoch": 3, "seq": 40, "frame": 12,
        "received_us": datetime(1970, 1, 1, 0, 0, 4, 1, tzinfo=UTC),
    }  # fmt: skip


def read(*parts: tuple[int, dict[str, Any]]) -> list[DeadLetter]:
    joiner = Joiner()
    return [found for n, (at, value) in enumerate(parts) for found in joiner.add(at, n, 5000 + n, value)]


def test_parts_are_joined_partition_by_partition() -> None:
    other = b'{"id":8}'
    one, two = read(
        (1, part(0, 2, RAW[:3])), (0, part(0, 1, other, other, shard=0)), (1, part(1, 2, RAW[3:])),
    )  # fmt: skip
    assert (one.shard, one.raw, one.whole) == (0, other, True)
    assert (two.shard, two.offset, two.written_ms, two.raw, two.whole) == (1, 0, 5000, RAW, True)
    assert (two.position, two.received_us, two.key) == ((3, 40, 12), 4_000_001, KEY)


def test_a_letter_that_is_not_whole_says_so_and_one_without_a_beginning_is_left_out() -> None:
    (cut,) = read((1, part(1, 2, b"x")), (1, part(0, 1, RAW[:3])))
    assert (cut.raw, cut.whole, cut.retryable) == (RAW[:3], False, False)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True),
        ({"whole": False}, False),
        ({"entity_type": "novelty"}, False),
        ({"entity_type": None}, False),
        ({"event_type": "Deleted"}, False),
        ({"event_type": None, "entity_id": None}, True),
    ],
)
def test_only_a_whole_entity_of_a_known_type_can_be_tried_again(change: dict[str, Any], expected: bool) -> None:
    assert replace(LETTER, **change).retryable is expected


def envelope(epoch: int, seq: int, frame: int = 1, snapshot: str = "false", received_us: int = 0) -> dict[str, Any]:
    source = {"epoch": epoch, "seq": seq, "frame": frame, "snapshot": snapshot, "received_us": received_us}
    return {"source": source, "op": "u"}


@pytest.mark.parametrize(
    ("written_ms", "value", "expected"),
    [
        (4000, envelope(3, 40), False),
        (6000, envelope(3, 41), True),
        (6000, envelope(4, 1), True),
        (4000, envelope(3, 39, frame=12), True),  # in the letter's own frame it cannot be told
        (6000, envelope(4, 1, snapshot="retry", received_us=3_999_999), False),  # an older letter, published late
        (6000, envelope(4, 1, snapshot="retry", received_us=4_000_000), True),
        (4999, None, False),
        (5001, None, True),  # archived since
    ],
)
def test_what_happened_to_the_key_since_supersedes_a_letter(
    written_ms: int, value: dict[str, Any] | None, expected: bool
) -> None:
    later = Later({KEY})
    later.note(KEY, written_ms, value)
    assert later.supersedes(LETTER) is expected
    assert not later.supersedes(replace(LETTER, entity_id=8))
    assert not later.supersedes(replace(LETTER, entity_id=None))
