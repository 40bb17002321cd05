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
    turnstile.charge()
    assert turnstile.wait_s > 3599


async def test_ready_takes_nothing() -> None:
    turnstile = Turnstile(RollingWindow(1, 3600), clock)

    await turnstile.ready()
    await turnstile.ready()
    assert turnstile.wait_s == 0
    turnstile.charge()

    assert turnstile.wait_s > 3500


async def test_a_budget_follows_its_limits() -> None:
    budget = Budget(clock, BudgetLimits(sockets=1, connect_burst=2, logins_per_hour=1))

    await budget.connect.turn()
    assert budget.connect.wait_s == 0
    budget.connect_throttled()
    assert budget.connect.wait_s > 2
    await budget.login.turn()
    assert budget.login.wait_s > 3500
    async with budget.sockets:
        assert budget.sockets.locked()
