"""A transactional producer that cannot commit a half.

Every answer is looked at before the commit; every wait has a limit; any failure ends the producer object and the
outcome is unknown until the head has been read; one task writes; and the object is renewed long before its sequence
numbers wrap at 2^31. `requests.py` has what goes over the wire, docs/gotchas.md the evidence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka import errors as foreign

from bridge.errors import KafkaUnusable, OutcomeUnknown
from bridge.kafka.client import Cluster, translated
from bridge.kafka.envelope import Records
from bridge.kafka.requests import Requests

RENEW_AFTER_RECORDS = 1 << 30
CLOSE_TIMEOUT_S = 2.0
START_TIMEOUT_S = 30.0

_FATAL = (
    foreign.TopicAuthorizationFailedError,
    foreign.ClusterAuthorizationFailedError,
    foreign.TransactionalIdAuthorizationFailed,
)

_TOO_LARGE = (foreign.MessageSizeTooLargeError, foreign.RecordListTooLargeError)

# aiokafka checks its states with asserts; TimeoutError: a wait of ours ended, so nothing is known.
_UNSETTLED = (foreign.KafkaError, AssertionError, TimeoutError, OSError)


class Producer:
    """Writes the transactions of one shard to its partition.

    Args:
        partition: the shard's number; all records of all topics go to this partition.
        transactional_id: None writes without transactions (at_least_once).
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
        compression: str | None,
        timeout_s: float,
    ) -> None:
        self._cluster, self._partition, self._timeout_s = cluster, partition, timeout_s
        self._transactional_id = transactional_id
        self._arguments: dict[str, Any] = {
            **cluster.arguments(),
            "enable_idempotence": True,
            "acks": "all",
            "request_timeout_ms": request_timeout_ms,
            "retry_backoff_ms": 20,
        }
        if transactional_id is not None:
            self._arguments |= {
                "transactional_id": transactional_id,
                "transaction_timeout_ms": transaction_timeout_ms,
            }
        self._compression, self._request_timeout_ms = compression, request_timeout_ms
        self._producer: AIOKafkaProducer | None = None
        self._requests: Requests | None = None

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
        self._producer = producer
        self._requests = Requests(
            producer,
            self._partition,
            transactional_id=self._transactional_id,
            compression=self._compression,
            timeout_ms=self._request_timeout_ms,
        )

    async def commit(self, batches: Sequence[tuple[str, Records]], timestamp_ms: int) -> None:
        """Write all records of all topics and commit: all of it is visible afterwards, or none.

        The last batch is written after the others are acknowledged when there is no transaction, so that state never
        runs ahead of what it describes.

        Raises:
            OutcomeUnknown: anything went wrong; the producer is closed, the head tells what happened.
            KafkaUnusable: not authorised, or a topic refuses as too large what the plan of topics has room for.
        """
        requests = self._requests
        if requests is None or requests.sent > RENEW_AFTER_RECORDS:
            raise OutcomeUnknown(f"the producer of shard {self._partition} is to be made anew")
        try:
            async with asyncio.timeout(self._timeout_s):
                if self._transactional_id is None:
                    await requests.produce(batches[:-1], timestamp_ms)
                    await requests.produce(batches[-1:], timestamp_ms)
                else:
                    await requests.add_partitions([topic for topic, _ in batches])
                    await requests.produce(batches, timestamp_ms)
                    await requests.end()
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

    async def close(self) -> None:
        """End the producer object, politely or not, within a bounded time."""
        producer, self._producer, self._requests = self._producer, None, None
        if producer is not None:
            await _close_hard(producer)


async def _close_hard(producer: AIOKafkaProducer) -> None:
    """stop() waits for ever when the cluster is away; what it leaves behind is ended by hand. Never raises.

    A request that was sent may still be carried out in that case; its epoch has been fenced by then, or the head shows
    it.
    """
    connections = _transports(producer)
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await producer.stop()
    except _UNSETTLED:
        # There is no public way to end a stuck producer: end its task, and drop the connections, whose orderly close
        # would wait until a frozen broker has read what was sent to it.
        sender = producer._sender  # noqa: SLF001
        if sender is not None and sender.sender_task is not None:
            sender.sender_task.cancel()
        for connection in connections | _transports(producer):
            connection.abort()
        await _close_client(producer)


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
