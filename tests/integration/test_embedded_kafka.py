from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaError

from bridge.devkit.kafka import EmbeddedKafka
from bridge.devkit.ports import free_ports
from bridge.errors import KafkaUnavailable
from tests.integration.reading import by_partition, read_topics
from tests.integration.writing import create, send

DEADLINE_S = 60.0

PARENT = """
import asyncio, pathlib, sys
from bridge.devkit.kafka import EmbeddedKafka

async def main():
    async with EmbeddedKafka(data_dir=pathlib.Path(sys.argv[1])) as kafka:
        print(kafka.pids[1], flush=True)
        await asyncio.sleep(3600)

asyncio.run(main())
"""


async def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.02)


async def test_reader_of_committed_data_sees_committed_transactions_only(
    kafka: EmbeddedKafka, unique_prefix: str
) -> None:
    topic = f"{unique_prefix}.t"
    await create(kafka.bootstrap_servers, topic)
    async with AIOKafkaProducer(
        bootstrap_servers=kafka.bootstrap_servers, transactional_id=f"{unique_prefix}.x"
    ) as producer:
        for value, commit in ((b"1", True), (b"2", False), (b"3", True)):
            await producer.begin_transaction()
            await producer.send_and_wait(topic, value, partition=0)
            await producer.send_and_wait(topic, value, partition=1)
            await (producer.commit_transaction() if commit else producer.abort_transaction())
    committed = await read_topics(kafka.bootstrap_servers, topic)
    everything = await read_topics(kafka.bootstrap_servers, topic, isolation="read_uncommitted")
    assert by_partition(committed) == {0: [b"1", b"3"], 1: [b"1", b"3"]}
    assert by_partition(everything) == {0: [b"1", b"2", b"3"], 1: [b"1", b"2", b"3"]}


async def test_topics_do_not_appear_by_themselves(kafka: EmbeddedKafka, unique_prefix: str) -> None:
    topic = f"{unique_prefix}.nobody-made-this"
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers, request_timeout_ms=1000) as producer:
        with pytest.raises(KafkaError):
            await producer.send_and_wait(topic, b"1")
    with pytest.raises(LookupError, match="nobody-made-this"):
        await read_topics(kafka.bootstrap_servers, topic)


async def test_broker_that_was_killed_comes_back_on_the_same_port_with_its_data(unique_prefix: str) -> None:
    async with EmbeddedKafka() as kafka:
        address = kafka.bootstrap_servers
        await create(address, unique_prefix)
        await send(address, unique_prefix, b"before")
        await kafka.kill()
        with pytest.raises(KafkaConnectionError):
            await send(address, unique_prefix, b"lost")
        await kafka.restart()
        assert kafka.bootstrap_servers == address
        await send(address, unique_prefix, b"after")
        assert [each.value for each in await read_topics(address, unique_prefix)] == [b"before", b"after"]


async def test_paused_broker_answers_nothing_and_goes_on_when_resumed(unique_prefix: str) -> None:
    async with EmbeddedKafka() as kafka:
        await create(kafka.bootstrap_servers, unique_prefix)
        async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as producer:
            await producer.send_and_wait(unique_prefix, b"1", partition=0)
            kafka.pause()
            await until(lambda: psutil.Process(kafka.pids[1]).status() == psutil.STATUS_STOPPED, "it did not stop")
            held = asyncio.ensure_future(producer.send_and_wait(unique_prefix, b"2", partition=0))
            done, _ = await asyncio.wait([held], timeout=1.0)
            assert not done
            kafka.resume()
            await held
        values = [each.value for each in await read_topics(kafka.bootstrap_servers, unique_prefix)]
        assert values == [b"1", b"2"]


async def test_data_in_a_folder_of_ones_own_outlives_the_broker(tmp_path: Path, unique_prefix: str) -> None:
    async with EmbeddedKafka(data_dir=tmp_path) as kafka:
        await create(kafka.bootstrap_servers, unique_prefix)
        await send(kafka.bootstrap_servers, unique_prefix, b"kept")
    async with EmbeddedKafka(data_dir=tmp_path) as kafka:
        assert [each.value for each in await read_topics(kafka.bootstrap_servers, unique_prefix)] == [b"kept"]


async def test_temporary_folder_is_removed() -> None:
    async with EmbeddedKafka() as kafka:
        folder, pid = kafka.data_dir, kafka.pids[1]
        assert (folder / "node-1" / "data").is_dir()
    assert not folder.exists()
    assert not psutil.pid_exists(pid)


async def test_failed_start_shows_the_end_of_the_log_and_leaves_nothing_running() -> None:
    kafka = EmbeddedKafka(settings={"log.segment.bytes": "no number"})
    with pytest.raises(KafkaUnavailable, match=r"log\.segment\.bytes"):
        await kafka.start()
    assert kafka.pids == {}


async def test_port_that_was_asked_for_and_is_taken_is_an_error(kafka: EmbeddedKafka) -> None:
    """By another Kafka, of all things, which answers properly, only that it is not ours."""
    taken = int(kafka.bootstrap_servers.rpartition(":")[2])
    with pytest.raises(KafkaUnavailable, match="already in use"):
        await EmbeddedKafka(port=taken).start()


async def test_port_that_is_taken_between_choice_and_use_is_chosen_again(
    kafka: EmbeddedKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = int(kafka.bootstrap_servers.rpartition(":")[2])
    choices = iter([[taken, *free_ports(2)], free_ports(3)])
    monkeypatch.setattr("bridge.devkit.kafka.free_ports", lambda _count: next(choices))
    async with EmbeddedKafka() as other:
        assert other.bootstrap_servers != kafka.bootstrap_servers
        assert next(choices, None) is None


async def test_no_java_is_left_behind_when_the_parent_is_killed(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(tmp_path / "data"), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    java = psutil.Process(int(await parent.stdout.readline()))
    family = [java, *java.children()]
    assert not any(_gone(process) for process in family)
    os.kill(parent.pid, signal.SIGKILL)
    await parent.wait()
    await until(lambda: all(_gone(process) for process in family), f"{family} still runs")


def _gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def test_three_nodes_go_on_when_one_is_killed(unique_prefix: str) -> None:
    async with EmbeddedKafka(nodes=3, heap_mb=384) as kafka:
        await create(kafka.bootstrap_servers, unique_prefix, partitions=3, replicas=3)
        await kafka.kill(2)
        assert sorted(kafka.pids) == [1, 3]
        async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers, acks="all") as producer:
            for partition in range(3):
                await producer.send_and_wait(unique_prefix, b"still here", partition=partition)
        await kafka.restart(2)
        assert len(await read_topics(kafka.bootstrap_servers, unique_prefix)) == 3
