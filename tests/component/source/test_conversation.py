"""One shard's way to a session and back, against the simulator."""

import asyncio
from dataclasses import replace

import pytest

from bridge.errors import SessionLost
from bridge.simulator.options import Options
from bridge.simulator.server import Simulator
from bridge.source.backoff import Backoff
from bridge.source.conversation import ShardSource
from tests.component.source.dialing import LIMITS, Shard, dialing, sent, truth, waiting_for
from tests.component.source.scripted import eventually

SMALL = Options(accounts=4, heartbeat_s=0.1)


async def test_a_shard_gets_its_snapshot_and_then_what_happens() -> None:
    async with Simulator(SMALL) as simulator, dialing(simulator) as broker:
        shards = [Shard(broker, remainder, 2) for remainder in range(2)]
        for shard in shards:
            shard.start()
        for shard in shards:
            await shard.live()
        await simulator.step(30)
        logs = simulator.ledger.sessions
        await eventually(lambda: [shard.rows for shard in shards] == [sent(simulator, log) for log in logs])
        for shard in shards:
            await shard.stop()

    for remainder, (shard, log) in enumerate(zip(shards, logs, strict=True)):
        assert (log.subscription.remainder, log.code) == (remainder, 1000)
        assert sum(shard.counts.values()) == sum(snapshot for *_, snapshot in shard.rows) > 0
        assert any(not snapshot for *_, snapshot in shard.rows)
        assert shard.conversation.heard_us > 0


async def test_the_syncrequest_waits_for_the_permission_which_may_come_first_or_last() -> None:
    async with Simulator(SMALL) as simulator, dialing(simulator) as broker:
        late, early = Shard(broker, 0), Shard(broker, 1)
        late.start(sync=False)
        early.start()
        await eventually(lambda: len([c for c in simulator.connections.values() if c.authorized]) == 2)
        await early.live()
        assert late.synced_at == 0
        late.conversation.allow_sync()
        late.conversation.allow_sync()
        await late.live()
        for shard in (late, early):
            await shard.stop()

    assert len(simulator.ledger.sessions) == 2


@pytest.mark.parametrize("limit", ["socket", "connect", "login"])
async def test_giving_up_while_waiting_ends_it_at_once(limit: str) -> None:
    async with Simulator(SMALL) as simulator, dialing(simulator, burst=1, rate=0.001) as broker:
        shard = Shard(broker)
        if limit == "connect":
            await broker.keeper.token()
            await broker.budget.connect.turn()
        elif limit == "login":
            broker.stay_away("quota", 300)
        else:
            places = [broker.budget.sockets.held() for _ in range(40)]
            for place in places:
                await place.__aenter__()
        running = shard.start()
        await waiting_for(broker, limit)
        shard.conversation.pause()
        shard.conversation.resume()
        shard.conversation.give_up(SessionLost("stopped"))
        lost = await running

    assert (lost.cause, shard.conversation.heard_us) == ("stopped", 0)
    assert not simulator.connections


async def test_giving_up_at_the_moment_in_which_the_socket_comes_to_be_ends_it() -> None:
    async with Simulator(SMALL) as simulator, dialing(simulator) as broker:
        await broker.keeper.token()
        shard = Shard(broker)
        running = shard.start()
        await asyncio.sleep(0)
        shard.conversation.give_up(SessionLost("stopped"))
        await eventually(lambda: running.done() or shard.complete.is_set())
        assert running.done()
        assert (await running).cause == "stopped"


async def test_a_cancelled_conversation_leaves_nothing_behind() -> None:
    async with Simulator(SMALL) as simulator, dialing(simulator) as broker:
        shard = Shard(broker)
        running = shard.start()
        await shard.live()
        running.cancel()
        await asyncio.wait([running])
        await eventually(lambda: not simulator.connections)
        assert running.cancelled()
        async with broker.budget.sockets.held():
            assert broker.budget.waited()["socket"] < 1.0


async def test_pauses_stop_the_reading_for_a_while() -> None:
    async with Simulator(SMALL) as simulator, dialing(simulator) as broker:
        shard = Shard(broker)
        shard.start()
        await shard.live()
        shard.conversation.pause()
        before = len(shard.rows)
        await simulator.step(20)
        await asyncio.sleep(0.05)
        assert len(shard.rows) == before
        shard.conversation.resume()
        await eventually(lambda: len(shard.rows) > before)
        await shard.stop()


async def test_delays_grow_until_a_session_was_useful_and_honour_what_was_asked() -> None:
    async with Simulator(SMALL) as simulator, dialing(simulator) as broker:
        source = ShardSource(broker, Shard(broker).plan, Backoff(first_s=8.0, cap_s=16.0))

    dropped = SessionLost("dropped")
    assert 4 <= source.delay(dropped, useful=False) <= 8
    assert 8 <= source.delay(dropped, useful=False) <= 16
    assert 8 <= source.delay(dropped, useful=False) <= 16
    assert 4 <= source.delay(dropped, useful=True) <= 8
    assert 100 <= source.delay(SessionLost("quota", wait_s=100), useful=True) <= 110


BETWEEN = replace(SMALL, accounts=30, parts=6, part_delay_s=0.05, events_between_parts=True)
NEVER_QUIET = replace(LIMITS, snapshot_quiet_s=3600.0)
EVENT_ARRAY = [False, True]


async def traded_between_parts(options: Options) -> tuple[Shard, list[tuple[str, int, bool]]]:
    """A shard that has got all parts of a snapshot, while things happened; and what was sent."""
    async with Simulator(options) as simulator, dialing(simulator, limits=NEVER_QUIET) as broker:
        shard = Shard(broker, divisor=1)
        existed = len(truth(simulator))
        shard.start()
        await eventually(lambda: shard.rows)
        (log,) = simulator.ledger.sessions
        await simulator.step(12)
        await eventually(lambda: sum(snapshot for *_, snapshot in sent(simulator, log)) == existed)
        await eventually(lambda: shard.content == truth(simulator))
        await shard.stop()
        return shard, sent(simulator, log)


@pytest.mark.parametrize("event_array", EVENT_ARRAY)
@pytest.mark.parametrize("part_event", ["Created", "Updated", "none"])
async def test_parts_that_come_as_events_are_told_from_events_between_them(part_event: str, event_array: bool) -> None:
    """Protocol section 8.1, variant B."""
    options = BETWEEN.changed({"split": "B", "part_event": part_event, "event_array": event_array})

    shard, wanted = await traded_between_parts(options)

    assert shard.rows == wanted
    assert {snapshot for *_, snapshot in wanted} == {True, False}


@pytest.mark.parametrize("event_array", EVENT_ARRAY)
@pytest.mark.parametrize("split", ["A", "C", "D"])
async def test_live_arrays_between_parts_do_no_harm(split: str, event_array: bool) -> None:
    options = BETWEEN.changed({"split": split, "entity_array": True, "event_array": event_array})

    shard, wanted = await traded_between_parts(options)

    if split == "D":  # all that existed has been named, so nothing of it can be taken for a part
        named = {row[:2] for row in wanted if row[2]}
        assert [row for row in shard.rows if row[:2] in named] == [row for row in wanted if row[:2] in named]
