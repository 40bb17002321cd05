from __future__ import annotations

from bridge.changes.reconciler import Row
from bridge.shard.frames import SLICE_ROWS, _row_slices


def test_rows_of_a_large_frame_are_cut_in_order_and_an_empty_list_stays() -> None:
    many = list(range(2 * SLICE_ROWS + 1))
    rows: list[Row] = [("order", None, many, "orders", True), ("account", None, [], "accounts", True)]

    slices = [slice_ for (slice_,) in _row_slices(rows)]

    assert [entity for _, _, entities, _, _ in slices[:3] for entity in entities] == many
    assert max(len(entities) for _, _, entities, _, _ in slices) == SLICE_ROWS
    assert slices[3:] == [rows[1]]
