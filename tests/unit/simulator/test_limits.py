from __future__ import annotations

from bridge.simulator.director import load
from bridge.simulator.limits import PENALISED, Limits
from bridge.simulator.options import Options

SYNC, LOGIN = "user/syncrequest", "auth/accesstokenrequest"


def test_calls_are_limited_by_the_rolling_hour() -> None:
    limits = Limits(Options(sync_limit=2))
    assert [limits.admit(SYNC, now) for now in (0, 10, 20)] == [True, True, False]
    assert limits.admit(SYNC, 3621)
    assert all(Limits(Options()).admit(SYNC, 0) for _ in range(1000))


def test_where_only_failures_count_calls_are_free() -> None:
    limits = Limits(Options(login_limit=2))
    assert all(limits.admit(LOGIN, 0) for _ in range(10))
    limits.failed(LOGIN, 0)
    limits.failed(LOGIN, 1)
    assert not limits.admit(LOGIN, 2)
    assert limits.admit(LOGIN, 3601)


def test_failures_do_not_count_where_calls_do() -> None:
    limits = Limits(Options(sync_limit=1))
    limits.failed(SYNC, 0)
    limits.failed("account/list", 0)
    assert limits.admit(SYNC, 0)


def test_published_waits_or_one_for_all() -> None:
    published = Limits(Options())
    assert {name: published.penalty(name, 0) for name in PENALISED} == {
        "auth/accesstokenrequest": (15, True), "auth/renewaccesstoken": (15, False), "auth/me": (30, False),
        "user/syncrequest": (3, False),
    }  # fmt: skip
    assert Limits(Options(penalty_s=0)).penalty(SYNC, 0) == (0, False)


def test_repeated_offences_cost_more() -> None:
    limits = Limits(Options(penalty_grows=True))
    assert [limits.penalty(SYNC, now)[0] for now in (0, 1, 2, 3601.5)] == [3, 6, 9, 6]


def test_beyond_the_limit_of_requests_a_warning_and_then_429() -> None:
    limits = Limits(Options(request_limit=2, anonymous_limit=1))
    assert [limits.refusal(now, anonymous=False) for now in (0, 1, 2, 3, 4)] == [None, None, 423, 429, 429]
    assert limits.refusal(3600.5, anonymous=False) is None
    assert [limits.refusal(0, anonymous=True) for _ in range(3)] == [None, 423, 429]
    assert all(Limits(Options()).refusal(0, anonymous=True) is None for _ in range(2000))


def test_without_a_token_so_many_requests_a_second() -> None:
    limits = Limits(Options(anonymous_per_second=3))
    assert [limits.refusal(now / 10, anonymous=True) for now in range(5)] == [None, None, None, 429, 429]
    assert limits.refusal(1.05, anonymous=True) is None
    assert limits.refusal(1.06, anonymous=True) == 429
    assert all(limits.refusal(0, anonymous=False) is None for _ in range(10))


def test_the_scenario_of_published_limits_holds_what_is_published() -> None:
    """Protocol section 3.2: the call after the last that is allowed meets the limit."""
    options = Options(**load("published-limits").options)
    limits = Limits(options)
    for endpoint, allowed in {LOGIN: 5, "auth/renewaccesstoken": 15, "auth/me": 10, SYNC: 300}.items():
        answers = []
        for _ in range(allowed + 1):
            answers.append(limits.admit(endpoint, 0))
            limits.failed(endpoint, 0)
        assert answers == [True] * allowed + [False], endpoint
    refusals = [limits.refusal(n / 100, anonymous=False) for n in range(5002)]
    assert [n for n, status in enumerate(refusals) if status] == [5000, 5001]
    refusals = [limits.refusal(n / 50, anonymous=True) for n in range(1002)]
    assert [n for n, status in enumerate(refusals) if status] == [1000, 1001]
    assert [Limits(options).refusal(0, anonymous=True), options.anonymous_per_second] == [None, 100]
    assert (options.max_sessions, options.max_sockets, options.max_devices, options.max_addresses) == (2, 50, 15, 5)
