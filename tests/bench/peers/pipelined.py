"""Sends on without waiting: the producer batches, and a record that fails ends the program."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from aiokafka import AIOKafkaProducer

from tests.bench.peers.shared import main


async def send(producer: AIOKafkaProducer, topic: str, partition: int, key: bytes, value: bytes | None) -> None:
    (await producer.send(topic, value, key, partition=partition)).add_done_callback(_look)


def _look(acknowledged: asyncio.Future[Any]) -> None:
    if not acknowledged.cancelled() and (problem := acknowledged.exception()):
        print(f"lost a record: {problem}", file=sys.stderr)
        os._exit(1)


if __name__ == "__main__":
    main(send, linger_ms=5, max_batch_size=128 * 1024)
