"""What one shard's refusal means for all of them: against the simulator, over real sockets."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
import structlog

from bridge.errors import AuthorizationRefused, SessionLost
from bridge.simulator.options import Options
from bridge.simulator.server import Simulator
from bridge.source.budget import BudgetLimits
from bridge.source.refusals import SessionLimits
from bridge.source.spare import SpareSource
from tests.component.source.dialing import AWAY_S, Shard, dialing, now, waiting_for
from tests.component.source.scripted import eventually

SMALL = Options(accounts=4, heartbeat_s=0.1)

HOUR_S, QUOTA_S, UPGRADE_S = 3600.0, 300.0, 60.0

REFUSALS: list[tuple[str, dict[str, Any], str, float]] = [
    ("upgrade_status", {"status": 429}, "rate_limited", UPGRADE_S),
    ("upgrade_status", {"status": 423, "retry_after": 900}, "rate_limited", 900.0),
    ("authorize_status", {"status": 423}, "rate_limited", HOUR_S),
    ("sync_status", {"status": 423}, "rate_limited", HOUR_S),
    ("sync_status", {"status": 429}, "rate_limited", HOUR_S),
    ("sync_penalty", {"seconds": 1, "captcha": True}, "captcha", HOUR_S),
    ("sync_penalty", {"seconds": 301}, "penalty", 301.0),
    ("shutdown", {"code": "ConnectionQuotaReached"}, "quota", QUOTA_S),
    ("shutdown", {"code": "IPQuotaReached"}, "quota", QUOTA_S),
]


@pytest.mark.parametrize(("kind", "args", "cause", "wait_s"), REFUSALS)
async def test_what_one_shard_is_told_keeps_all_away(
    kind: str, args: dict[str, Any], cause: str, wait_s: float
) -> None:
    """Nobody opens a connection, or sends a syncrequest on a socket that is open already."""
    async with Simulator(SMALL) as simulator, dialing(simulator, limits=SessionLimits()) as broker:
        open_already, refused, newcomer = (Shard(broker, remainder, 3) for remainder in range(3))
        open_already.start(sync=False)
        await eventually(lambda: any(c.authorized for c in simulator.connections.values()))
        simulator.arm(kind, **args)
        lost = await refused.lost()
        open_already.conversation.allow_sync()
        newcomer.start()
        await waiting_for(broker, "syncrequest")
        await waiting_for(broker, "connect", "login")
        await eventually(lambda: [c.log for c in simulator.connections.values()] == [None])
        await open_already.stop()
        await newcomer.stop()

    assert (lost.cause, lost.wait_s) == (cause, wait_s)
    assert wait_s - 30 < broker.budget.hold.wait_s <= wait_s
    assert refused.source.delay(lost, useful=False) >= wait_s
    assert (open_already.synced_at, newcomer.synced_at) == (0.0, 0.0)


@pytest.mark.parametrize("kind", ["upgrade_status", "sync_status"])
async def test_when_the_time_is_over_all_go_on(kind: str) -> None:
    async with Simulator(SMALL) as simulator, dialing(simulator) as broker:
        simulator.arm(kind, status=429)
        began = now()
        assert (await Shard(broker).lost()).cause == "rate_limited"
        shards = [Shard(broker, remainder) for remainder in range(2)]
        for shard in shards:
            shard.start()
        for shard in shards:
            await shard.live()
        for shard in shards:
            await shard.stop()

    assert all(shard.synced_at - began >= AWAY_S for shard in shards)


async def test_a_ticket_that_one_shard_waits_for_keeps_the_others_from_drawing_theirs() -> None:
    async with Simulator(SMALL) as simulator, dialing(simulator, limits=SessionLimits()) as broker:
        simulator.arm("sync_penalty", seconds=300)
        penalized, other = Shard(broker, 0), Shard(broker, 1)
        penalized.start()
        await eventually(lambda: broker.budget.hold.wait_s)
        other.start()
        await waiting_for(broker, "connect", "login")
        assert len(simulator.connections) == 1
        assert 270 < broker.budget.hold.wait_s <= 300
        await penalized.stop()
        await other.stop()


async def test_a_ticket_is_waited_for_and_redeemed() -> None:
    """The server's own limit is reached with the first syncrequest."""
    options = replace(SMALL, sync_limit=1, penalty_s=1)
    async with Simulator(options) as simulator, dialing(simulator) as broker:
        shards = [Shard(broker, remainder) for remainder in range(2)]
        with structlog.testing.capture_logs() as log:
            for shard in shards:
                shard.start()
                await shard.live()
        for shard in shards:
            await shard.stop()

    told = [(line["shard"], line["wait_seconds"]) for line in log if line["event"] == "syncrequest_penalized"]
    assert told == [(1, 1)]


@pytest.mark.parametrize(
    ("kind", "args", "cause"),
    [
        ("token_status", {"status": 429}, "rate_limited"),
        ("token_status", {"status": 423}, "rate_limited"),
        ("token_penalty", {"seconds": 1, "captcha": True}, "captcha"),
    ],
)
async def test_a_refused_login_keeps_all_away_and_is_tried_once(kind: str, args: dict[str, Any], cause: str) -> None:
    async with Simulator(SMALL) as simulator, dialing(simulator) as broker:
        simulator.arm(kind, **args)
        began = now()
        shards = [Shard(broker, remainder, 4) for remainder in range(4)]
        with structlog.testing.capture_logs() as log:
            for shard in shards:
                shard.start()
            for shard in shards:
                await shard.live()
        for shard in shards:
            await shard.stop()

    assert all(shard.synced_at - began >= AWAY_S for shard in shards)
    assert [line["cause"] for line in log if line["event"] == "token_trouble"] == [cause]
    assert [line["cause"] for line in log if line["event"] == "staying_away"] == []  # less than a second
    assert simulator.tokens.issued == 1


async def test_the_servers_own_limit_is_met_with_a_warning_and_then_left_alone() -> None:
    """423 comes before 429 (protocol section 3.2): whoever goes on asking is locked out."""
    async with Simulator(Options(accounts=4, request_limit=3)) as simulator, dialing(simulator) as broker:
        causes = []
        for remainder in range(5):
            shard = Shard(broker, remainder, 5)
            running = shard.start()
            await shard.settled()
            if running.done():
                causes.append((running.result().cause, running.result().code))
                break
            await shard.stop()

    assert causes == [("rate_limited", 423)]
    assert broker.budget.hold.wait_s > 0


async def test_a_hold_that_begins_while_a_shard_waits_for_something_else_is_seen() -> None:
    async with Simulator(SMALL) as simulator, dialing(simulator, budget=BudgetLimits(sockets=1)) as broker:
        shard = Shard(broker)
        async with broker.budget.sockets.held():
            shard.start()
            await waiting_for(broker, "socket")
            broker.learn(SessionLost("captcha", wait_s=HOUR_S), "")
        await waiting_for(broker, "connect", "login")
        assert not simulator.connections
        await shard.stop()


async def test_a_token_that_dies_while_a_shard_waits_for_its_turn_is_not_shown() -> None:
    async with Simulator(SMALL) as simulator, dialing(simulator, burst=1, rate=1.0) as broker:
        await broker.budget.connect.turn()
        first = await broker.keeper.token()
        shard = Shard(broker)
        shard.start()
        await waiting_for(broker, "connect", "login")
        broker.keeper.invalidate(first)
        await shard.live()
        shown = [c.token for c in simulator.connections.values()]
        second = broker.keeper.live
        await shard.stop()

    assert second is not None
    assert shown == [second]
    assert second != first


async def test_no_turn_is_spent_while_there_is_no_token() -> None:
    """Or all shards would connect at the same instant when it is there at last."""
    async with Simulator(SMALL) as simulator, dialing(simulator, burst=1, rate=0.001) as broker:
        fault = simulator.arm("token_delay", seconds=0.3)
        shards = [Shard(broker, remainder) for remainder in range(2)]
        for shard in shards:
            shard.start()
        await eventually(lambda: fault.fired)
        assert broker.budget.connect.wait_s == 0
        await eventually(lambda: any(shard.complete.is_set() for shard in shards))
        assert len(simulator.connections) == 1
        for shard in shards:
            await shard.stop()


async def test_refused_together_is_refused_once() -> None:
    """Four sockets that are refused at one instant must not make the pace sixteen times slower."""
    async with Simulator(SMALL) as simulator, dialing(simulator, burst=4, rate=2 / 3) as broker:
        simulator.arm("upgrade_status", times=4, status=429)
        for lost in await asyncio.gather(*(Shard(broker, remainder, 4).lost() for remainder in range(4))):
            assert lost.cause == "rate_limited"
        budget = broker.budget
        # Halved once: one connection each 3 s, and none at once.
        assert budget.connect.wait_s <= 3.0 * 2


async def test_a_long_wait_and_a_long_hold_are_told() -> None:
    async with Simulator(SMALL) as simulator, dialing(simulator) as broker:
        with structlog.testing.capture_logs() as log:
            broker.learn(SessionLost("quota", wait_s=300.0), "")
            broker.learn(SessionLost("quota", wait_s=300.1), "")
            broker.learn(SessionLost("idle", wait_s=900.0), "")

    assert [(line["event"], line["cause"], line["wait_seconds"]) for line in log] == [("staying_away", "quota", 300.0)]
    assert 299 < broker.budget.hold.wait_s <= 300.1


async def test_refused_credentials_end_the_conversation_and_the_keeping() -> None:
    async with Simulator(Options(accounts=4, password="another")) as simulator, dialing(simulator) as broker:
        with pytest.raises(AuthorizationRefused, match="acme_admin") as refused:
            await Shard(broker).lost()
        with structlog.testing.capture_logs() as log:
            await broker.keep_token()

    assert "s3cret-password" not in str(refused.value)
    assert [line["event"] for line in log] == ["token_refused"]


async def test_a_login_for_check_says_how_long_the_token_lives_or_why_there_is_none() -> None:
    async with Simulator(SMALL) as simulator, dialing(simulator) as broker:
        said = await broker.try_login()

    assert said == f"{simulator.rest_url}, token for another 80 min"


async def test_sockets_beyond_the_budget_wait_for_a_place() -> None:
    async with Simulator(SMALL) as simulator, dialing(simulator, budget=BudgetLimits(sockets=1)) as broker:
        first, second = Shard(broker, 0), Shard(broker, 1)
        first.start()
        await first.live()
        second.start()
        await waiting_for(broker, "socket")
        assert len(simulator.connections) == 1
        await first.stop()
        await second.live()
        await second.stop()


async def test_a_spare_socket_takes_a_spare_place_and_none_of_the_shards() -> None:
    async with (
        Simulator(SMALL) as simulator,
        dialing(simulator, budget=BudgetLimits(sockets=1, spare_sockets=1)) as broker,
    ):
        shard, audit = Shard(broker), Shard(broker)
        spares = SpareSource(broker, shard.plan)
        audit.conversation = spares.converse(audit)
        shard.start()
        await shard.live()
        assert spares.hindrance() is None
        audit.start()
        await audit.live()
        assert spares.hindrance() == "no_socket"
        await audit.stop()
        assert spares.hindrance() is None
        await shard.stop()

    assert audit.content == shard.content
