"""Owning a shard: fence first, then read, then claim; and after a failure, learn what happened without fencing.

Order matters. `start()` (InitProducerId) fences the former owner, so what is read afterwards is final. The claim (the
head with epoch + 1 and our instance) is committed before the long restore, so that a fenced predecessor which looks
for its successor finds it within a moment and stops, instead of fencing it back (invariant 9).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import structlog

from bridge.changes.state import PublishedState
from bridge.errors import KafkaUnusable, OutcomeUnknown, Replaced
from bridge.kafka.statelog import Head, KeyFraming, OnEntity, Restored, StateCodec
from bridge.shard.patience import Patience
from bridge.shard.ports import Clock, Log, Random
from bridge.shard.stats import ShardStats

LOOK_AGAIN_S = 5.0
REVEAL_S, REVEAL_POLL_S = 2.0, 0.1
"""So long a transaction of the former owner may take to be ended by the fence; shorter than a fenced owner waits."""


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

    def check(self, known: KeyFraming | None) -> None:
        """Refuse a shard whose keys were framed, or dealt out, in another way than ours would be.

        Before anybody is fenced: an instance that cannot own the shard must not disturb the one that does.

        Raises:
            KafkaUnusable: another id in the key bytes would split every key in two.
        """
        if known is None:
            return
        where = f"the topics of shard {self._shard}"
        if known.framing != self._framing.framing:
            raise KafkaUnusable(
                f"{where} were written with {known.framing} framing, this configuration means "
                f"{self._framing.framing}: set or unset registry.url as before, or choose another kafka.topic_prefix"
            )
        if known.expression != self._framing.expression:
            raise KafkaUnusable(
                f"{where} were written with sharding.expression {known.expression}, this configuration says "
                f"{self._framing.expression}, which deals entities out to other partitions: set it as before, or "
                "choose another kafka.topic_prefix"
            )
        moved = [n for n, i in known.key_schemas.items() if self._framing.key_schemas.get(n, i) != i]
        if moved:
            raise KafkaUnusable(
                f"the registry gives the key schema of {moved[0]} another id than before "
                f"({self._framing.key_schemas[moved[0]]}, was {known.key_schemas[moved[0]]}): point registry.url at "
                "the registry that was used before, or choose another kafka.topic_prefix"
            )

    async def take(self) -> Restored:
        """Claim the shard; the producer has been started, so the former owner is fenced.

        After an unknown outcome everything is read again: a former owner that found no claim may have gone on.

        Returns:
            What the former owner left: its head, and when the broker took that.

        Raises:
            Replaced: another instance has claimed it meanwhile.
        """
        while True:
            before = await self._patience.wait_for("read_head", self._log.read_head)
            self.head = before.head or Head()
            if before.pending:
                before = await self._revealed(before)
                self.head = before.head or Head()
            claimed = replace(
                self.head,
                epoch=self.head.epoch + 1,
                instance=self._instance,
                transaction=self.head.transaction + 1,
                clean=False,
            )
            if await self._committed(claimed, self._codec.head(claimed)):
                return before

    async def restore(self, on_entity: OnEntity) -> None:
        """Read the state of the claimed shard.

        Raises:
            KafkaUnusable: as `check`; or the state was written by a newer release.
        """
        restored = await self._patience.wait_for("restore", lambda: self._log.restore(on_entity))
        self.check(restored.framing)
        if restored.framing != self._framing:
            head = replace(self.head, transaction=self.head.transaction + 1)
            while not await self._committed(head, self._codec.framing(self._framing), self._codec.head(head)):
                pass
        self._stats.owned, self._stats.epoch, self._stats.seq = True, self.head.epoch, self.head.seq
        self._stats.restored = len(self._state)

    def accept(self, head: Head) -> None:
        """Kafka has committed up to this head."""
        self.head = head

    async def ends(self) -> Mapping[str, int]:
        """Offsets at which the shard's partitions of the topics end, by topic; nothing may be on its way."""
        return await self._patience.wait_for("read_ends", self._log.ends)

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
            KafkaUnusable: the topics are no longer as they must be, so trying again would not help.
        """
        await self._check_topics()
        await self.look()
        if self._log.fencing:
            await self._pause()
            await self.look()
        await self._patience.wait_for("start", self._log.start)
        found = await self._patience.wait_for("read_head", self._log.read_head)
        if found.pending:
            found = await self._revealed(found)
        self._refuse_successor(found)
        committed = (
            found.head is not None
            and found.head.instance == self._instance
            and found.head.transaction >= wanted.transaction
        )
        self._logger.info("transaction_settled", committed=committed, transaction=wanted.transaction)
        return committed

    async def _revealed(self, found: Restored) -> Restored:
        """The head when nothing before us is on its way any more; the fence stands.

        A broker that was killed may know of a commit that it acknowledged and yet show it only with the next one of the
        same producer (docs/gotchas.md). To go on without it would number changes twice; so one is made that says
        nothing new.
        """
        deadline = self._clock.monotonic() + REVEAL_S
        while found.pending and self._clock.monotonic() < deadline:
            await asyncio.sleep(REVEAL_POLL_S)
            found = await self._patience.wait_for("read_head", self._log.read_head)
        if found.pending:
            self._logger.warning("commit_hidden", transaction=found.head.transaction if found.head else 0)
            try:
                await self._log.commit({self._topic: [self._codec.framing(self._framing)]}, self._now_ms())
            except OutcomeUnknown as error:
                self._logger.warning("claim_unsettled", reason=str(error))  # what is committed next will meet it again
            else:
                found = await self._patience.wait_for("read_head", self._log.read_head)
        return found

    async def _check_topics(self) -> None:
        """See that the topics can still take the transaction.

        Twice before it is believed: a broker that has just started may not know all of them yet.
        """
        try:
            await self._patience.wait_for("check_topics", self._log.check)
        except KafkaUnusable as error:
            self._logger.warning("topics_unusable", reason=str(error))
            await self._pause()
            await self._patience.wait_for("check_topics", self._log.check)

    async def _pause(self) -> None:
        await asyncio.sleep(LOOK_AGAIN_S * (0.75 + self._random() / 2))

    def _refuse_successor(self, found: Restored) -> None:
        if found.head is not None and found.head.instance != self._instance and found.head.epoch > self.head.epoch:
            raise Replaced(
                f"shard {self._shard} has been claimed by another instance ({found.head.instance}, epoch "
                f"{found.head.epoch}); this one stops and must not be restarted by itself"
            )

    async def _committed(self, head: Head, *records: tuple[bytes, bytes]) -> bool:
        """Commit records of the state topic that leave this head; whether they are there now."""
        try:
            await self._log.commit({self._topic: list(records)}, self._now_ms())
        except OutcomeUnknown as error:
            self._logger.warning("claim_unsettled", reason=str(error))
            if not await self.settle(head):
                return False
        self.head = head
        return True

    def _now_ms(self) -> int:
        return self._clock.epoch_us() // 1000
