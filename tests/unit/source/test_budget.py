import asyncio

import pytest

from bridge.source.budget import Budget, BudgetLimits, Hold, Places, Turnstile, Waits
from bridge.source.limits import RollingWindow


def clock() -> float:
    return asyncio.get_running_loop().time()


def waits(told: list[tuple[str, int]] | None = None, long_s: float = 3600.0) -> Waits:
    """Of one thing; what is told of long waits goes into the list."""

    def tell(what: str, waiting: int) -> None:
        if told is not None:
            told.append((what, waiting))

    return Waits("thing", clock, tell, long_s)


def turnstile_of(most: int, window_s: float, hold: Hold | None = None) -> Turnstile:
    return Turnstile(RollingWindow(most, window_s), clock, hold or Hold(clock), waits())


async def test_callers_pass_in_the_order_in_which_they_came() -> None:
    turnstile = turnstile_of(1, 0.02)
    passed: list[int] = []

    async def caller(number: int) -> None:
        await turnstile.turn()
        passed.append(number)

    began = clock()
    callers = [asyncio.create_task(caller(number)) for number in range(5)]
    await asyncio.sleep(0)
    late_s = clock() - began  # at most so long after the first did the others begin to wait
    await asyncio.wait(callers)

    assert passed == [0, 1, 2, 3, 4]
    assert clock() - began >= 0.08
    assert turnstile.waits.total_s >= 0.02 * (1 + 2 + 3 + 4) - 4 * late_s


async def test_a_cancelled_caller_has_taken_nothing_and_blocks_nobody() -> None:
    turnstile = turnstile_of(1, 3600)
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
    turnstile = turnstile_of(1, 3600)

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
    async with budget.sockets.held():
        waiting = asyncio.ensure_future(budget.sockets.held().__aenter__())
        await asyncio.sleep(0)
        assert not waiting.done()
    await waiting


async def test_a_hold_that_begins_or_grows_while_somebody_waits_is_kept() -> None:
    at = [0.0]
    hold = Hold(lambda: at[0])
    turnstile = Turnstile(RollingWindow(1, 0.01), lambda: at[0], hold, waits())
    await turnstile.turn()
    passing = asyncio.ensure_future(turnstile.turn())
    for at[0], seconds, left_s in ((0.0, 0.02, 0.02), (0.015, 0.02, 0.02), (0.02, 0.001, 0.015)):
        hold.extend(seconds)
        await asyncio.sleep(0.05)
        assert hold.wait_s == pytest.approx(left_s)
        assert not passing.done()

    at[0] = 0.04
    await passing

    assert hold.wait_s == 0


async def test_those_who_still_wait_count_and_long_waits_are_told_once() -> None:
    told: list[tuple[str, int]] = []
    places = Places(1, waits(told, 0.01))
    async with places.held():
        assert places.waits.total_s < 0.01
        waiting = [asyncio.ensure_future(places.held().__aenter__()) for _ in range(2)]
        await asyncio.sleep(0.05)
        before = places.waits.total_s
        await asyncio.sleep(0.01)
        assert places.waits.total_s > before >= 2 * 0.05
        assert told == [("thing", 2)]
        for one in waiting:
            one.cancel()
        await asyncio.wait(waiting)
        assert places.waits.total_s > before  # a wait that was given up was a wait
        async with asyncio.TaskGroup() as group:
            again = group.create_task(places.held().__aenter__())
            await asyncio.sleep(0.05)
            again.cancel()

    assert told == [("thing", 2), ("thing", 1)]


async def test_a_budget_tells_what_was_waited_for() -> None:
    budget = Budget(clock, BudgetLimits(connect_burst=1))
    await budget.connect.turn()
    waiting = asyncio.ensure_future(budget.connect.turn())
    await asyncio.sleep(0.02)

    waited = budget.waited()
    waiting.cancel()

    assert set(waited) == {"connect", "login", "renewal", "socket", "syncrequest"}
    assert waited["connect"] >= 0.02
    assert waited["login"] == waited["socket"] == 0


async def test_what_nobody_needs_is_begun_only_with_room_to_spare() -> None:
    limits = BudgetLimits(spare_sockets=1, syncrequests_per_hour=4)
    budget = Budget(clock, limits)

    assert budget.audit_hindrance() is None
    async with budget.spare.held():
        assert budget.audit_hindrance() == "no_socket"
    await budget.syncrequest.turn()
    assert budget.audit_hindrance() is None
    await budget.syncrequest.turn()
    assert budget.audit_hindrance() == "no_syncrequest"
    budget.hold.extend(60.0)
    assert budget.audit_hindrance() == "hold"
    assert Budget(clock, BudgetLimits()).audit_hindrance() == "no_socket"


async def test_what_is_refused_in_one_process_is_told_and_followed_in_another_but_told_no_further() -> None:
    here, there = Budget(clock), Budget(clock, BudgetLimits(connect_burst=2, connect_rate=1.0))
    told: list[tuple[str, float]] = []
    here.on_news = there.on_news = lambda *news: told.append(news)

    here.connect_throttled()
    here.hold.extend(60.0)
    here.hold.extend(1.0)  # is over before the other
    assert told == [("throttled", 0.0), ("hold", 60.0)]
    there.hear("throttled", 0.0)
    there.hear("hold", 60.0)

    assert len(told) == 2
    assert there.hold.wait_s == pytest.approx(60.0, abs=5.0)
    assert there.connect.wait_s > 0, "its burst is spent, too"


async def test_what_was_refused_in_two_processes_at_once_is_one_refusal() -> None:
    budget = Budget(clock, BudgetLimits(connect_burst=8, connect_rate=1.0))
    budget.connect_throttled()
    budget.hold.extend(60.0)
    before = budget.connect.wait_s

    budget.hear("throttled", 0.0)

    assert budget.connect.wait_s <= before
