"""Everything a bridge needs, on loopback: Kafka, registry, simulator, and the bridge itself, each a real process.

The demo, the benchmarks and the tests of the whole stand on the same stage, so that what they show is the same thing.
"""

from __future__ import annotations

import asyncio
import io
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp
import orjson

from bridge.devkit.kafka import EmbeddedKafka
from bridge.devkit.ports import free_ports
from bridge.devkit.process import ChildProcess
from bridge.devkit.registry import DevRegistry
from bridge.errors import BridgeError, KafkaUnavailable

START_S = 60.0
STOP_S = 15.0
POLL_S = 0.05
_LOG_TAIL_BYTES = 3000


class StageFailed(BridgeError):
    """A process of the stage did not start or ended by itself; the message holds the end of its log."""


@dataclass(slots=True)
class Process:
    """A child and its log."""

    name: str
    child: ChildProcess
    log: Path

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")

    def check(self) -> None:
        """Raise StageFailed if it has ended."""
        if self.child.returncode is not None:
            raise StageFailed(f"the {self.name} has ended with status {self.child.returncode}:\n{self.tail()}")


@dataclass(slots=True)
class Plan:
    """What to put on the stage.

    Attributes:
        simulator: options of the simulator, as its flags; those without a value have an empty one.
        settings: further configuration of the bridge, `section.key` to value.
        folder: where data and logs go; None for a temporary folder.
        cpus: processors of the bridge alone, for benchmarks.
        kafka: a cluster that runs already and goes on running; None starts one for this stage.
        prefix: topic prefix; None for the bridge's own default.
    """

    shards: int = 4
    registry: bool = True
    simulator: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
    cpus: str | None = None
    kafka: EmbeddedKafka | None = None
    prefix: str | None = None


class Stage:
    """Async context manager: Kafka, registry and simulator run inside the block; the bridge when told.

    Attributes:
        bootstrap_servers, registry_url, rest_url, socket_url, control_url: where everything is.
        bridge_url: probes and status of the bridge.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.kafka = plan.kafka or EmbeddedKafka(data_dir=plan.folder / "kafka" if plan.folder else None)
        self.registry = DevRegistry() if plan.registry else None
        self.prefix = plan.prefix or "tradovate.demo"
        self.bridge_url = f"http://127.0.0.1:{free_ports(1)[0]}"
        self.bridge: Process | None = None
        self._simulator: Process | None = None
        self._addresses: dict[str, str] = {}
        self._stack = AsyncExitStack()
        self.folder = Path()

    async def __aenter__(self) -> Self:
        """Start Kafka, the registry and the simulator at once."""
        try:
            self.folder = self.plan.folder or Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
            self.folder.mkdir(parents=True, exist_ok=True)
            self._simulator = self._spawn("simulator", ["-m", "bridge.simulator", *self._flags()])
            if self.plan.kafka is None:
                await self._stack.enter_async_context(self.kafka)
            if self.registry is not None:
                await self._stack.enter_async_context(self.registry)
            self._stack.push_async_callback(self._end, self._simulator)
            await self._wait_for_simulator(self._simulator)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """End everything, the bridge first."""
        await self._stack.aclose()

    @property
    def registry_url(self) -> str | None:
        """Address of the registry, if there is one."""
        return self.registry.url if self.registry else None

    @property
    def rest_url(self) -> str:
        """Base of the simulator's REST endpoints."""
        return self._addresses["rest"]

    @property
    def socket_url(self) -> str:
        """The simulator's socket."""
        return self._addresses["socket"]

    @property
    def control_url(self) -> str:
        """The simulator's own endpoints."""
        return self._addresses["control"]

    def environment(self, changes: Mapping[str, str] | None = None) -> dict[str, str]:
        """The bridge's configuration as environment variables, on top of our own environment.

        Args:
            changes: settings that win over the plan's, `section.key` to value; an empty one takes the key away.
        """
        settings = {
            "source.rest_url": self.rest_url,
            "source.socket_url": self.socket_url,
            "source.name": "demo",
            "source.password": "demo",
            "sharding.divisor": str(self.plan.shards),
            "kafka.bootstrap_servers": self.kafka.bootstrap_servers,
            "kafka.topic_prefix": self.prefix,
            "http.port": self.bridge_url.rsplit(":", 1)[1],
            **({"registry.url": self.registry_url} if self.registry_url else {}),
            **self.plan.settings,
            **(changes or {}),
        }
        named = {f"SYNCBRIDGE_{key.upper().replace('.', '__')}": value for key, value in settings.items() if value}
        return {**os.environ, **named}

    async def create_topics(self) -> None:
        """`syncbridge topics apply`."""
        process = self._spawn("topics", ["-m", "bridge", "topics", "apply"], self.environment())
        status = await process.child.wait(START_S)
        if status:
            raise StageFailed(f"`topics apply` ended with status {status}:\n{process.tail()}")

    def start_bridge(
        self,
        name: str = "bridge",
        changes: Mapping[str, str] | None = None,
        module: str = "bridge",
        tree: Path | None = None,
        variables: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
    ) -> Process:
        """`syncbridge run`; returns at once. Several may run beside each other; the newest is `bridge`.

        Args:
            name: of its log.
            changes: settings that win over the plan's; a second bridge needs its own `http.port`.
            module: a program that takes the verb `run`, should it be another one than this bridge.
            tree: another checkout that it is to come from.
            variables: of its environment, beside its configuration.
            arguments: of the verb.
        """
        environment, flags = {**self.environment(changes), **(variables or {})}, []
        if tree is not None:
            environment["PYTHONPATH"], flags = str(tree), ["-P"]  # not from the working directory
        self.bridge = self._spawn(name, [*flags, "-m", module, "run", *arguments], environment, self.plan.cpus)
        self._stack.push_async_callback(self._end, self.bridge)
        return self.bridge

    async def wait_until_ready(self, timeout_s: float = START_S) -> float:
        """Wait for `/readyz`; returns the seconds it took from now."""
        began = time.monotonic()
        while time.monotonic() - began < timeout_s:
            self.check()
            if await self._is_ready():
                return time.monotonic() - began
            await asyncio.sleep(POLL_S)
        raise StageFailed(
            f"the bridge is not ready after {timeout_s:g} s:\n{self.bridge.tail() if self.bridge else ''}"
        )

    async def status(self) -> dict[str, Any] | None:
        """`/status` of the bridge; None while it does not answer."""
        try:
            return dict(await self._get(f"{self.bridge_url}/status"))
        except (aiohttp.ClientError, TimeoutError):
            return None

    async def control(self, method: str, endpoint: str, body: Mapping[str, Any] | None = None) -> Any:
        """Call one of the simulator's own endpoints; see docs/simulator.md."""
        async with aiohttp.ClientSession() as http:
            data = None if body is None else io.BytesIO(orjson.dumps(body))  # bytes above 1 MiB draw a warning
            async with http.request(method, f"{self.control_url}/{endpoint}", data=data) as answer:
                answer.raise_for_status()
                return orjson.loads(await answer.read())

    def check(self) -> None:
        """Raise StageFailed if a process has ended by itself."""
        for process in (self._simulator, self.bridge):
            if process is not None:
                process.check()

    async def stop_bridge(self, timeout_s: float = STOP_S) -> int:
        """SIGTERM; returns its exit status."""
        if self.bridge is None:
            return 0
        bridge, self.bridge = self.bridge, None
        await bridge.child.stop(timeout_s)
        return bridge.child.returncode or 0

    def _flags(self) -> list[str]:
        flags = {"port": "0", **self.plan.simulator}
        return [part for name, value in flags.items() for part in (f"--{name.replace('_', '-')}", value) if part]

    def _spawn(
        self, name: str, arguments: list[str], environment: Mapping[str, str] | None = None, cpus: str | None = None
    ) -> Process:
        log = self.folder / f"{name}.log"
        command = [sys.executable, *arguments]
        if cpus is not None:
            command = ["/usr/bin/taskset", "-c", cpus, *command]
        return Process(name, ChildProcess(command, log, environment), log)

    async def _wait_for_simulator(self, process: Process) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            process.check()
            line = process.log.read_bytes().partition(b"\n")
            if line[1] and line[0].startswith(b"{"):  # else it is about to end, with what it says now as the reason
                self._addresses = orjson.loads(line[0])
                return
            await asyncio.sleep(POLL_S)
        raise KafkaUnavailable(f"the simulator did not start within {START_S:g} s:\n{process.tail()}")

    async def _is_ready(self) -> bool:
        try:
            async with aiohttp.ClientSession() as http, http.get(f"{self.bridge_url}/readyz") as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def _get(self, url: str) -> Any:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as http, http.get(url) as answer:
            return orjson.loads(await answer.read())

    async def _end(self, process: Process) -> None:
        await process.child.stop(STOP_S)
