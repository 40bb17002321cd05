"""One shard's conversations with the broker: place, token, connection, session; then the wait until the next one."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import Any, Protocol

import structlog

from bridge.errors import SessionLost
from bridge.source.backoff import Backoff
from bridge.source.broker import Broker
from bridge.source.budget import Places
from bridge.source.events import Authorized, Penalized, SessionEvent, SnapshotComplete, SnapshotPart, SyncSent
from bridge.source.plan import SyncPlan
from bridge.source.session import Session
from bridge.source.socket import SocketConversation


class Listener(Protocol):
    """Told what a conversation brings; every method returns at once."""

    def data(self, raw: bytes, messages: list[Any], arrived_us: int) -> None:
        """A frame with data has arrived."""

    def straight(self, frames: list[bytes], start: int, arrived_us: int) -> int:
        """Frames have arrived that nobody has read; how many were taken, from `start` on, one after the other.

        None is taken that holds anything but `props` events; `data` brings it instead, unless it is for the session.
        """

    def synced(self) -> None:
        """The syncrequest has gone out."""

    def snapshot_part(self) -> None:
        """A part of the snapshot has arrived."""

    def snapshot_completed(self, rows: Mapping[str, int]) -> None:
        """The snapshot is taken to be complete."""


class ShardSource:
    """Makes one shard's conversations, and says how long to wait between them."""

    def __init__(self, broker: Broker, plan: SyncPlan, backoff: Backoff | None = None) -> None:
        self._broker, self._plan = broker, plan
        self._backoff = backoff or Backoff()

    def converse(self, listener: Listener) -> Conversation:
        """A new conversation, not yet begun."""
        return Conversation(self._broker, self._plan, listener)

    def delay(self, lost: SessionLost, useful: bool) -> float:
        """Seconds until the next attempt; begins anew after a session that proved useful."""
        if useful:
            self._backoff.reset()
        return self._backoff.next_delay(random.random(), asked_s=lost.wait_s)  # noqa: S311 - jitter


class Conversation:
    """One session with the broker: wait for place and token, connect, sync when allowed, listen to the end.

    Args:
        places: of which it holds one; None for those of the shards' own sockets.
    """

    def __init__(self, broker: Broker, plan: SyncPlan, listener: Listener, places: Places | None = None) -> None:
        self._broker, self._plan, self._listener = broker, plan, listener
        self._places = places or broker.budget.sockets
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
            if self._quit.done() and not talking.done():
                if self._socket is None:
                    return self._quit.result()
                self._socket.give_up(self._quit.result())  # it may have come to be after `give_up` looked for it
            return await talking
        finally:
            tasks = [task for task in (talking, self._syncing) if task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

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
        broker, endpoint = self._broker, self._broker.endpoint
        async with self._places.held():
            token = await broker.admission()
            self._socket = SocketConversation(
                endpoint.socket_url,
                lambda now: Session(self._plan, token, now=now, limits=broker.limits),
                on_data=self._listener.data,
                straight=self._listener.straight,
                on_event=self._on_event,
                ssl=endpoint.tls if endpoint.socket_url.startswith("wss:") else None,
                proxy=endpoint.proxy or True,
                cut=broker.cut,
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
            case SnapshotPart():
                self._listener.snapshot_part()
            case SnapshotComplete():
                if event.superseded:
                    structlog.get_logger().debug("rows_superseded", shard=self._plan.remainder, rows=event.superseded)
                self._listener.snapshot_completed(event.counts)
            case Penalized():
                self._broker.budget.hold.extend(event.penalty.seconds)  # another shard would draw a ticket of its own
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
