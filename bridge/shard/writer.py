"""The writer of one shard: takes what waits in the channel, makes a transaction of it, sees it committed.

One transaction is on its way at a time. If its outcome is unknown, the head in Kafka decides: it was committed, or the
very same records are written again by a new producer, or another instance has claimed the shard and this one is
replaced. Meanwhile the next one is put together, each frame as it arrives: what was parsed is large, and would
fall out of the processor's caches if it had to wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from bridge.errors import OutcomeUnknown
from bridge.kafka.statelog import Head
from bridge.shard.assembly import Assembler
from bridge.shard.channel import Channel
from bridge.shard.claim import Claim
from bridge.shard.notes import Frame
from bridge.shard.ports import Clock, Log
from bridge.shard.stats import ShardStats
from bridge.shard.transaction import Transaction
from bridge.shard.turns import Turns

MOST_BYTES = 6 * 1024 * 1024
"""Frames put into one transaction (some 15,000 events): more would only make it later, and need memory. With less,
frames often have to wait, and are cold when their turn comes: at 2 MiB that cost a fifth of the CPU in Python."""
MEMORY_SHARE = 8
"""And no more than one of so many parts of what may wait in memory: its records are larger than its frames."""
PLENTY_BYTES = 32 * 1024
"""Who has so much to write waits for no turn."""
WAITED_BYTES = 256 * 1024
"""So much that had to wait in the channel, as that counts it, is put together while the transaction before is on its
way."""
MUCH_BYTES, ENOUGH_BYTES, GATHER_S = 64 * 1024, 1024 * 1024, 0.015
"""Who has so much to write, but not that much, gathers more for half the time that the transaction before took, at most
for so long: a transaction costs a broker nearly the same however much is in it, and a busy one has it back sooner."""
LOOK_S = 5.0


class Writer:
    """Writes one shard's transactions until it is stopped.

    Args:
        assembler: makes the assembler for an epoch, which stands in every envelope.
        floor_s: shortest time between a commit and the next transaction (`kafka.commit_interval_ms`); beginning right
            after a commit only costs requests that are answered with "not yet": the broker is still writing the
            markers of the one before.
        turns: shared with the other shards of the process.
        memory_bytes: what may wait in memory (`pressure.memory_mb`).
    """

    def __init__(
        self,
        *,
        channel: Channel,
        assembler: Callable[[int], Assembler],
        claim: Claim,
        log: Log,
        clock: Clock,
        stats: ShardStats,
        floor_s: float,
        turns: Turns,
        memory_bytes: int,
        logger: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self._channel, self._assembler_for, self._claim, self._log = channel, assembler, claim, log
        self._clock, self._stats, self._floor_s, self._turns, self._logger = clock, stats, floor_s, turns, logger
        self._not_before = self._look_at = clock.monotonic()
        self._took_s = 0.0
        self._most_bytes = min(MOST_BYTES, memory_bytes // MEMORY_SHARE)
        self._idle = False
        self._broken: Exception | None = None
        self._looking: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Write until the orderly stop has been committed.

        Raises:
            Replaced: another instance has claimed the shard.
            KafkaUnusable: Kafka refuses us for good.
        """
        head = self._claim.head
        self._assembler = self._assembler_for(head.epoch)
        self._next = self._assembler.begin(head)
        try:
            while not head.clean:
                if not self._log.fencing:
                    self._look_for_successor()
                if self._next.empty and not await self._something():
                    continue
                await self._pace()
                await self._add()
                if self._next.empty:
                    self._only_duplicates_came()
                    continue
                async with self._turns.turn(wait=self._next.taken < PLENTY_BYTES):
                    head = await self._write()
        finally:
            self._channel.straight = None
            if self._looking is not None:
                self._looking.cancel()

    # For the channel, in the socket's callback: so errors go to `run`, which raises them before anything is written.

    @property
    def taken_bytes(self) -> int:
        """Of the frames in the next transaction."""
        return self._next.taken

    @property
    def full(self) -> bool:
        """Whether the next transaction has no room until the one before is committed."""
        return self._next.taken >= self._most_bytes

    def take(self, frame: Frame) -> bool:
        """Put a frame into the next transaction as it arrives; hot."""
        if self.full:
            return False
        transaction = self._next
        try:
            if not self._assembler.frames.take(frame, transaction, self._clock.epoch_us() // 1000):
                return False
        except Exception as error:  # noqa: BLE001 - as above
            self._broken = error
        transaction.taken += len(frame.raw)
        if self._idle:
            self._channel.wake()
        return True

    def take_unread(self, frames: list[bytes], start: int, number: int, arrived_us: int) -> int:
        """Put frames into the next transaction as they arrive; hot."""
        if self.full:
            return 0
        transaction, now_ms, at = self._next, self._clock.epoch_us() // 1000, start
        try:
            take = self._assembler.frames.take_unread
            while at < len(frames) and (
                taken := take(frames, at, number + at - start, arrived_us, transaction, now_ms)
            ):
                at += taken
        except Exception as error:  # noqa: BLE001 - as above
            self._broken, at = error, len(frames)
        if at > start:
            transaction.taken += sum(map(len, frames[start:at]))
            if self._idle:
                self._channel.wake()
        return at - start

    def _raise_what_broke(self) -> None:
        if self._broken is not None:
            raise self._broken

    async def _something(self) -> bool:
        """Wait for something to write, for a while."""
        self._only_duplicates_came()
        self._idle = True
        try:
            return await self._channel.wait(LOOK_S) or not self._next.empty or self._broken is not None
        finally:
            self._idle = False

    def _only_duplicates_came(self) -> None:
        """So far the next transaction is empty, however much was taken for it."""
        self._next.taken = self._next.oldest_us = 0

    async def _pace(self) -> None:
        delay = self._not_before + gathering_s(self._next.taken, self._took_s) - self._clock.monotonic()
        if delay > 0:
            await asyncio.sleep(delay)

    async def _add(self) -> None:
        """Put what waits into the next transaction, as far as it has room; a completed snapshot only if it is empty.

        Also what comes meanwhile, so that in the end nothing waits and frames go straight again; but what the spool has
        still to bring is not waited for.
        """
        self._raise_what_broke()
        transaction, channel = self._next, self._channel
        if channel.alone:
            if not transaction.empty:
                return
            transaction.ends = await self._claim.ends()
        channel.straight = None  # what comes meanwhile follows
        with channel.held_back():
            while True:
                items = channel.take(self._most_bytes - transaction.taken)
                transaction.taken += sum(len(item.raw) for item in items if type(item) is Frame)
                await self._assembler.add(items, transaction, self._clock.epoch_us() // 1000)
                if not items or channel.alone:
                    break
        channel.straight = self

    async def _write(self) -> Head:
        """Commit the next transaction, while the one after is put together; gives where the shard stands then."""
        transaction = self._next
        self._channel.straight = None
        await self._assembler.follow_up(transaction, self._clock.epoch_us() // 1000)
        self._raise_what_broke()
        self._assembler.close(transaction)
        self._next = following = self._assembler.begin(transaction.head)
        self._channel.straight = self
        began = self._clock.monotonic()
        committing = asyncio.create_task(self._commit(transaction))
        committing.add_done_callback(lambda _: self._channel.wake())
        try:
            while not committing.done() and following.taken < self._most_bytes:
                if await self._channel.wait(LOOK_S, WAITED_BYTES):
                    if self._channel.alone:
                        break  # it is certified when everything before it has been committed
                    await self._add()
            await committing
        finally:
            if not committing.done():
                committing.cancel()
                await asyncio.wait([committing])
        self._claim.accept(transaction.head)
        self._account(transaction, began)
        return transaction.head

    async def _commit(self, transaction: Transaction) -> None:
        while True:
            try:
                await self._log.commit(transaction.batches, self._clock.epoch_us() // 1000, transaction.archived)
            except OutcomeUnknown as error:
                self._stats.recoveries += 1
                self._logger.warning("transaction_unsettled", reason=str(error))
                if await self._claim.settle(transaction.head):
                    return
            else:
                return

    def _account(self, transaction: Transaction, began: float) -> None:
        stats, now = self._stats, self._clock.monotonic()
        stats.waiting_bytes = self._channel.waiting_bytes
        self._not_before, self._took_s = now + self._floor_s, now - began
        stats.commit.observe(now - began)
        if transaction.oldest_us:
            stats.behind_ms = (self._clock.epoch_us() - transaction.oldest_us) / 1000
            stats.latency.observe(stats.behind_ms / 1000)
        stats.transactions += 1
        stats.frames += transaction.frames
        stats.events += transaction.changes
        stats.seq = transaction.head.seq
        for topic, records in transaction.batches.items():
            stats.records += len(records)
            stats.topics[topic] += len(records)
        for topic, tombstones in transaction.archived.items():
            stats.records += len(tombstones)
            stats.topics[topic] += len(tombstones)
            stats.archived += len(tombstones)
        self._tell(transaction)
        if transaction.completed:
            stats.ready = True

    def _tell(self, transaction: Transaction) -> None:
        for event in transaction.judged:
            if event.event == "deletes_held":
                self._logger.warning("deletes_held", cause=event.cause, **event.counts)
            elif event.event == "audit_repaired":
                self._stats.audit_repairs.update(event.counts)
                self._logger.warning("silent_loss", cause=event.cause, **event.counts)
            else:
                self._logger.info("absence_judged", outcome=event.event, cause=event.cause, **event.counts)
        for answer in transaction.answers:
            answer()

    def _look_for_successor(self) -> None:
        """Without transactions nobody is fenced, so the claim is looked at every few seconds, beside the writing.

        Raises:
            Replaced: a look has found another instance.
        """
        if self._looking is not None and self._looking.done():
            looked, self._looking = self._looking, None
            looked.result()
        if self._looking is None and self._clock.monotonic() >= self._look_at:
            self._look_at = self._clock.monotonic() + LOOK_S
            self._looking = asyncio.create_task(self._claim.look())
            self._looking.add_done_callback(self._looked)

    def _looked(self, looking: asyncio.Task[None]) -> None:
        """Have what a look has found noticed by `run`, though there is nothing to write."""
        if not looking.cancelled() and looking.exception() is not None:
            self._channel.wake()


def gathering_s(taken_bytes: int, took_s: float) -> float:
    """How long to wait for more when so much is to be written, and the transaction before took so long."""
    return min(took_s / 2, GATHER_S) if MUCH_BYTES <= taken_bytes < ENOUGH_BYTES else 0.0
