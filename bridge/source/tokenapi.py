"""The two token calls of the REST API (protocol section 2): one request each, judged, without any retry but tickets.

Whatever the status says, an answer without `accessToken` is a failure. Redirects are not followed, since they would
carry the password elsewhere, and nothing of a body gets into an error but the server's own `errorText`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from bridge.errors import AuthorizationRefused, BridgeError, Recovery
from bridge.source.credentials import Credentials, Token, without_userinfo
from bridge.source.messages import Penalty, TokenGranted, business_failure
from bridge.source.upgrade import http_date, retry_after_s

_LARGEST_ANSWER = 2**20


class TokenUnavailable(BridgeError):
    """No token now; another attempt may bring one.

    Attributes:
        cause: a short stable word: `unreachable`, `server_error`, `rate_limited`, `penalty`, `captcha`, `unreadable`,
            `expired`.
        wait_s: seconds to stay away at least.
    """

    recovery = Recovery.RETRY

    def __init__(self, cause: str, detail: str, *, wait_s: float = 0.0) -> None:
        super().__init__(f"no token ({cause}): {detail}")
        self.cause, self.wait_s = cause, wait_s


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLimits:
    """Waits and bounds of getting tokens, seconds.

    Attributes:
        request_s: for one request.
        margin_s: renew so long before the end, or a quarter of the life if that is shorter.
        spent_s: a token with less life left is not handed out.
        retry_first_s, retry_cap_s: back-off while the API does not answer.
        rate_limited_wait_s: after a 423 or 429, unless the server asks for more.
        captcha_wait_s: after a penalty that only a human can lift.
        longest_penalty_s: a longer penalty is not waited for within the attempt.
        penalties: tickets followed in one attempt.
        lock_s: for another process that holds the token file; then we go on without the lock.
        unknown_life_s: how long a token is taken to live whose `expirationTime` cannot be read.
    """

    request_s: float = 20.0
    margin_s: float = 900.0
    spent_s: float = 10.0
    retry_first_s: float = 1.0
    retry_cap_s: float = 60.0
    rate_limited_wait_s: float = 3600.0
    captcha_wait_s: float = 3600.0
    longest_penalty_s: float = 300.0
    penalties: int = 5
    lock_s: float = 60.0
    unknown_life_s: float = 1800.0


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: Any
    asked_s: float
    skew_s: float | None


class TokenApi:
    """Logs in and renews.

    Args:
        rest_url: such as `https://demo.tradovateapi.com/v1`.
        credentials: who we are.
        http: the client session; its owner closes it.
        limits: waits and bounds.
        answered: told `login` or `renewal` whenever the server has answered one: those count against its limits.
        wall: the wall clock, epoch seconds.
    """

    def __init__(
        self,
        rest_url: str,
        credentials: Credentials,
        http: aiohttp.ClientSession,
        *,
        limits: TokenLimits,
        answered: Callable[[str], None],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._url, self._credentials, self._http = rest_url.rstrip("/"), credentials, http
        self._limits, self._answered, self._wall = limits, answered, wall

    async def login(self) -> Token:
        """Ask for a new token, following penalty tickets (protocol section 3.1).

        Raises:
            AuthorizationRefused: the broker does not accept the credentials.
            TokenUnavailable: it may work later.
        """
        ticket = ""
        for _ in range(self._limits.penalties + 1):
            answer = await self._ask("POST", "auth/accesstokenrequest", json=self._credentials.body(ticket))
            if answer.status < 500 and not ticket:
                self._answered("login")
            penalty = Penalty.of(answer.body)
            if penalty is None:
                return self._granted(answer) or self._refuse(answer)
            self._check(penalty)
            await asyncio.sleep(penalty.seconds)
            ticket = penalty.ticket
        raise TokenUnavailable("penalty", "one ticket after the other", wait_s=self._limits.longest_penalty_s)

    async def renew(self, token: Token) -> Token | None:
        """Prolong the session of a token: a new token of the same session, None if the token is good for nothing.

        Raises:
            TokenUnavailable: it may work later.
        """
        bearer = {"Authorization": f"Bearer {token.value}"}
        answer = await self._ask("GET", "auth/renewaccesstoken", headers=bearer)
        self._answered("renewal")
        if penalty := Penalty.of(answer.body):
            raise self._penalized(penalty)
        if granted := self._granted(answer):
            return granted
        self._raise_if_passing(answer)
        return None

    async def _ask(self, method: str, path: str, **options: Any) -> _Answer:
        timeout = aiohttp.ClientTimeout(total=self._limits.request_s)
        request = self._http.request(method, f"{self._url}/{path}", timeout=timeout, allow_redirects=False, **options)
        try:
            async with request as response:
                raw = await _read(response)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            text = without_userinfo(f"{path}: {type(error).__name__}: {error}")
            raise TokenUnavailable("unreachable", text) from None
        date = http_date(response.headers.get("Date"))
        return _Answer(
            response.status,
            raw,
            retry_after_s(response.headers.get("Retry-After"), response.headers.get("Date")),
            # HTTP dates are cut to whole seconds: half a second more is nearest.
            None if date is None else date.timestamp() + 0.5 - self._wall(),
        )

    def _granted(self, answer: _Answer) -> Token | None:
        granted = TokenGranted.of(answer.body)
        if granted is None:
            return None
        skew = answer.skew_s or 0.0
        now = self._wall() + skew
        expires_at = granted.expires_at
        if expires_at is None or expires_at <= now:
            # Unreadable, or over when it was granted: then the clocks disagree, and there is no Date to correct ours.
            expires_at = now + self._limits.unknown_life_s
        return Token(
            value=granted.access_token,
            expires_at=expires_at,
            life_s=expires_at - now,
            skew_s=skew,
            name=self._credentials.name,
            environment=self._credentials.environment,
            user_id=granted.user_id,
        )

    def _refuse(self, answer: _Answer) -> Token:
        """Say why there is no token in the answer to a login.

        Raises:
            AuthorizationRefused: always, or
            TokenUnavailable: if it may work later.
        """
        self._raise_if_passing(answer)
        text = business_failure(answer.body)
        if text is None and answer.status not in {400, 401, 403}:
            raise TokenUnavailable("unreadable", f"status {answer.status} without a token and without a reason")
        reason = self._credentials.scrub(text or f"status {answer.status}")
        raise AuthorizationRefused(
            f"the broker refuses the credentials of {self._credentials.name} ({self._credentials.environment}): "
            f"{reason}; check source.name, source.password, source.cid and source.sec"
        )

    def _raise_if_passing(self, answer: _Answer) -> None:
        if answer.status in {423, 429}:
            wait = max(answer.asked_s, self._limits.rate_limited_wait_s)
            raise TokenUnavailable("rate_limited", f"status {answer.status}", wait_s=wait)
        if answer.status == 408 or answer.status >= 500:
            raise TokenUnavailable("server_error", f"status {answer.status}", wait_s=answer.asked_s)

    def _check(self, penalty: Penalty) -> None:
        if penalty.captcha or penalty.seconds > self._limits.longest_penalty_s:
            raise self._penalized(penalty)

    def _penalized(self, penalty: Penalty) -> TokenUnavailable:
        if penalty.captcha:
            return TokenUnavailable("captcha", "only a human can lift it", wait_s=self._limits.captcha_wait_s)
        wait = min(penalty.seconds, self._limits.captcha_wait_s)
        return TokenUnavailable("penalty", f"wait {penalty.seconds:g} s", wait_s=wait)


async def _read(response: aiohttp.ClientResponse) -> Any:
    """Read a bounded JSON body; None if it is not JSON."""
    try:
        text = await response.content.readexactly(_LARGEST_ANSWER)
    except asyncio.IncompleteReadError as whole:
        text = whole.partial
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
