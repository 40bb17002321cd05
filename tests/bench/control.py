"""The control for latencies: bare aiokafka producers that write the bridge's own records at the same pace.

No socket, no parsing, no state: what remains is what the client library and the broker take. It reads the newest
records that the bridge has written, and writes them again with the present time in them, each shard by its own
producer, a transaction for all that is due since the last. `python -m tests.bench.control RATE SECONDS` is the process
that is measured; `Control` starts it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections import defaultdict
from itertools import cycle
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.producer import sender

from bridge.config import Settings, load
from bridge.devkit.process import ChildProcess
from bridge.devkit.stage import Stage
from tests.bench.probe import with_time
from tests.bench.rig import TYPES

KEPT = 500
"""Records of each topic and shard that are written again and again."""
START_S = 60.0
sender.BACKOFF_OVERRIDE = 0.003  # as the bridge does; with aiokafka's own 20 ms it would be no match
Event = tuple[str, bytes, bytes, bytes, bytes]
"""Topic, key and value of an envelope; key and value of a state record."""


class Control:
    """The process, on the bridge's processors, ready to write; an async context manager."""

    def __init__(self, stage: Stage, rate: float, seconds: float) -> None:
        command = [sys.executable, "-m", __name__, str(rate), str(seconds)]
        if stage.plan.cpus is not None:
            command = ["/usr/bin/taskset", "-c", stage.plan.cpus, *command]
        self._log = stage.folder / "control.log"
        self.child = ChildProcess(command, self._log, stage.environment())

    async def __aenter__(self) -> Self:
        """Wait until it has read what it is to write."""
        await self._told("ready")
        return self

    async def __aexit__(self, *_: object) -> None:
        """End it."""
        await self.child.kill()

    async def go(self) -> int:
        """Let it write; returns how many events it wrote."""
        os.kill(self.child.pid, signal.SIGUSR1)
        return int((await self._told("written")).split()[1])

    async def _told(self, word: str) -> str:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self.child.returncode is None:
            for line in self._log.read_text().splitlines():
                if line.startswith(word):
                    return line
            await asyncio.sleep(0.05)
        raise RuntimeError(f"the control was never {word}: {self._log.read_text()[-2000:]}")


async def main(rate: float, seconds: float) -> None:
    """Read, say `ready`, wait for SIGUSR1, write, say `written N`, wait for the end."""
    settings, loop, begin = load(), asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, begin.set)
    shards = settings.sharding.remainders
    events = [await _read(settings, shard) for shard in shards]
    producers = [await _producer(settings, shard) for shard in shards]
    print("ready", flush=True)
    await begin.wait()
    pace = rate / len(shards)
    writing = [
        _write(settings, *each, pace, int(pace * seconds)) for each in zip(producers, shards, events, strict=True)
    ]
    print("written", sum(await asyncio.gather(*writing)), flush=True)
    await asyncio.Event().wait()


async def _producer(settings: Settings, shard: int) -> AIOKafkaProducer:
    name = f"{settings.prefix}.control.{shard}" if settings.kafka.delivery == "exactly_once" else None
    servers = settings.kafka.bootstrap_servers
    producer = AIOKafkaProducer(bootstrap_servers=servers, acks="all", enable_idempotence=True, transactional_id=name)
    await producer.start()
    return producer


async def _read(settings: Settings, shard: int) -> list[Event]:
    """The newest envelopes of a shard, each with a state record."""
    topics = [f"{settings.prefix}.{name}" for name in (*TYPES, "bridge.state")]
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka.bootstrap_servers, isolation_level="read_committed")
    await consumer.start()
    try:
        records = {topic: await _newest(consumer, TopicPartition(topic, shard)) for topic in topics}
    finally:
        await consumer.stop()
    states = cycle(records.pop(topics[-1]))
    return [
        (topic, *one, *next(states))
        for row in zip(*records.values(), strict=False)
        for topic, one in zip(records, row, strict=True)
    ]


async def _newest(consumer: AIOKafkaConsumer, partition: TopicPartition) -> list[tuple[bytes, bytes]]:
    end = (await consumer.end_offsets([partition]))[partition]
    consumer.assign([partition])
    consumer.seek(partition, max(0, end - 4 * KEPT))
    found: list[tuple[bytes, bytes]] = []
    while await consumer.position(partition) < end:
        for messages in (await consumer.getmany(timeout_ms=200)).values():
            found += [(m.key, m.value) for m in messages if m.key and m.value]
    return found[-KEPT:]


async def _write(
    settings: Settings, producer: AIOKafkaProducer, shard: int, events: list[Event], pace: float, count: int
) -> int:
    """All events of a shard, each when it is due."""
    began, floor_s, done = time.time(), settings.kafka.commit_interval_ms / 1000, 0
    exactly_once = settings.kafka.delivery == "exactly_once"
    while done < count:
        due = min(count, int((time.time() - began) * pace))
        if due == done:
            await asyncio.sleep(1 / pace)
            continue
        records = _records(settings, events, range(done, due), lambda n: int((began + n / pace) * 1000))
        if exactly_once:
            await producer.begin_transaction()
        await _send(producer, shard, records)
        if exactly_once:
            await producer.commit_transaction()
        done = due
        await asyncio.sleep(floor_s)
    return done


def _records(
    settings: Settings, events: list[Event], numbers: range, at_ms: Any
) -> dict[str, list[tuple[bytes, bytes]]]:
    records: dict[str, list[tuple[bytes, bytes]]] = defaultdict(list)
    for number in numbers:
        topic, key, value, state_key, state = events[number % len(events)]
        records[topic].append((key, with_time(value, at_ms(number))))
        records[f"{settings.prefix}.bridge.state"].append((state_key, state))
    return records


async def _send(producer: AIOKafkaProducer, shard: int, records: dict[str, list[tuple[bytes, bytes]]]) -> None:
    futures = []
    for topic, rows in records.items():
        batch = producer.create_batch()
        for key, value in rows:
            if batch.append(key=key, value=value, timestamp=None) is None:
                futures.append(await producer.send_batch(batch, topic, partition=shard))
                batch = producer.create_batch()
                batch.append(key=key, value=value, timestamp=None)
        futures.append(await producer.send_batch(batch, topic, partition=shard))
    for future in futures:
        await future


if __name__ == "__main__":
    try:
        import uvloop

        uvloop.run(main(float(sys.argv[1]), float(sys.argv[2])))
    except ImportError:
        asyncio.run(main(float(sys.argv[1]), float(sys.argv[2])))
