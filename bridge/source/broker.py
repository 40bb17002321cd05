"""What all shards of a process share of the broker: one token, one budget, and what one shard's loss means for all.

One account has one limit. When the broker tells one shard to stay away, no shard begins anything new until that time is
over; open sockets stay.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import aiohttp
import structlog

from bridge.errors import AuthorizationRefused, SessionLost
from bridge.source import scanner
from bridge.source.budget import Budget, BudgetLimits
from bridge.source.credentials import Credentials
from bridge.source.refusals import SessionLimits
from bridge.source.scanner import Cut
from bridge.source.tokenapi import TokenLimits
from bridge.source.tokens import TokenKeeper, TokenTrouble

LOGIN_PATIENCE_S = 20.0
SHARED_CAUSES = frozenset({"rate_limited", "captcha", "penalty", "quota"})
"""Losses and troubles after which the broker wants to hear nothing new from this user."""
_WORTH_TELLING_S = 1.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the broker is and how it is reached.

    Attributes:
        rest_url, socket_url: addresses, without a trailing slash.
        tls: a context with the CA to trust; None for the system's.
        proxy: None takes the environment's; it may hold a password, so it is not shown by repr.
    """

    rest_url: str
    socket_url: str
    tls: ssl.SSLContext | None = None
    proxy: str | None = field(default=None, repr=False)


class Broker:
    """Token, budget, and the hold after a refusal; an async context manager.

    Args:
        limits: waits and bounds of every session.
        budget: the limits that all shards share.
        token_limits: waits and bounds of getting tokens.
        token_path: where the token outlives the process; None for nowhere.
        cut: what cuts the sockets' bytes into messages.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        credentials: Credentials,
        *,
        limits: SessionLimits,
        budget: BudgetLimits,
        token_limits: TokenLimits | None = None,
        token_path: Path | None = None,
        cut: Cut = scanner.cut,
    ) -> None:
        self.endpoint, self.limits, self.cut = endpoint, limits, cut
        self.budget = Budget(time.monotonic, budget, self._long_wait)
        self._credentials, self._token_limits, self._token_path = credentials, token_limits, token_path
        self._logger = structlog.get_logger()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Open the HTTP session; the token is fetched when the first shard asks for it."""
        http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self.endpoint.tls or True), trust_env=True, proxy=self.endpoint.proxy
        )
        await self._stack.enter_async_context(http)
        self.keeper = TokenKeeper(
            self.endpoint.rest_url,
            self._credentials,
            http,
            budget=self.budget,
            on_trouble=self._trouble,
            token_path=self._token_path,
            limits=self._token_limits,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the HTTP session."""
        await self._stack.aclose()

    async def keep_token(self) -> None:
        """Renew the token ahead of its end, for as long as the broker accepts the credentials.

        Open sockets outlive their token, so a refusal ends nothing at once; the next connection meets it.
        """
        try:
            await self.keeper.token()
            await self.keeper.run()
        except AuthorizationRefused as error:
            self._logger.error("token_refused", reason=str(error))  # noqa: TRY400 - a sentence, no traceback

    async def try_login(self) -> str:
        """Get a token once, for `check`; says for how long it lives.

        Raises:
            AuthorizationRefused: the credentials are refused.
            SessionLost: no token within the time a person would wait.
        """
        try:
            async with asyncio.timeout(LOGIN_PATIENCE_S):
                await self.keeper.token()
        except TimeoutError:
            reason = f"{self.endpoint.rest_url} gave none within {LOGIN_PATIENCE_S:g} s"
            raise SessionLost("no_token", reason) from None
        return f"{self.endpoint.rest_url}, token for another {self.keeper.remaining_s / 60:.0f} min"

    async def admission(self) -> str:
        """Wait until a connection may be opened; takes the turn, and gives the token to show.

        Every wait may last an hour. So a turn is taken only when the token is good at that very moment.

        Raises:
            AuthorizationRefused: the broker does not accept the credentials.
        """
        while True:
            await self.keeper.token()
            await self.budget.connect.ready()
            token = self.keeper.live
            if token is not None:
                self.budget.connect.charge()
                return token

    def learn(self, lost: SessionLost, token: str) -> None:
        """Draw the consequences of a lost session that concern all shards (protocol sections 2.4, 3 and 10)."""
        if lost.cause in {"unauthorized", "quota"}:
            self.keeper.invalidate(token)
        elif lost.cause == "authorize_failed":
            self.keeper.invalidate(token, renewable=True)
        elif lost.cause == "rate_limited" and not self.budget.hold.wait_s:
            # Shards that were refused together are one refusal.
            self.budget.connect_throttled()
        if lost.cause in SHARED_CAUSES:
            self.stay_away(lost.cause, lost.wait_s)

    def stay_away(self, cause: str, seconds: float) -> None:
        """No shard begins anything new for so long."""
        longer_s = seconds - self.budget.hold.wait_s
        self.budget.hold.extend(seconds)
        if longer_s > _WORTH_TELLING_S:
            self._logger.warning("staying_away", cause=cause, wait_seconds=round(seconds, 1))

    def _trouble(self, trouble: TokenTrouble) -> None:
        self._logger.warning("token_trouble", cause=trouble.cause, reason=trouble.detail, wait_seconds=trouble.wait_s)
        if trouble.cause in SHARED_CAUSES:
            self.stay_away(trouble.cause, trouble.wait_s)

    def _long_wait(self, what: str, waiting: int) -> None:
        self._logger.warning("waiting_for_limit", limit=what, waiting=waiting)
