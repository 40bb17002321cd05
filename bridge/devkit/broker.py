"""The embedded Kafka on its own, in the foreground: what `syncbridge broker` does."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

from bridge.devkit.jars import fetch
from bridge.devkit.java import find_java
from bridge.devkit.kafka import EmbeddedKafka
from bridge.devkit.registry import DevRegistry

__all__ = ["fetch_all", "run_broker"]


def fetch_all() -> str:
    """Fetch and verify what the embedded Kafka needs, start nothing; returns a sentence that says what is there.

    Raises:
        KafkaUnavailable: a file could not be fetched.
        KafkaUnusable: a fetched file is not the pinned one.
        ConfigurationError: there is no Java runtime, or the embedded Kafka is not installed.
    """
    jars, java = fetch(), find_java()
    return f"Apache Kafka is in {jars[0].parent} ({len(jars)} files, verified); Java {java.major} is {java.path}"


async def run_broker(
    *,
    port: int | None = None,
    data_dir: Path | None = None,
    nodes: int = 1,
    registry: bool = True,
    registry_port: int = 0,
    say: Callable[[str], None] = lambda line: print(line, flush=True),
) -> None:
    """Run Kafka, and a schema registry beside it, until SIGINT or SIGTERM.

    Args:
        port: of the first node's listener; None takes a free one.
        data_dir: where topics and schemas are kept; None keeps them for this run only.
        nodes: 1 or 3.
        registry: whether to run the development schema registry too.
        registry_port: 0 takes a free one.
        say: gets each line that is meant for the user.

    Raises:
        KafkaUnavailable: Kafka did not start.
        ConfigurationError: there is no Java runtime, or the embedded Kafka is not installed.
        OSError: the registry's port is taken.
    """
    with _stop_signals() as stopped:
        async with AsyncExitStack() as running:
            if registry:
                schemas = None if data_dir is None else data_dir / "schemas.jsonl"
                known = await running.enter_async_context(DevRegistry(port=registry_port, file=schemas))
            kafka = EmbeddedKafka(data_dir=data_dir, nodes=nodes, port=port)
            if not await _unless_stopped(kafka.start(), stopped):
                return
            running.push_async_callback(kafka.stop)
            say(f"kafka.bootstrap_servers = {kafka.bootstrap_servers}")
            if registry:
                say(f"registry.url = {known.url}")
            say(f"data in {kafka.data_dir}{'' if data_dir else ' (removed at the end)'}; Ctrl-C stops it")
            await stopped.wait()


async def _unless_stopped(step: Coroutine[None, None, None], stopped: asyncio.Event) -> bool:
    """Run a step to its end unless the user stops us before; whether it ended by itself."""
    task, wait = asyncio.ensure_future(step), asyncio.ensure_future(stopped.wait())
    await asyncio.wait((task, wait), return_when=asyncio.FIRST_COMPLETED)
    wait.cancel()
    if task.done():
        task.result()
        return True
    task.cancel()
    await asyncio.wait((task,))
    return False


@contextmanager
def _stop_signals() -> Iterator[asyncio.Event]:
    """An event that SIGINT and SIGTERM set instead of ending the process."""
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    try:
        yield stopped
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
