"""How often clients may ask (protocol section 3.2). Pure; told the time in seconds.

The real service counts by user, by address and by subnet; here all clients are one.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass
from itertools import takewhile

from bridge.simulator.options import Options

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint with a limit of its own: the option that holds it, the published wait, and what is counted."""

    option: str
    wait_s: int
    failures_only: bool = False
    captcha: bool = False


PENALISED: dict[str, Endpoint] = {
    "auth/accesstokenrequest": Endpoint("login_limit", 15, failures_only=True, captcha=True),
    "auth/renewaccesstoken": Endpoint("renew_limit", 15),
    "auth/me": Endpoint("me_limit", 30, failures_only=True),
    "user/syncrequest": Endpoint("sync_limit", 3),
}


class Limits:
    """Counts requests over the rolling hour."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._calls: dict[str, deque[float]] = defaultdict(deque)
        self._tickets: dict[str, deque[float]] = defaultdict(deque)
        self._warned_s: dict[bool, float] = {}

    def admit(self, endpoint: str, now: float) -> bool:
        """Whether a call is within the endpoint's limit; counts it if all calls count there."""
        kind = PENALISED[endpoint]
        calls = _recent(self._calls[endpoint], now)
        limit: int = getattr(self.options, kind.option)
        within = not limit or len(calls) < limit
        if not kind.failures_only:
            calls.append(now)
        return within

    def failed(self, endpoint: str, now: float) -> None:
        """Counts a failure where only failures count."""
        if endpoint in PENALISED and PENALISED[endpoint].failures_only:
            self._calls[endpoint].append(now)

    def penalty(self, endpoint: str, now: float) -> tuple[int, bool]:
        """Seconds to wait, and whether only a human gets any further."""
        kind, tickets = PENALISED[endpoint], _recent(self._tickets[endpoint], now)
        tickets.append(now)
        seconds = kind.wait_s if self.options.penalty_s is None else self.options.penalty_s
        return seconds * (len(tickets) if self.options.penalty_grows else 1), kind.captcha

    def refusal(self, now: float, *, anonymous: bool) -> int | None:
        """Counts a request of any kind; beyond the limit 423 as a warning, then 429 until the hour has passed."""
        limit = self.options.anonymous_limit if anonymous else self.options.request_limit
        calls = _recent(self._calls["anonymous" if anonymous else "authenticated"], now)
        burst = self.options.anonymous_per_second if anonymous else 0
        if burst and sum(1 for _ in takewhile(lambda at: at > now - 1, reversed(calls))) >= burst:
            return 429
        if not limit or len(calls) < limit:
            calls.append(now)
            return None
        warned, self._warned_s[anonymous] = self._warned_s.get(anonymous, -HOUR_S), now
        return 423 if now - warned >= HOUR_S else 429


def _recent(calls: deque[float], now: float) -> deque[float]:
    while calls and calls[0] <= now - HOUR_S:
        calls.popleft()
    return calls
