"""Our encoding of a produce request is aiokafka's, in every version that both know."""

from __future__ import annotations

import pytest
from aiokafka.protocol.produce import ProduceRequest
from hypothesis import given
from hypothesis import strategies as st

from bridge.kafka.produce import Produce

VERSIONS = sorted(each.API_VERSION for each in ProduceRequest._CLASSES)
NAMES = st.text(max_size=20)
BATCHES = st.binary(max_size=100) | st.binary(max_size=100).map(bytearray)
TOPICS = st.lists(st.tuples(NAMES, st.lists(st.tuples(st.integers(0, 2**31 - 1), BATCHES), max_size=3)), max_size=4)


@pytest.mark.parametrize("version", VERSIONS)
@given(topics=TOPICS, timeout_ms=st.integers(0, 2**31 - 1), transactional_id=st.none() | NAMES)
def test_the_same_bytes(version: int, topics: list[object], timeout_ms: int, transactional_id: str | None) -> None:
    arguments = (None if version < 3 else transactional_id, -1, timeout_ms, topics)
    versions = {ProduceRequest.API_KEY: (0, version)}
    ours, theirs = (kind(*arguments).prepare(versions) for kind in (Produce, ProduceRequest))
    assert ours.API_VERSION == theirs.API_VERSION == version
    assert ours.encode() == theirs.encode()


def test_the_version_that_brokers_of_today_speak_is_ours() -> None:
    """Else nothing above would have been compared."""
    newest = Produce(None, -1, 0, []).prepare({ProduceRequest.API_KEY: (3, 12)})
    assert newest.API_VERSION == VERSIONS[-1] >= 7
    assert newest.encode.__func__ is Produce._encoded
