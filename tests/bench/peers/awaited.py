"""Waits for the acknowledgement of each record before it looks at the next."""

from __future__ import annotations

from aiokafka import AIOKafkaProducer

from tests.bench.peers.shared import main


async def send(producer: AIOKafkaProducer, topic: str, partition: int, key: bytes, value: bytes | None) -> None:
    await producer.send_and_wait(topic, value, key, partition=partition)


if __name__ == "__main__":
    main(send)
