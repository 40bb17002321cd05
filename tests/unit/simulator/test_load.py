from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from bridge.simulator.load import LoadStream, keys, websocket_frame
from bridge.simulator.population import Account

ACCOUNTS = [Account(4, 8, 1), Account((1 << 32) + 8, 9, 2)]
START_US = 1_787_060_101_123_456


def messages(data: bytes) -> Iterator[list[Any]]:
    """The messages of each WebSocket frame, read by the rules of RFC 6455."""
    while data:
        assert data[0] == 0x81
        size, start = data[1], 2
        if size == 126:
            size, start = int.from_bytes(data[2:4], "big"), 4
        elif size == 127:
            size, start = int.from_bytes(data[2:10], "big"), 10
        payload, data = data[start : start + size], data[start + size :]
        assert payload[:1] == b"a"
        yield orjson.loads(payload[1:])


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
def test_frames_of_every_length_form(size: int) -> None:
    payload = b'a["' + b"x" * size + b'"]'
    assert list(messages(websocket_frame(payload))) == [["x" * size]]


@pytest.mark.parametrize("per_frame", [1, 5])
def test_what_is_written_is_what_the_ledger_computes(per_frame: int) -> None:
    stream = LoadStream(keys(ACCOUNTS, None, 10, 1), per_frame, 7000)
    written = [stream.take(3, START_US), stream.take(2, START_US + 5_000), stream.take(20, START_US + 9_000)]
    frames = [frame for data in written for frame in messages(data)]
    assert {len(frame) for frame in frames} == {per_frame}
    entities = [message["d"]["entity"] for frame in frames for message in frame]
    assert entities == [orjson.loads(change.json) for change in stream.changes()]
    assert [message["d"]["entityType"] for f in frames for message in f] == [
        change.entity_type for change in stream.changes()
    ]
    assert len(entities) == stream.count == 25 * per_frame


def test_no_two_events_are_equal_and_each_tells_when_it_was_written() -> None:
    stream = LoadStream(keys(ACCOUNTS, None, 10, 0), 10, 0)
    stream.take(50, START_US)
    contents = [change.json for change in stream.changes()]
    assert len(set(contents)) == len(contents) == 500
    assert all(b'"timestamp":"2026-08-18T13:35:01.123Z"' in content for content in contents)


def test_the_final_versions_and_the_times_of_writing() -> None:
    stream = LoadStream(keys(ACCOUNTS, None, 4, 0), 2, 100)
    stream.take(1, START_US)
    stream.take(2, START_US + 10)
    assert [c.number for c in stream.final()] == [103, 104, 105, 106]
    assert list(stream.deliveries()) == [
        (101, START_US), (102, START_US), *((n, START_US + 10) for n in (103, 104, 105, 106)),
    ]  # fmt: skip


def test_keys_respect_types_and_shard() -> None:
    chosen = keys(ACCOUNTS, frozenset({"fill", "user"}), 4, 3)
    assert {k.entity_type for k in chosen} == {"fill"}
    assert {k.account_id for k in chosen} == {4, (1 << 32) + 8}
    assert not {k.id for k in chosen} & {k.id for k in keys(ACCOUNTS, None, 4, 2)}
    with pytest.raises(ValueError, match="one of the types"):
        keys(ACCOUNTS, frozenset({"user"}), 4, 3)
    with pytest.raises(ValueError, match="multiple"):
        LoadStream(chosen, 3, 0)
