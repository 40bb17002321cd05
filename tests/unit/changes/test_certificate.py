from __future__ import annotations

import hashlib

from bridge.changes.certificate import SLICE_KEYS, Originals, TypeSum, sums, term
from bridge.changes.state import PublishedState
from bridge.entities.catalogue import CATALOGUE


def state(**tables: dict[int, bytes]) -> PublishedState:
    made = PublishedState(CATALOGUE)
    for name, table in tables.items():
        for number, value in table.items():
            made.restore(name, number, (value, None, None))
    return made


def summed(made: PublishedState, originals: Originals | None = None) -> dict[str, TypeSum]:
    return dict(part for part in sums(made, originals or Originals()) if part is not None)


def test_the_sum_of_a_type_is_that_of_its_keys_and_contents() -> None:
    found = summed(state(order={5: b"five", -6: b"six"}, fill={7: b"x"}))

    def half(number: int, value: bytes) -> int:
        return int(hashlib.sha256(number.to_bytes(8, "big", signed=True) + value).hexdigest()[:32], 16)

    total = (half(5, b"five") + half(-6, b"six")) % 2**128
    assert found == {"order": TypeSum(2, f"{total:032x}"), "fill": TypeSum(1, f"{half(7, b'x'):032x}")}


def test_the_order_does_not_matter_but_key_and_content_do() -> None:
    found = summed(state(order={1: b"a", 2: b"b"}))
    assert found == summed(state(order={2: b"b", 1: b"a"}))
    for other in ({1: b"b", 2: b"a"}, {1: b"a"}, {1: b"a", 2: b"b", 3: b""}, {1: b"a", 3: b"b"}):
        assert summed(state(order=other)) != found


def test_others_get_their_turn_every_thousand_keys() -> None:
    many = state(order=dict.fromkeys(range(3 * SLICE_KEYS + 1), b"v"))
    assert [part is None for part in sums(many, Originals())] == [True, True, True, False]


def test_what_an_older_schema_wrote_counts_as_it_was_written_until_it_changes() -> None:
    made, originals = state(order={1: b"anew", 2: b"b"}), Originals()
    originals.remember("order", 1, made.tables["order"][1][0], b"as written")

    assert summed(made, originals) == summed(state(order={1: b"as written", 2: b"b"}))
    made.tables["order"][1] = (b"changed", None, None)
    assert summed(made, originals) == summed(state(order={1: b"changed", 2: b"b"}))


def test_a_term_has_128_bits() -> None:
    assert max(term(number, b"") for number in range(100)).bit_length() in (127, 128)
