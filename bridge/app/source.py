"""From settings to the broker's side: one token, one budget, and a conversation after the other for each shard."""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from contextlib import AsyncExitStack
from typing import Any, Self

import aiohttp
import structlog

from bridge.config import Settings, nearest
from bridge.entities.catalogue import CATALOGUE, SNAPSHOT_TYPES
from bridge.errors import ConfigurationError, SessionLost
from bridge.shard.ports import Listener
from bridge.source.backoff import Backoff
from bridge.source.budget import Budget, BudgetLimits
from bridge.source.credentials import Credentials
from bridge.source.events import Authorized, Penalized, SessionEvent, SnapshotComplete, SyncSent
from bridge.source.plan import SyncPlan
from bridge.source.refusals import SessionLimits
from bridge.source.session import Session
from bridge.source.socket import SocketConversation
from bridge.source.tokens import TokenKeeper, TokenTrouble

LOGIN_PATIENCE_S = 20.0


class Broker:
    """What all shards share of the broker: the token, the budget, and a pause after a quota shutdown.

    An async context manager: inside it the token is kept alive.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.limits = _limits(settings)
        self.tls = _tls(settings)
        self._logger = structlog.get_logger()
        self._stack = AsyncExitStack()
        self._not_before = 0.0
        _check_types(settings, self._logger)
        self.plans = {remainder: _plan(settings, remainder) for remainder in settings.sharding.remainders}

    async def __aenter__(self) -> Self:
        """Open the HTTP session; the token is fetched when the first shard asks for it, and kept alive from then on."""
        if not self.settings.source.name:
            raise ConfigurationError("source.name is empty; give the broker's user name (and source.password)")
        connector = aiohttp.TCPConnector(ssl=self.tls or True)
        http = aiohttp.ClientSession(connector=connector, trust_env=True)
        await self._stack.enter_async_context(http)
        source = self.settings.source
        self.budget = Budget(
            time.monotonic, BudgetLimits(sockets=source.max_sockets, connect_burst=source.connect_burst)
        )
        self.keeper = TokenKeeper(
            source.rest_url,
            _credentials(self.settings),
            http,
            budget=self.budget,
            on_trouble=self._trouble,
            token_path=source.token_path,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the HTTP session."""
        await self._stack.aclose()

    def source(self, remainder: int) -> ShardSource:
        """The broker's side of one shard."""
        return ShardSource(self, remainder)

    async def keep_token(self) -> None:
        """Renew the token ahead of its end, for ever; waits for the first shard to get one."""
        await self.keeper.token()
        await self.keeper.run()

    async def try_login(self) -> str:
        """Get a token once, for `check`.

        Raises:
            AuthorizationRefused: the credentials are refused.
            SessionLost: no token within the time a person would wait.
        """
        try:
            async with asyncio.timeout(LOGIN_PATIENCE_S):
                await self.keeper.token()
        except TimeoutError:
            raise SessionLost(
                "no_token", f"{self.settings.source.rest_url} gave none in {LOGIN_PATIENCE_S:g} s"
            ) from None
        return f"{self.settings.source.rest_url}, token for another {self.keeper.remaining_s / 60:.0f} min"

    async def hold(self) -> None:
        """After a quota shutdown nobody reconnects for a while, or two programs evict each other for ever."""
        await asyncio.sleep(max(0.0, self._not_before - time.monotonic()))

    def learn(self, lost: SessionLost, token: str) -> None:
        """Draw the consequences of a lost session that concern all shards."""
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


class ShardSource:
    """Makes one shard's conversations, and says how long to wait between them."""

    def __init__(self, broker: Broker, remainder: int) -> None:
        self._broker, self._remainder = broker, remainder
        self._backoff = Backoff()

    def converse(self, listener: Listener) -> Conversation:
        """A new conversation, not yet begun."""
        return Conversation(self._broker, self._broker.plans[self._remainder], listener)

    def delay(self, lost: SessionLost, useful: bool) -> float:
        """Seconds until the next attempt; begins anew after a session that proved useful."""
        if useful:
            self._backoff.reset()
        return self._backoff.next_delay(random.random(), asked_s=lost.wait_s)  # noqa: S311 - jitter


class Conversation:
    """One session with the broker: wait for slot and token, connect, sync when allowed, listen to the end."""

    def __init__(self, broker: Broker, plan: SyncPlan, listener: Listener) -> None:
        self._broker, self._plan, self._listener = broker, plan, listener
        self._socket: SocketConversation | None = None
        self._allowed = self._authorized = False
        self._syncing: asyncio.Task[None] | None = None
        self._quit: asyncio.Future[SessionLost] = asyncio.get_running_loop().create_future()

    @property
    def heard_us(self) -> int:
        """When the server was heard last; 0 if never."""
        return self._socket.heard_us if self._socket else 0

    async def run(self) -> SessionLost:
        """Until the session ends, or is given up while it waits for its turn.

        Raises:
            AuthorizationRefused: the broker refuses the credentials for good.
        """
        talking = asyncio.create_task(self._talk())
        try:
            await asyncio.wait([talking, self._quit], return_when=asyncio.FIRST_COMPLETED)
            if not talking.done() and self._socket is None:
                return self._quit.result()
            return await talking
        finally:
            for task in (talking, self._syncing):
                if task is not None:
                    task.cancel()
            await asyncio.gather(talking, return_exceptions=True)

    def allow_sync(self) -> None:
        """The fence in Kafka stands."""
        self._allowed = True
        self._sync_if_due()

    def pause(self) -> None:
        """Stop reading for a moment."""
        if self._socket is not None:
            self._socket.pause()

    def resume(self) -> None:
        """Read again."""
        if self._socket is not None:
            self._socket.resume()

    def give_up(self, lost: SessionLost) -> None:
        """End it for a reason of ours."""
        if not self._quit.done():
            self._quit.set_result(lost)
        if self._socket is not None:
            self._socket.give_up(lost)

    async def _talk(self) -> SessionLost:
        broker, source = self._broker, self._broker.settings.source
        await broker.hold()
        async with broker.budget.sockets:
            token = await broker.keeper.token()
            await broker.budget.connect.turn()
            self._socket = SocketConversation(
                source.socket_url,
                lambda now: Session(self._plan, token, now=now, limits=broker.limits),
                on_data=self._listener.data,
                on_event=self._on_event,
                ssl=broker.tls if source.socket_url.startswith("wss:") else None,
                proxy=source.proxy or True,
            )
            lost = await self._socket.run()
        broker.learn(lost, token)
        return lost

    def _on_event(self, event: SessionEvent) -> None:
        match event:
            case Authorized():
                self._authorized = True
                self._sync_if_due()
            case SyncSent(attempt=1):
                self._listener.synced()
            case SyncSent():
                self._broker.budget.syncrequest.charge()
            case SnapshotComplete():
                self._listener.snapshot_completed(event.counts)
            case Penalized():
                structlog.get_logger().warning(
                    "syncrequest_penalized", shard=self._plan.remainder, wait_seconds=event.penalty.seconds
                )

    def _sync_if_due(self) -> None:
        if self._allowed and self._authorized and self._syncing is None:
            self._syncing = asyncio.create_task(self._sync())

    async def _sync(self) -> None:
        """Syncrequests are 300 an hour for all shards together; an idle budget costs one turn of the loop."""
        await self._broker.budget.syncrequest.turn()
        if self._socket is not None:
            self._socket.allow_sync()


def _plan(settings: Settings, remainder: int) -> SyncPlan:
    source, sharding = settings.source, settings.sharding
    chosen = bool(source.users or source.accounts)
    if chosen and sharding.divisor != 1:
        raise ConfigurationError(
            "source.users and source.accounts cannot be combined with sharding (the broker forbids the mix): "
            "set sharding.divisor to 1"
        )
    return SyncPlan(
        entity_types=() if source.users else source.entity_types or tuple(SNAPSHOT_TYPES),
        expression=None if chosen else sharding.expression,
        divisor=sharding.divisor,
        remainder=remainder,
        users=source.users,
        accounts=source.accounts,
        cutoff_timestamp=source.cutoff_timestamp,
        full_org_snapshot=source.full_org_snapshot,
    )


def _check_types(settings: Settings, logger: Any) -> None:
    """The server ignores names it does not know, so a misspelt one must be said here (protocol section 7)."""
    for name in settings.source.entity_types:
        if name not in CATALOGUE:
            logger.warning("unknown_entity_type", name=name, hint=nearest(name, CATALOGUE).removeprefix("; "))


def _credentials(settings: Settings) -> Credentials:
    source = settings.source
    return Credentials(
        environment=source.environment,
        name=source.name,
        password=source.password.get_secret_value(),
        app_id=source.app_id,
        app_version=source.app_version,
        device_id=source.device_id,
        cid=source.cid,
        sec=source.sec.get_secret_value() if source.sec else None,
    )


def _limits(settings: Settings) -> SessionLimits:
    return SessionLimits(
        heartbeat_s=settings.source.heartbeat_s,
        idle_s=settings.source.idle_s,
        snapshot_quiet_s=settings.snapshot.quiet_s,
        frame_bytes=settings.source.max_frame_mb * 2**20,
    )


def _tls(settings: Settings) -> ssl.SSLContext | None:
    path = settings.source.ca_file
    if path is None:
        return None
    try:
        return ssl.create_default_context(cafile=str(path))
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"cannot use source.ca_file {path}: {error}") from error
