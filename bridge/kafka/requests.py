"""The requests of which a transaction consists, sent one after the other, each answer looked at.

aiokafka's producer connects, finds coordinator and leaders, and becomes the owner of a transactional id; from there on
its own sender is left aside, which moves each request through several tasks. Here a transaction is three round trips:
partitions added, batches written, the end. What only came too early, or did not arrive, is sent again; any other answer
ends it: its outcome is unknown until the head has been read, and the very same records are written by a new producer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka import errors as foreign
from aiokafka.client import ConnectionGroup, CoordinationType
from aiokafka.protocol.transaction import AddPartitionsToTxnRequest, EndTxnRequest

from bridge.kafka.envelope import Records
from bridge.kafka.packing import Packing
from bridge.kafka.produce import Produce

MOST_UNDERWAY = 4
"""Produce requests sent ahead of their answers; a broker keeps five batches of a producer in mind."""
CONCURRENT_S = 0.003
"""Wait before asking again while the broker still writes the markers of the transaction before."""
AGAIN_S, UNKNOWN_S = 0.02, 5.0
"""After such a pause a request is sent again that came too early; and for so long one for a topic that nobody knows."""
_UNKNOWN = {foreign.UnknownTopicOrPartitionError}
_MOVED = {foreign.NotCoordinatorError, foreign.CoordinatorNotAvailableError}
_NOT_YET = _MOVED | {foreign.ConcurrentTransactions, foreign.CoordinatorLoadInProgressError}
_ALL = -1

Batches = Iterable[tuple[str, Records]]
"""Records by topic, in order."""
Errors = set[type[foreign.KafkaError]]
Wave = Sequence[tuple[str, bytes | bytearray]]
"""One batch for each of some topics."""


class Requests:
    """Writes to one partition of every topic, as the owner of a producer id.

    Args:
        producer: started, so that it has a producer id; nobody else sends by it.
        partition: all records of all topics go to it.
        transactional_id: None writes without transactions.
        compression: name of a codec.
        timeout_ms: so long the broker may wait for its replicas.
    """

    def __init__(
        self,
        producer: AIOKafkaProducer,
        partition: int,
        *,
        transactional_id: str | None,
        compression: str | None,
        timeout_ms: int,
    ) -> None:
        self._client, self._partition = producer.client, partition
        self._transactional_id, self._timeout_ms = transactional_id, timeout_ms
        owner = producer._txn_manager  # noqa: SLF001
        self._id, self._epoch = owner.producer_id, owner.producer_epoch
        self._finder = producer._sender  # noqa: SLF001
        self._packing = Packing(
            self._id, self._epoch, transactional=transactional_id is not None, compression=compression
        )
        self._sequences: dict[str, int] = {}
        self._now = asyncio.get_running_loop().time
        self.sent = 0

    async def add_partitions(self, topics: Iterable[str]) -> None:
        """Begin a transaction with these topics; waits while the broker still ends the one before.

        Raises:
            KafkaError: one of them cannot be part of it.
        """
        added = [(topic, [self._partition]) for topic in topics]
        await self._coordinate(AddPartitionsToTxnRequest(self._transactional_id, self._id, self._epoch, added))

    async def end(self) -> None:
        """Commit the transaction.

        Raises:
            KafkaError: it may or may not have been committed.
        """
        await self._coordinate(EndTxnRequest(self._transactional_id, self._id, self._epoch, True))

    async def produce(self, batches: Batches, timestamp_ms: int) -> None:
        """Write all records of all topics, and wait until all replicas have them.

        Raises:
            KafkaError: some of them may not have been written.
        """
        waiting = [(topic, self._packed(topic, records, timestamp_ms)) for topic, records in batches]
        await self._write_patiently(_next(waiting))
        underway: deque[asyncio.Task[None]] = deque()
        try:
            while waiting or underway:
                if wave := _next(waiting):
                    underway.append(asyncio.create_task(self._write_once(wave)))
                    underway[-1].add_done_callback(_seen)
                while len(underway) >= MOST_UNDERWAY or (underway and not waiting):
                    await underway.popleft()
        finally:
            for task in underway:
                task.cancel()

    async def _write_patiently(self, wave: Wave) -> None:
        """Write again what has not arrived, or arrived too early; what a broker has written it knows again."""
        until = self._now() + UNKNOWN_S
        while True:
            try:
                errors = await self._write(wave)
            except foreign.KafkaError as error:
                errors = {type(error)}
            if not any(error.retriable for error in errors) or (errors & _UNKNOWN and self._now() > until):
                break
            await asyncio.sleep(AGAIN_S)
            await self._client.force_metadata_update()
        _raise_first(errors)

    async def _write_once(self, wave: Wave) -> None:
        """What follows has been sent already, so it cannot be written again in order."""
        _raise_first(await self._write(wave))

    async def _write(self, wave: Wave) -> Errors:
        """One request for each leader; what the answers say."""
        nodes: dict[int, list[tuple[str, list[tuple[int, bytes | bytearray]]]]] = {}
        for topic, batch in wave:
            nodes.setdefault(await self._leader(topic), []).append((topic, [(self._partition, batch)]))
        asked = [
            self._client.send(node, Produce(self._transactional_id, _ALL, self._timeout_ms, topics))
            for node, topics in nodes.items()
        ]
        answers = [await asked[0]] if len(asked) == 1 else await asyncio.gather(*asked)
        codes = [partition[1] for answer in answers for _, partitions in answer.topics for partition in partitions]
        return {foreign.for_code(code) for code in codes} - {foreign.DuplicateSequenceNumber}

    async def _leader(self, topic: str) -> int:
        place, cluster = TopicPartition(topic, self._partition), self._client.cluster
        node: int | None = cluster.leader_for_partition(place)
        if node is None:
            self._client.add_topic(topic)
            if not await self._client.force_metadata_update():
                raise foreign.KafkaConnectionError("no broker says which topics there are")
            node = cluster.leader_for_partition(place)
        if topic in cluster.unauthorized_topics:
            raise foreign.TopicAuthorizationFailedError(topic)
        if node is None:
            raise foreign.UnknownTopicOrPartitionError(topic)
        if node < 0:
            raise foreign.LeaderNotAvailableError(f"{topic} partition {self._partition} has no leader")
        return node

    async def _coordinate(self, request: AddPartitionsToTxnRequest | EndTxnRequest) -> None:
        """Ask the transaction's coordinator until it has done it, and find another if it is that no more."""
        kind, finder, until = CoordinationType.TRANSACTION, self._finder, self._now() + UNKNOWN_S
        while True:
            node = await finder._find_coordinator(kind, self._transactional_id)  # noqa: SLF001
            try:
                errors = _errors(await self._client.send(node, request, group=ConnectionGroup.COORDINATION))
            except foreign.KafkaError as error:
                # Whoever is asked again knows what has been done.
                errors = {foreign.CoordinatorNotAvailableError if error.retriable else type(error)}
            if not errors & _NOT_YET and (not errors & _UNKNOWN or self._now() > until):
                break
            if errors & _MOVED:
                finder._coordinator_dead(kind)  # noqa: SLF001
            await asyncio.sleep(CONCURRENT_S if foreign.ConcurrentTransactions in errors else AGAIN_S)
        _raise_first(errors)

    def _packed(self, topic: str, records: Records, timestamp_ms: int) -> Iterator[bytes | bytearray]:
        """Batches of the records, numbered on from those before."""
        for count, batch in self._packing.batches(records, self._sequences.get(topic, 0), timestamp_ms):
            self._sequences[topic] = self._sequences.get(topic, 0) + count
            self.sent += count
            yield batch


def _next(waiting: list[tuple[str, Iterator[bytes | bytearray]]]) -> Wave:
    """The next batch of every topic; leaves in the list what may have more."""
    wave = []
    for topic, batches in [*waiting]:
        if (batch := next(batches, None)) is None:
            waiting.remove((topic, batches))
        else:
            wave.append((topic, batch))
    return wave


def _seen(written: asyncio.Task[None]) -> None:
    """When one request fails the others are not waited for; their errors are the same failure and were told once."""
    if not written.cancelled():
        written.exception()


def _errors(answer: Any) -> Errors:
    """What a coordinator's answer says, of all partitions if they are told apart."""
    codes = (
        [code for _, each in answer.errors for _, code in each] if hasattr(answer, "errors") else [answer.error_code]
    )
    return {foreign.for_code(code) for code in codes}


def _raise_first(errors: Errors) -> None:
    """Raise what tells most: that we may not, before that something else was not attempted."""
    wrong = [error for error in errors if error is not foreign.NoError]
    if wrong:
        wrong.sort(key=lambda error: error is foreign.OperationNotAttempted)
        raise wrong[0]
