"""A commit that Kafka has taken but shows only with the next one: nothing is numbered twice because of it."""

from __future__ import annotations

import asyncio

import pytest

from bridge.shard import claim
from tests.component.shard.conftest import Start
from tests.component.shard.partition import Partition
from tests.component.shard.test_ownership import order, published


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim, "REVEAL_S", 0.05)
    monkeypatch.setattr(claim, "REVEAL_POLL_S", 0.01)


async def test_a_commit_that_is_hidden_at_the_start_is_shown_before_the_shard_goes_on(
    start: Start, partition: Partition
) -> None:
    first, log = start()
    first.desk.snapshot(order(1))
    await first.until(lambda: first.runner.stats.ready)
    log.hides[log.commits + 1] = True
    first.desk.live(order(1, "Filled"))
    await first.published(2)
    first.task.cancel()
    await asyncio.gather(first.task, return_exceptions=True)
    assert partition.hidden

    second, _ = start()
    second.desk.snapshot(order(1, "Canceled"))
    await second.published(3)
    assert published(partition) == [(1, 1, "Working"), (2, 1, "Filled"), (3, 2, "Canceled")]
    await second.stop()


async def test_a_commit_whose_answer_is_lost_and_that_is_hidden_is_not_written_again(
    start: Start, partition: Partition
) -> None:
    only, log = start()
    only.desk.snapshot(order(1))
    await only.until(lambda: only.runner.stats.ready)
    log.hides[log.commits + 1] = False
    only.desk.live(order(1, "Filled"))
    await only.published(2)
    only.desk.live(order(1, "Canceled"))
    await only.published(3)
    assert published(partition) == [(1, 1, "Working"), (2, 1, "Filled"), (3, 1, "Canceled")]
    assert only.runner.stats.recoveries == 1
    await only.stop()


async def test_what_is_open_for_ever_is_not_waited_for(start: Start, partition: Partition) -> None:
    partition.open = True
    only, _ = start()
    only.desk.snapshot(order(1))
    await only.published(1)
    assert published(partition) == [(1, 1, "Working")]
    assert partition.open, "nobody has ended it meanwhile"
    await only.stop()
