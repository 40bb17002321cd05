import asyncio

from bridge.source.budget import Budget, BudgetLimits, Turnstile
from bridge.source.limits import RollingWindow


def clock() -> float:
    return asyncio.get_running_loop().time()


async def test_callers_pass_in_the_order_in_which_they_came() -> None:
    turnstile = Turnstile(RollingWindow(1, 0.02), clock)
    passed: list[int] = []

    async def caller(number: int) -> None:
        await turnstile.turn()
        passed.append(number)

    began = clock()
    await asyncio.gather(*(caller(number) for number in range(5)))

    assert passed == [0, 1, 2, 3, 4]
    assert clock() - began >= 0.08
    assert turnstile.waited == 4
    assert turnstile.waited_s > 0


async def test_a_cancelled_caller_has_taken_nothing_and_blocks_nobody() -> None:
    turnstile = Turnstile(RollingWindow(1, 3600), clock)
    await turnstile.turn()
    waiting = [asyncio.ensure_future(turnstile.turn()) for _ in range(3)]
    await asyncio.sleep(0)

    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)

    assert all(task.cancelled() for task in waiting)
    assert turnstile.wait_s <= 3600
    assert not turnstile.try_turn()


async def test_a_turn_without_waiting_is_given_only_if_nobody_waits() -> None:
    turnstile = Turnstile(RollingWindow(2, 0.05), clock)

    assert turnstile.try_turn()
    assert turnstile.try_turn()
    assert not turnstile.try_turn()
    waiting = asyncio.ensure_future(turnstile.turn())
    await asyncio.sleep(0)
    assert not turnstile.try_turn()
    await waiting


async def test_ready_takes_nothing() -> None:
    turnstile = Turnstile(RollingWindow(1, 3600), clock)

    await turnstile.ready()
    await turnstile.ready()
    assert turnstile.wait_s == 0
    turnstile.charge()

    assert turnstile.wait_s > 3500


async def test_a_budget_follows_its_limits() -> None:
    budget = Budget(clock, BudgetLimits(sockets=1, connect_burst=2, logins_per_hour=1))

    assert budget.connect.try_turn()
    budget.connect_throttled()
    assert not budget.connect.try_turn()
    assert budget.login.try_turn()
    assert not budget.login.try_turn()
    async with budget.sockets:
        assert budget.sockets.locked()
