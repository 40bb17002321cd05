"""A transactional producer that cannot commit a half: aiokafka's, used by five rules.

aiokafka commits a transaction in which a batch has failed, waits for ever in several places, and is of no use after
an error. So here: every future is awaited before the commit; every wait has a limit; any failure ends the producer
object and the outcome is unknown until the head has been read; one task sends, whole closed batches, all topics
without an await between them; and the object is renewed long before its sequence numbers wrap at 2^31.
docs/gotchas.md has the evidence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka import errors as foreign
from aiokafka.producer import sender

from bridge.errors import KafkaUnusable, OutcomeUnknown
from bridge.kafka.client import Cluster, translated
from bridge.kafka.envelope import Archived, Record

BATCH_BYTES = 256 * 1024
CONCURRENT_S = 0.003
"""Wait before asking again while the broker still writes the markers of the transaction before. aiokafka's own 20 ms
are longer than a whole commit; there is no argument for it."""
sender.BACKOFF_OVERRIDE = CONCURRENT_S
RENEW_AFTER_RECORDS = 1 << 30
CLOSE_TIMEOUT_S = 2.0
START_TIMEOUT_S = 30.0

_FATAL = (
    foreign.TopicAuthorizationFailedError,
    foreign.ClusterAuthorizationFailedError,
    foreign.TransactionalIdAuthorizationFailed,
)

_TOO_LARGE = (foreign.MessageSizeTooLargeError, foreign.RecordListTooLargeError)

_NO_HEADERS: Sequence[tuple[str, bytes]] = []

# aiokafka checks its states with asserts, and says IllegalOperation when a fence ended the transaction between two
# calls; TimeoutError: a wait of ours ended, so nothing is known.
_UNSETTLED = (foreign.KafkaError, foreign.IllegalOperation, AssertionError, TimeoutError, OSError)


class Producer:
    """Writes the transactions of one shard to its partition.

    Args:
        partition: the shard's number; all records of all topics go to this partition.
        transactional_id: None writes without transactions (at_least_once).
        max_record_bytes: the largest record, for aiokafka's own limit.
        timeout_s: limit of each wait; after it the outcome of a transaction is unknown.
    """

    def __init__(
        self,
        cluster: Cluster,
        partition: int,
        *,
        transactional_id: str | None,
        transaction_timeout_ms: int,
        request_timeout_ms: int,
        max_record_bytes: int,
        compression: str | None,
        timeout_s: float,
    ) -> None:
        self._cluster, self._partition, self._timeout_s = cluster, partition, timeout_s
        self._transactional_id = transactional_id
        self._arguments: dict[str, Any] = {
            **cluster.arguments(),
            "enable_idempotence": True,
            "acks": "all",
            "max_batch_size": BATCH_BYTES,
            "max_request_size": 4 * max_record_bytes,
            "compression_type": compression,
            "request_timeout_ms": request_timeout_ms,
            "retry_backoff_ms": 20,
        }
        if transactional_id is not None:
            self._arguments |= {
                "transactional_id": transactional_id,
                "transaction_timeout_ms": transaction_timeout_ms,
            }
        self._producer: AIOKafkaProducer | None = None
        self._sent = 0

    @property
    def started(self) -> bool:
        """Whether there is a live producer object."""
        return self._producer is not None

    async def start(self) -> None:
        """Connect; with a transactional id this is InitProducerId, which fences whoever had it before.

        Raises:
            KafkaUnavailable: no answer within the limit.
            KafkaUnusable: not authorised.
        """
        await self.close()
        with translated(f"starting the producer of shard {self._partition}", self._cluster):
            producer = AIOKafkaProducer(**self._arguments)
            try:
                async with asyncio.timeout(min(self._timeout_s, START_TIMEOUT_S)):
                    await producer.start()
            except BaseException:
                await _close_hard(producer)
                raise
        self._producer, self._sent = producer, 0

    async def commit(self, batches: Sequence[tuple[str, Sequence[Record]]], timestamp_ms: int) -> None:
        """Write all records of all topics and commit: all of it is visible afterwards, or none.

        The last batch is written after the others are acknowledged when there is no transaction, so that state never
        runs ahead of what it describes.

        Raises:
            OutcomeUnknown: anything went wrong; the producer is closed, the head tells what happened.
            KafkaUnusable: not authorised, or a topic refuses as too large what the plan of topics has room for.
        """
        producer = self._producer
        if producer is None or self._sent > RENEW_AFTER_RECORDS:
            raise OutcomeUnknown(f"the producer of shard {self._partition} is to be made anew")
        try:
            async with asyncio.timeout(self._timeout_s):
                if self._transactional_id is None:
                    await self._write(producer, batches[:-1], timestamp_ms)
                    await self._write(producer, batches[-1:], timestamp_ms)
                else:
                    await producer.begin_transaction()
                    await self._write(producer, batches, timestamp_ms)
                    await producer.commit_transaction()
        except _FATAL as error:
            await self.close()
            raise KafkaUnusable(
                f"writing to the topics of shard {self._partition}: not authorised ({type(error).__name__}: {error}); "
                "grant this user the ACLs of docs/operations.md"
            ) from error
        except _TOO_LARGE as error:
            await self.close()
            raise KafkaUnusable(
                f"Kafka refuses records of shard {self._partition} as too large ({type(error).__name__}): a topic's "
                "max.message.bytes is smaller than the bridge needs; run `syncbridge topics apply` (`topics plan` "
                "shows which), or set kafka.max_record_bytes to fit"
            ) from error
        except _UNSETTLED as error:
            await self.close()
            raise OutcomeUnknown(
                f"a transaction of shard {self._partition} failed: {type(error).__name__}: {error or error.__cause__}"
            ) from error
        except asyncio.CancelledError:
            await self.close()
            raise

    async def _write(
        self, producer: AIOKafkaProducer, batches: Iterable[tuple[str, Sequence[Record]]], timestamp_ms: int
    ) -> None:
        """Hand over closed batches of every topic, then wait for each acknowledgement (a failed one raises)."""
        futures = []
        for topic, records in batches:
            for batch in _packed(producer, records, timestamp_ms):
                future = await producer.send_batch(batch, topic, partition=self._partition)
                future.add_done_callback(_seen)
                futures.append(future)
            self._sent += len(records)
        for future in futures:
            await future

    async def close(self) -> None:
        """End the producer object, politely or not, within a bounded time."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await _close_hard(producer)


def _seen(future: asyncio.Future[Any]) -> None:
    """When one batch fails the others are not waited for; their errors are the same failure and were told once."""
    if not future.cancelled():
        future.exception()


def _packed(producer: AIOKafkaProducer, records: Sequence[Record], timestamp_ms: int) -> Iterator[Any]:
    """Closed batches holding the records in order; a record larger than a batch gets one of its own.

    Made one by one, so that a large snapshot does not hold the event loop while all of it is packed.
    """
    headers = Archived.HEADERS if isinstance(records, Archived) else _NO_HEADERS
    packed = 0
    while packed < len(records):
        batch = producer.create_batch()
        packed += _fill(batch, islice(records, packed, None), timestamp_ms, headers)
        batch.close()
        yield batch


def _fill(batch: Any, records: Iterable[Record], timestamp_ms: int, headers: Sequence[tuple[str, bytes]]) -> int:
    """Append records while there is room (the first always fits), and say how many.

    Goes past `BatchBuilder.append`, which costs three Python calls a record and does nothing else for us.
    """
    append, count = batch._builder.append, 0  # noqa: SLF001
    for key, value in records:
        if append(count, timestamp_ms, key, value, headers) is None:
            break
        count += 1
    batch._relative_offset = count  # noqa: SLF001  what `record_count()` gives; the sequence numbers hang on it
    return count


async def _close_hard(producer: AIOKafkaProducer) -> None:
    """stop() waits for ever when the cluster is away; what it leaves behind is ended by hand. Never raises.

    A record that was handed over may still be delivered by the old object in that case; its epoch has been fenced by
    then, or the head shows it.
    """
    connections = _transports(producer)
    for future in _promises(producer):
        future.add_done_callback(_seen)
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await producer.stop()
    except _UNSETTLED:
        # There is no public way to end a stuck producer: end its task, fail what still waits for it, and drop the
        # connections, whose orderly close would wait until a frozen broker has read what was sent to it.
        sender, accumulator = producer._sender, producer._message_accumulator  # noqa: SLF001
        if sender is not None and sender.sender_task is not None:
            sender.sender_task.cancel()
        accumulator.fail_all(foreign.ProducerClosed())
        for connection in connections | _transports(producer):
            connection.abort()
        await _close_client(producer)


def _promises(producer: AIOKafkaProducer) -> list[asyncio.Future[Any]]:
    """What a producer still means to fulfil; nobody waits for it any more, and asyncio would tell of every failure."""
    accumulator, transactions = producer._message_accumulator, producer._txn_manager  # noqa: SLF001
    batches = [batch for waiting in accumulator._batches.values() for batch in waiting]  # noqa: SLF001
    batches += accumulator._pending_batches  # noqa: SLF001
    promises = [future for batch in batches for future in (batch.future, batch._drain_waiter)]  # noqa: SLF001
    end = None if transactions is None else transactions.wait_for_transaction_end()
    return promises if end is None else [*promises, end]


def _transports(producer: AIOKafkaProducer) -> set[asyncio.WriteTransport]:
    writers = [connection._writer for connection in producer.client._conns.values()]  # noqa: SLF001
    return {writer.transport for writer in writers if writer is not None}


async def _close_client(producer: AIOKafkaProducer) -> None:
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await producer.client.close()
    except _UNSETTLED as error:
        # The caller is about to make a new producer; that must not fail because of an old connection.
        structlog.get_logger().warning("kafka_connection_left_open", reason=f"{type(error).__name__}: {error}")
