"""Shards that talk to the simulator through a broker of the bridge, with waits short enough to be waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson

from bridge.errors import SessionLost
from bridge.simulator.ledger import Kind, SessionLog
from bridge.simulator.server import Simulator
from bridge.source.broker import Broker, Endpoint
from bridge.source.budget import BudgetLimits
from bridge.source.conversation import Conversation, ShardSource
from bridge.source.credentials import Credentials
from bridge.source.plan import SyncPlan
from bridge.source.refusals import SessionLimits
from bridge.source.rows import Rows, rows
from bridge.source.tokenapi import TokenLimits
from tests.component.source.scripted import eventually

AWAY_S = 0.3
"""How long to stay away after anything that means it."""
LIMITS = SessionLimits(
    snapshot_quiet_s=0.2,
    rate_limited_wait_s=AWAY_S,
    upgrade_limited_wait_s=AWAY_S,
    captcha_wait_s=AWAY_S,
)
TOKENS = TokenLimits(retry_first_s=0.02, retry_cap_s=0.05, rate_limited_wait_s=AWAY_S, captcha_wait_s=AWAY_S)
TYPES = ("user", "account", "order", "fill", "position", "cashBalance", "contract", "command")


class Shard:
    """One shard's listener, and the conversation it has (`shard.ports.Listener`).

    Attributes:
        rows: what arrived: entity type, id, whether as snapshot.
        content: what they come to.
        synced_at: by the loop's clock, 0.0 before.
    """

    def __init__(self, broker: Broker, remainder: int = 0, divisor: int = 2) -> None:
        self.plan = SyncPlan(entity_types=TYPES, expression="modAccountId", divisor=divisor, remainder=remainder)
        self.source = ShardSource(broker, self.plan)
        self.rows: list[tuple[str, Any, bool]] = []
        self.content: dict[tuple[str, int], Any] = {}
        self._live: set[tuple[str, int]] = set()
        self.synced_at = 0.0
        self.complete = asyncio.Event()
        self.counts: Mapping[str, int] = {}
        self.conversation: Conversation = self.source.converse(self)
        self.running: asyncio.Task[SessionLost] | None = None

    def start(self, *, sync: bool = True) -> asyncio.Task[SessionLost]:
        """Begin the conversation; with the permission to sync, unless told otherwise."""
        if sync:
            self.conversation.allow_sync()
        self.running = asyncio.create_task(self.conversation.run())
        return self.running

    async def lost(self) -> SessionLost:
        """Begin it and wait for its end."""
        return await self.start()

    async def stop(self) -> None:
        """End it in an orderly way."""
        assert self.running is not None
        self.conversation.give_up(SessionLost("stopped"))
        await self.running

    async def live(self) -> None:
        """Wait for the whole snapshot."""
        await self.settled()
        assert self.complete.is_set()

    async def settled(self) -> None:
        """Wait for the whole snapshot, or the end of the conversation."""
        assert self.running is not None
        running = self.running
        await eventually(lambda: self.complete.is_set() or running.done())

    def data(self, raw: bytes, messages: list[Any], arrived_us: int) -> None:
        assert raw.startswith(b"a")
        assert arrived_us
        for item in (item for message in messages for item in rows(message)):
            assert isinstance(item, Rows)
            self._fold(item)
            self.rows += [(item.entity_type, entity["id"], item.is_snapshot) for entity in item.entities]

    def _fold(self, item: Rows) -> None:
        """What is live beats what is of the snapshot."""
        for entity in item.entities:
            key = item.entity_type, entity["id"]
            if not item.is_snapshot:
                self._live.add(key)
            elif key in self._live:
                continue
            if item.event_type == "Deleted":
                self.content.pop(key, None)
            else:
                self.content[key] = entity

    def straight(self, frames: list[bytes], start: int, arrived_us: int) -> int:  # noqa: ARG002 - `data` gets them
        """None."""
        return 0

    def synced(self) -> None:
        self.synced_at = now()

    def snapshot_part(self) -> None:
        """Parts are counted in `rows`."""

    def snapshot_completed(self, rows: Mapping[str, int]) -> None:
        self.counts = rows
        self.complete.set()


def sent(simulator: Simulator, log: SessionLog) -> list[tuple[str, int, bool]]:
    """What the ledger says was written to a socket: entity type, id, whether as snapshot."""
    changes = {change.number: change for change in simulator.ledger.changes}
    return [
        (changes[number].entity_type, changes[number].id, kind == Kind.SNAPSHOT)
        for number, kind in zip(log.numbers, log.kinds, strict=True)
    ]


def truth(simulator: Simulator) -> dict[tuple[str, int], Any]:
    """What the simulated broker holds."""
    store = simulator.world.store
    return {(name, change.id): orjson.loads(change.json) for name in TYPES for change in store.rows(name)}


def now() -> float:
    return asyncio.get_running_loop().time()


@asynccontextmanager
async def dialing(
    simulator: Simulator, *, burst: int = 20, rate: float = 100.0, **options: Any
) -> AsyncIterator[Broker]:
    """A broker for a simulator; what its shards still run is cancelled at the end by the test's loop."""
    broker = Broker(
        Endpoint(simulator.rest_url, simulator.socket_url),
        options.pop("credentials", Credentials(environment="demo", name="acme_admin", password="s3cret-password")),
        limits=options.pop("limits", LIMITS),
        budget=options.pop("budget", BudgetLimits(connect_burst=burst, connect_rate=rate)),
        token_limits=options.pop("token_limits", TOKENS),
        **options,
    )
    async with broker:
        yield broker


async def waiting_for(broker: Broker, *limits: str) -> None:
    """Wait until somebody waits for one of these limits."""
    await eventually(lambda: any(broker.budget.waited()[limit] > 0.05 for limit in limits))
