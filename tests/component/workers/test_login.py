"""The supervisor's login, against the simulator: one for all workers, and a refusal that they do not have to meet."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest

from bridge.app import supervisor as supervisors
from bridge.app.run import Bridge, Part
from bridge.app.source import broker
from bridge.app.supervisor import Supervisor
from bridge.app.worker import Order, narrowed
from bridge.config import Settings
from bridge.errors import AuthorizationRefused
from bridge.simulator.options import Options
from bridge.simulator.server import Simulator
from bridge.source.budget import BudgetLimits

SMALL = Options(accounts=4)
HOUR_S = 3600.0


def settings(simulator: Simulator) -> Settings:
    urls = {"rest_url": simulator.rest_url, "socket_url": simulator.socket_url}
    return Settings.model_validate({"source": {"name": "demo", "password": "demo", **urls}})


def supervisor(simulator: Simulator) -> Supervisor:
    return Supervisor(settings(simulator), None, 2, "nothing")


def order(token: Path, hold_s: float = 0.0) -> Order:
    return Order(
        worker=1,
        supervisor=1,
        config=None,
        shards=(0, 2),
        token_path=str(token),
        token_folder=None,
        limits=BudgetLimits(),
        hold_s=hold_s,
    )


async def test_one_login_serves_all(tmp_path: Path) -> None:
    token = tmp_path / "token"
    async with Simulator(SMALL) as simulator:
        assert await supervisor(simulator)._login(token) == 0
        assert stat.S_IMODE(token.stat().st_mode) == 0o600
        for _ in range(2):
            async with broker(narrowed(settings(simulator), order(token))) as worker:
                await worker.keeper.token()
        assert simulator.tokens.issued == 1


async def test_refused_credentials_end_it_before_a_worker_begins(tmp_path: Path) -> None:
    async with Simulator(Options(accounts=4, password="another")) as simulator:
        with pytest.raises(AuthorizationRefused, match="refuses the credentials"):
            await supervisor(simulator)._login(tmp_path / "token")


async def test_a_wait_that_the_broker_asks_for_is_known_to_workers_from_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisors, "TOKEN_PATIENCE_S", 60.0)
    async with Simulator(SMALL) as simulator:
        fault = simulator.arm("token_status", times=None, status=429)
        hold_s = await supervisor(simulator)._login(tmp_path / "token")
        assert fault.fired == 1
        assert hold_s > HOUR_S - 60
        given = order(tmp_path / "token", hold_s)
        part = Part(given.limits, lambda _: None, lambda *_: None)
        worker = Bridge(narrowed(settings(simulator), given), part)
        worker.hear("hold", given.hold_s)
        assert worker._broker.budget.hold.wait_s > HOUR_S - 60


async def test_a_stop_is_not_kept_waiting_for_a_token(tmp_path: Path) -> None:
    async with Simulator(SMALL) as simulator:
        fault = simulator.arm("token_delay", seconds=60.0)
        made = supervisor(simulator)
        waiting = asyncio.create_task(made._login(tmp_path / "token"))
        async with asyncio.timeout(30):
            while not fault.fired:  # noqa: ASYNC110 - it tells no event
                await asyncio.sleep(0.01)
            made.stop()
            await waiting
    assert not (tmp_path / "token").exists()
