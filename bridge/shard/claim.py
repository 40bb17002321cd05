"""Owning a shard: fence first, then read, then claim; and after a failure, learn what happened without fencing.

Order matters. `start()` (InitProducerId) fences the former owner, so what is read afterwards is final. The claim (the
head with epoch + 1 and our instance) is committed before the long restore, so that a fenced predecessor which looks
for its successor finds it within a moment and stops, instead of fencing it back (invariant 9).
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import structlog

from bridge.changes.state import PublishedState
from bridge.errors import KafkaUnusable, OutcomeUnknown, Replaced
from bridge.kafka.restore import OnEntity, Restored
from bridge.kafka.statelog import Head, KeyFraming, StateCodec
from bridge.shard.patience import Patience
from bridge.shard.ports import Clock, Log, Random
from bridge.shard.stats import ShardStats

LOOK_AGAIN_S = 5.0


class Claim:
    """The claim of this instance on one shard.

    Args:
        instance: names this process; different for every start.
        framing: how keys are framed now; must be what the shard's first record used.
    """

    def __init__(
        self,
        *,
        log: Log,
        codec: StateCodec,
        state: PublishedState,
        state_topic: str,
        shard: int,
        instance: str,
        framing: KeyFraming,
        clock: Clock,
        random: Random,
        patience: Patience,
        stats: ShardStats,
        logger: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self._log, self._codec, self._state, self._topic = log, codec, state, state_topic
        self._shard, self._instance, self._framing = shard, instance, framing
        self._clock, self._random, self._patience, self._stats, self._logger = clock, random, patience, stats, logger
        self.head = Head()
        self.previous: Restored | None = None

    async def take(self, on_entity: OnEntity) -> Restored:
        """Claim the shard and restore its state; the producer has been started, so the former owner is fenced.

        Returns:
            What the former owner left: its head, and when the broker took that.

        Raises:
            KafkaUnusable: the keys were framed differently before.
        """
        before = await self._patience.wait_for("read_head", self._log.read_head)
        old = before.head or Head()
        claimed = replace(
            old, epoch=old.epoch + 1, instance=self._instance, transaction=old.transaction + 1, clean=False
        )
        await self._commit_claim(claimed)
        restored = await self._patience.wait_for("restore", lambda: self._log.restore(on_entity))
        self._check_framing(restored.framing)
        await self._write_framing(restored.framing)
        self._stats.owned, self._stats.epoch, self._stats.seq = True, self.head.epoch, self.head.seq
        self._stats.restored = len(self._state)
        self.previous = before
        return before

    def accept(self, head: Head) -> None:
        """Kafka has committed up to this head: what was pending is now what we believe."""
        self._state.commit()
        self.head = head

    async def look(self) -> None:
        """See whether another instance has claimed the shard.

        Raises:
            Replaced: it has.
        """
        found = await self._patience.wait_for("read_head", self._log.read_head)
        self._refuse_successor(found)

    async def settle(self, wanted: Head) -> bool:
        """After a failure: whether the transaction that would have left `wanted` was committed.

        A transaction time-out looks exactly like being fenced, so the head is read without InitProducerId, twice with
        some seconds between, before a new producer is made.

        Raises:
            Replaced: another instance has claimed the shard.
        """
        await self.look()
        await asyncio.sleep(LOOK_AGAIN_S * (0.75 + self._random() / 2) if self._log.fencing else 0)
        await self.look()
        await self._patience.wait_for("start", self._log.start)
        found = await self._patience.wait_for("read_head", self._log.read_head)
        self._refuse_successor(found)
        committed = (
            found.head is not None
            and found.head.instance == self._instance
            and found.head.transaction >= wanted.transaction
        )
        self._logger.info("transaction_settled", committed=committed, transaction=wanted.transaction)
        return committed

    def _refuse_successor(self, found: Restored) -> None:
        if found.head is not None and found.head.instance != self._instance and found.head.epoch > self.head.epoch:
            raise Replaced(
                f"shard {self._shard} has been claimed by another instance ({found.head.instance}, epoch "
                f"{found.head.epoch}); this one stops and must not be restarted by itself"
            )

    async def _commit_claim(self, claimed: Head) -> None:
        """Commit the claim; after an unknown outcome only if neither it nor a newer one is there."""
        while True:
            try:
                await self._log.commit({self._topic: [self._codec.head(claimed)]}, self._now_ms())
            except OutcomeUnknown as error:
                self._logger.warning("claim_unsettled", reason=str(error))
                self.head = replace(claimed, epoch=claimed.epoch - 1)
                if await self.settle(claimed):
                    break
            else:
                break
        self.head = claimed

    async def _write_framing(self, known: KeyFraming | None) -> None:
        if known == self._framing:
            return
        head = replace(self.head, transaction=self.head.transaction + 1)
        records = [self._codec.framing(self._framing), self._codec.head(head)]
        while True:
            try:
                await self._log.commit({self._topic: list(records)}, self._now_ms())
            except OutcomeUnknown:
                if await self.settle(head):
                    break
            else:
                break
        self.head = head

    def _check_framing(self, known: KeyFraming | None) -> None:
        """Another id in the key bytes would split every key in two."""
        if known is None:
            return
        if known.framing != self._framing.framing:
            raise KafkaUnusable(
                f"the topics of shard {self._shard} were written with {known.framing} framing, this configuration "
                f"means {self._framing.framing}: set or unset registry.url as before, or choose another "
                "kafka.topic_prefix"
            )
        if known.expression != self._framing.expression:
            raise KafkaUnusable(
                f"the topics of shard {self._shard} were written with sharding.expression {known.expression}, this "
                f"configuration says {self._framing.expression}, which deals entities out to other partitions: set it "
                "as before, or choose another kafka.topic_prefix"
            )
        moved = [n for n, i in known.key_schemas.items() if self._framing.key_schemas.get(n, i) != i]
        if moved:
            raise KafkaUnusable(
                f"the registry gives the key schema of {moved[0]} another id than before "
                f"({self._framing.key_schemas[moved[0]]}, was {known.key_schemas[moved[0]]}): point registry.url at "
                "the registry that was used before, or choose another kafka.topic_prefix"
            )

    def _now_ms(self) -> int:
        return self._clock.epoch_us() // 1000
