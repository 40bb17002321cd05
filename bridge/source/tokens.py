"""One token for all shards: got once, kept alive, shared with other processes by a file (protocol sections 2 and 16).

Time: a token's end is the server's. What our clock is wrong by is learnt from the `Date` of the answer that granted
it and kept with the token; without that header our clock is believed, unless it says that a new token is over already.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import tenacity

from bridge.errors import AuthorizationRefused
from bridge.source.backoff import Backoff
from bridge.source.budget import Budget, Turnstile
from bridge.source.credentials import Credentials, Token
from bridge.source.tokenapi import TokenApi, TokenLimits, TokenUnavailable
from bridge.source.tokenfile import TokenFile

_REMEMBERED_DEAD = 16


@dataclass(frozen=True, slots=True)
class TokenTrouble:
    """Something that an operator should know: no token yet, a wait, or a token file that cannot be used.

    Attributes:
        cause: see `TokenUnavailable.cause`; also `budget`, `token_file`, `token_lock`.
        detail: a sentence without secrets.
        wait_s: how long until the next attempt.
    """

    cause: str
    detail: str
    wait_s: float = 0.0


class TokenKeeper:
    """Hands out the newest live token and renews it ahead of its end.

    Args:
        rest_url: such as `https://demo.tradovateapi.com/v1`.
        credentials: who we are.
        http: the client session; its owner closes it.
        budget: the limits shared by all shards.
        on_trouble: told whatever keeps us from a token; returns at once.
        token_path: file that outlives the process and is shared by processes, None for none.
        limits: waits and bounds.
        wall: the wall clock, epoch seconds.
        fraction: random numbers in [0, 1).

    Attributes:
        logins, renewals: how many the server has answered.
    """

    def __init__(
        self,
        rest_url: str,
        credentials: Credentials,
        http: aiohttp.ClientSession,
        *,
        budget: Budget,
        on_trouble: Callable[[TokenTrouble], None],
        token_path: Path | None = None,
        limits: TokenLimits | None = None,
        wall: Callable[[], float] = time.time,
        fraction: Callable[[], float] = random.random,
    ) -> None:
        self._limits = limits or TokenLimits()
        self._api = TokenApi(rest_url, credentials, http, limits=self._limits, answered=self._count, wall=wall)
        self._file = TokenFile(token_path, lock_s=self._limits.lock_s) if token_path else None
        self._credentials, self._budget, self._on_trouble = credentials, budget, on_trouble
        self._wall, self._fraction = wall, fraction
        self._flight = asyncio.Lock()
        self._changed = asyncio.Event()
        self._current: Token | None = None
        self._doubtful = False
        self._dead: deque[bytes] = deque(maxlen=_REMEMBERED_DEAD)
        self._refused: AuthorizationRefused | None = None
        self.logins = 0
        self.renewals = 0

    @property
    def remaining_s(self) -> float:
        """Life left of the present token, seconds; 0 if there is none."""
        return 0.0 if self._current is None else max(0.0, self._current.remaining_s(self._wall()))

    @property
    def live(self) -> str | None:
        """The token, if there is one that can be used at this moment."""
        return self._current.value if self._current is not None and self._usable() else None

    async def token(self) -> str:
        """The newest live token; waits, for ever if need be, while none can be had.

        Raises:
            AuthorizationRefused: the broker does not accept the credentials; it is not asked again.
        """
        if not self._usable():
            async with self._flight:
                if not self._usable():
                    await self._obtain_patiently()
        if self._current is None:
            return await self.token()  # invalidated between grant and use
        return self._current.value

    async def run(self) -> None:
        """Keep the token alive, for ever: renew it ahead of its end and replace it at once when it was invalidated.

        Raises:
            AuthorizationRefused: the broker does not accept the credentials.
        """
        while True:
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._due_in_s()):
                    await self._changed.wait()
            async with self._flight:
                if self._due_in_s() <= 0:
                    await self._obtain_patiently()

    def invalidate(self, value: str, *, renewable: bool = False) -> None:
        """Report a token that the server no longer takes. Does nothing if it is not the present one.

        Args:
            value: the token that was used.
            renewable: it is only in doubt: try to renew it before logging in anew.
        """
        if self._current is None or self._current.value != value:
            return
        if renewable:
            self._doubtful = True
        else:
            self._bury(self._current)
        self._changed.set()

    # Inside

    def _usable(self) -> bool:
        token = self._current
        if token is None or self._doubtful:
            return False
        return token.remaining_s(self._wall()) > min(self._limits.spent_s, token.life_s / 10)

    def _due_in_s(self) -> float:
        token = self._current
        if token is None or self._doubtful:
            return 0.0
        return token.remaining_s(self._wall()) - token.margin_s(self._limits.margin_s)

    async def _obtain_patiently(self) -> None:
        """Try until there is a token; the caller holds the flight lock, so only one of us asks the server."""
        if self._refused is not None:
            raise self._refused
        backoff = Backoff(self._limits.retry_first_s, self._limits.retry_cap_s)

        def wait(state: tenacity.RetryCallState) -> float:
            error = _error(state)
            return backoff.next_delay(self._fraction(), asked_s=error.wait_s if error else 0.0)

        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(TokenUnavailable),
            wait=wait,
            before_sleep=self._report,
            reraise=True,
        )
        try:
            self._current = await retrying(self._obtain)
        except AuthorizationRefused as refused:
            self._refused = refused
            raise
        self._doubtful = False
        self._changed.set()

    async def _obtain(self) -> Token:
        async with self._file_locked():
            if shared := self._from_file():
                return shared
            token = await self._renewed() or await self._logged_in()
            await self._persist(token)
            return token

    async def _renewed(self) -> Token | None:
        if self._current is None or self._current.remaining_s(self._wall()) <= 0:
            return None
        await self._turn(self._budget.renewal)
        renewed = await self._api.renew(self._current)
        if renewed is None:
            self._bury(self._current)
            self._on_trouble(TokenTrouble("expired", "the token could not be renewed; logging in anew"))
        return renewed

    async def _logged_in(self) -> Token:
        await self._turn(self._budget.login)
        return await self._api.login()

    async def _turn(self, turnstile: Turnstile) -> None:
        if (wait := turnstile.wait_s) > 0:
            self._on_trouble(TokenTrouble("budget", "the hourly limit for this request is reached", wait))
        await turnstile.ready()

    def _count(self, what: str) -> None:
        if what == "login":
            self.logins += 1
            self._budget.login.charge()
        else:
            self.renewals += 1
            self._budget.renewal.charge()

    def _bury(self, token: Token) -> None:
        self._dead.append(_digest(token))
        self._current = None

    def _report(self, state: tenacity.RetryCallState) -> None:
        error = _error(state)
        if error is not None:
            self._on_trouble(TokenTrouble(error.cause, str(error), state.upcoming_sleep))

    # The file

    @contextlib.asynccontextmanager
    async def _file_locked(self) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            if self._file is not None:
                try:
                    if not await stack.enter_async_context(self._file.locked()):
                        self._on_trouble(TokenTrouble("token_lock", f"another process keeps {self._file.path} locked"))
                except OSError as error:
                    self._on_trouble(TokenTrouble("token_file", f"cannot lock {self._file.path}: {error.strerror}"))
            yield

    def _from_file(self) -> Token | None:
        """The token of another process or an earlier life, if it is ours and better than what we have."""
        if self._file is None:
            return None
        try:
            token = self._file.read()
        except (OSError, ValueError) as error:
            self._on_trouble(TokenTrouble("token_file", f"cannot use {self._file.path}: {type(error).__name__}"))
            return None
        if token is None or not token.belongs_to(self._credentials) or _digest(token) in self._dead:
            return None
        if token.remaining_s(self._wall()) <= self._limits.spent_s:
            return None
        newer = self._current is None or token.expires_at > self._current.expires_at
        return token if newer else None

    async def _persist(self, token: Token) -> None:
        if self._file is None:
            return
        try:
            await self._file.write(token)
        except OSError as error:
            self._on_trouble(TokenTrouble("token_file", f"cannot write {self._file.path}: {error.strerror}"))


def _digest(token: Token) -> bytes:
    return hashlib.sha256(token.value.encode("utf-8", "surrogatepass")).digest()


def _error(state: tenacity.RetryCallState) -> TokenUnavailable | None:
    error: Any = state.outcome.exception() if state.outcome is not None else None
    return error if isinstance(error, TokenUnavailable) else None
