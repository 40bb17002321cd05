"""What all shards of a process share of the broker: one token, one budget, and what one shard's loss means for all."""

from __future__ import annotations

import asyncio
import ssl
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import aiohttp
import structlog

from bridge.errors import AuthorizationRefused, SessionLost
from bridge.source.budget import Budget, BudgetLimits
from bridge.source.credentials import Credentials
from bridge.source.refusals import SessionLimits
from bridge.source.tokens import TokenKeeper, TokenTrouble

LOGIN_PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the broker is and how it is reached.

    Attributes:
        rest_url, socket_url: addresses, without a trailing slash.
        tls: a context with the CA to trust; None for the system's.
        proxy: None takes the environment's.
    """

    rest_url: str
    socket_url: str
    tls: ssl.SSLContext | None = None
    proxy: str | None = None


class Broker:
    """Token, budget, and the pause after a quota shutdown; an async context manager.

    Args:
        limits: waits and bounds of every session.
        budget: the limits that all shards share.
        token_path: where the token outlives the process; None for nowhere.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        credentials: Credentials,
        *,
        limits: SessionLimits,
        budget: BudgetLimits,
        token_path: Path | None = None,
    ) -> None:
        self.endpoint, self.limits = endpoint, limits
        self.budget = Budget(time.monotonic, budget)
        self._credentials, self._token_path = credentials, token_path
        self._logger = structlog.get_logger()
        self._stack = AsyncExitStack()
        self._not_before = 0.0

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

    async def hold(self) -> None:
        """After a quota shutdown nobody reconnects for a while, or two programs evict each other for ever."""
        await asyncio.sleep(max(0.0, self._not_before - time.monotonic()))

    def learn(self, lost: SessionLost, token: str) -> None:
        """Draw the consequences of a lost session that concern all shards (protocol sections 2.4 and 10)."""
        if lost.cause == "unauthorized":
            self.keeper.invalidate(token)
        elif lost.cause == "authorize_failed":
            self.keeper.invalidate(token, renewable=True)
        elif lost.cause == "quota":
            self.keeper.invalidate(token)
            self._not_before = time.monotonic() + lost.wait_s
        elif lost.cause == "rate_limited":
            self.budget.connect_throttled()

    def _trouble(self, trouble: TokenTrouble) -> None:
        self._logger.warning("token_trouble", cause=trouble.cause, reason=trouble.detail, wait_seconds=trouble.wait_s)
