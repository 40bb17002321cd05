"""The client under test: the bridge's source side and its reconciler, wired as the bridge wires them, without Kafka."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import orjson

from bridge.app.reading import frame_reader
from bridge.app.shards import kinds
from bridge.changes.reconciler import Reconciler
from bridge.changes.state import PublishedState
from bridge.entities import schemas
from bridge.entities.catalogue import CATALOGUE, SNAPSHOT_TYPES
from bridge.entities.change import Change
from bridge.entities.encoder import Encoder
from bridge.errors import SessionLost
from bridge.simulator.options import Options
from bridge.simulator.server import Simulator
from bridge.source.backoff import Backoff
from bridge.source.broker import Broker, Endpoint
from bridge.source.budget import BudgetLimits
from bridge.source.conversation import Conversation, ShardSource
from bridge.source.credentials import Credentials
from bridge.source.plan import SyncPlan
from bridge.source.tokenapi import TokenLimits
from tests.conformance.checklist import PACE
from tests.conformance.tap import Tap

PATIENCE_S = 60.0
DIVISOR = 2
PASSWORD = "correct-horse"
EXPRESSION = "modAccountId"
ENCODERS: Final = {name: Encoder(name, schemas.value_schema(name)) for name in CATALOGUE}


class Client:
    """One shard, listening until it is stopped.

    Attributes:
        changes: what the reconciler made of all that came, in order.
        lost: why each session ended.
        completed: how many snapshots were complete.
    """

    def __init__(self, broker: Broker, remainder: int = 0) -> None:
        plan = SyncPlan(entity_types=tuple(SNAPSHOT_TYPES), expression=EXPRESSION, divisor=DIVISOR, remainder=remainder)
        self.changes: list[Change] = []
        self.lost: list[SessionLost] = []
        self.completed = 0
        self.state = PublishedState(CATALOGUE)
        known = kinds(self.state, ENCODERS, EXPRESSION)
        self.reconciler = Reconciler(self.state, known, divisor=DIVISOR, remainder=remainder, max_value_bytes=1 << 20)
        self.source = ShardSource(broker, plan, None if PACE.real else Backoff(0.05, 1.0))
        self.remainder = remainder
        self._reader = frame_reader()
        self._conversation: Conversation | None = None
        self._stopped = False

    async def run(self) -> None:
        """One session after the other, with the waits of the product between them."""
        while not self._stopped:
            before = self.completed
            self._conversation = self.source.converse(self)
            self._conversation.allow_sync()
            self.lost.append(await self._conversation.run())
            if not self._stopped:
                await asyncio.sleep(self.source.delay(self.lost[-1], self.completed > before))

    def stop(self) -> None:
        """Log off."""
        self._stopped = True
        if self._conversation is not None:
            self._conversation.give_up(SessionLost("stopped"))

    # Listener

    def data(self, raw: bytes, messages: list[Any], arrived_us: int) -> None:  # noqa: ARG002 - no record is written
        """Reconcile a frame; no number here is one that the fast reader would round."""
        self.changes += self.reconciler.apply(self._reader.rows(messages)[0]).changes

    def straight(self, frames: list[bytes], start: int, arrived_us: int) -> int:  # noqa: ARG002 - `data` gets them
        """None."""
        return 0

    def synced(self) -> None:
        """A session begins."""
        self.reconciler.open_session(initial=not self.completed)

    def snapshot_part(self) -> None:
        """Nothing is concluded from parts here."""

    def snapshot_completed(self, rows: Mapping[str, int]) -> None:  # noqa: ARG002 - counted by the reconciler
        """The snapshot is as complete as can be known."""
        self.completed += 1


class World:
    """Simulator, tap and broker of one test; makes clients."""

    def __init__(self, simulator: Simulator, tap: Tap, broker: Broker) -> None:
        self.simulator, self.tap, self.broker = simulator, tap, broker
        self._running: list[tuple[Client, asyncio.Task[None]]] = []

    def start(self, remainder: int = 0) -> Client:
        """A client that listens from now on."""
        client = Client(self.broker, remainder)
        self._running.append((client, asyncio.create_task(client.run())))
        return client

    async def live(self, snapshots: int = 1, remainder: int = 0) -> Client:
        """A client whose snapshot is complete."""
        client = self.start(remainder)
        await self.until(lambda: client.completed >= snapshots)
        return client

    async def until(self, condition: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
        """Wait until something is so; what ends a client before is raised."""
        async with asyncio.timeout(patience_s):
            while not condition():
                for _, task in self._running:
                    if task.done():
                        task.result()
                await asyncio.sleep(0.005)

    async def settled(self, client: Client) -> None:
        """Wait until the client believes what is true."""
        await self.simulator.quiesce()
        await self.until(lambda: not self.differences(client))

    def differences(self, client: Client) -> list[tuple[str, int]]:
        """Keys of the client's shard about which client and ledger disagree."""
        believed = {(name, number): entry[0] for name, number, entry in client.state if name in SNAPSHOT_TYPES}
        truth = {
            (change.entity_type, change.id): ENCODERS[change.entity_type].encode(orjson.loads(change.json))[0]
            for change in self.simulator.ledger.state()
            if change.entity_type in SNAPSHOT_TYPES
            and (change.account_id is None or change.account_id % DIVISOR == client.remainder)
        }
        return [key for key in believed.keys() | truth.keys() if believed.get(key) != truth.get(key)]

    async def watch(self, seconds: float) -> None:
        """Let time pass in which nothing is to happen; what ends a client is raised."""
        began = time.monotonic()
        await self.until(lambda: time.monotonic() - began >= seconds, seconds + PATIENCE_S)

    async def log_off(self) -> None:
        """Stop all clients and wait until they have gone."""
        for client, _ in self._running:
            client.stop()
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*(task for _, task in self._running))


@asynccontextmanager
async def world(
    *,
    token_path: Path | None = None,
    keep_token: bool = False,
    prepare: Callable[[Simulator], None] = lambda _: None,
    **options: Any,
) -> AsyncIterator[World]:
    """A simulator with a tap before it and a broker that knows only the tap; clients are ended at the end.

    Args:
        token_path: where the token lies and is kept.
        keep_token: renew the token ahead of its end, as the bridge does.
        prepare: told the simulator before anybody connects.
        options: of the simulator.
    """
    settings = {"accounts": 10, "heartbeat_s": PACE.server_heartbeat_s, "deletes": 0.0, "seed": 7, **options}
    async with Simulator(Options(**settings)) as simulator, Tap(simulator.rest_url.removesuffix("/v1")) as tap:
        prepare(simulator)
        credentials = Credentials(environment="demo", name="acme_admin", password=PASSWORD, app_id="syncbridge")
        broker = Broker(
            Endpoint(tap.rest_url, tap.socket_url, proxy=None),
            credentials,
            limits=PACE.limits,
            budget=BudgetLimits(connect_burst=20),
            token_limits=TokenLimits(retry_first_s=0.05) if not PACE.real else None,
            token_path=token_path,
        )
        async with broker:
            made = World(simulator, tap, broker)
            keeping = asyncio.create_task(broker.keep_token()) if keep_token else None
            try:
                yield made
            finally:
                for task in (keeping, *(task for _, task in made._running)):
                    if task is not None:
                        task.cancel()
                        await asyncio.gather(task, return_exceptions=True)
