"""Apache Kafka itself as child processes, for the demo and for tests: no Docker, no Maven, no installed Java needed."""

from __future__ import annotations

import asyncio
import base64
import shutil
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from bridge.devkit.jars import fetch
from bridge.devkit.java import find_java
from bridge.devkit.node import HOST, Node, Ports, Scram
from bridge.devkit.ports import free_ports
from bridge.devkit.probe import describe
from bridge.devkit.process import ChildProcess
from bridge.errors import KafkaUnavailable

__all__ = ["EmbeddedKafka", "Scram"]

START_S = 60.0
_FORMAT_S = 60.0
_STOP_S = 20.0
_PORT_TRIES = 3
_POLL_S = 0.05
_PORT_TAKEN = "Address already in use"


class EmbeddedKafka:
    """A Kafka cluster on the loopback interface that ends with this process; an async context manager.

    Args:
        data_dir: where it keeps its data; default a temporary folder that is removed at the end.
        nodes: 1, or 3 for a cluster that survives the loss of one (replication 3, minimum in sync 2).
        port: port of the (first node's) plain listener; default any free one.
        sasl: a second listener that wants a login.
        heap_mb: Java heap of each node in MiB.
        settings: Kafka settings that win over the defaults of `node.py`.

    The nodes are numbered from 1; where a method takes `node`, None means all of them. Bound to no event loop.
    """

    def __init__(
        self,
        *,
        data_dir: Path | None = None,
        nodes: int = 1,
        port: int | None = None,
        sasl: Scram | None = None,
        heap_mb: int = 512,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._temporary = data_dir is None
        self._wanted_dir, self._wanted_port = data_dir, port
        self._count, self._sasl, self._heap_mb = nodes, sasl, heap_mb
        self._settings = dict(settings or {})
        self._nodes: list[Node] = []
        self._running: dict[int, ChildProcess] = {}
        self._java: list[str] = []
        self._classpath: list[Path] = []
        self._folder: Path | None = None

    @property
    def data_dir(self) -> Path:
        """The folder with one sub-folder for each node. Only after `start()`."""
        if self._folder is None:
            raise RuntimeError("the embedded Kafka has not been started")
        return self._folder

    @property
    def bootstrap_servers(self) -> str:
        """`host:port,...` of the plain listeners."""
        return ",".join(f"{HOST}:{node.ports.plain}" for node in self._nodes)

    @property
    def sasl_bootstrap_servers(self) -> str:
        """`host:port,...` of the listeners that want a login."""
        return ",".join(f"{HOST}:{node.ports.sasl}" for node in self._nodes)

    @property
    def pids(self) -> dict[int, int]:
        """Node -> process id of those that were started and not yet stopped."""
        return {id_: process.pid for id_, process in self._running.items()}

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Fetch what is missing, format, start, and wait until every node answers.

        Raises:
            KafkaUnavailable: it did not come up within a minute; the message ends with the last lines of its log.
            ConfigurationError: no Java runtime, or the embedded Kafka is not installed.
        """
        self._classpath = await asyncio.to_thread(fetch)
        self._java = [str((await asyncio.to_thread(find_java)).path)]
        self._folder = (self._wanted_dir or Path(tempfile.mkdtemp(prefix="syncbridge-kafka-"))).absolute()
        try:
            await self._start_on_free_ports()
        except BaseException:
            await self.stop()
            raise

    async def _start_on_free_ports(self) -> None:
        for attempt in range(1, _PORT_TRIES + 1):
            self._nodes = self._plan(free_ports(3 * self._count))
            try:
                await self._format()
                await self._launch(self._nodes)
            except KafkaUnavailable as error:
                # Somebody else was faster between our choice of a port and its use. A port that was asked for stays.
                if attempt == _PORT_TRIES or self._wanted_port or _PORT_TAKEN not in str(error):
                    raise
                await self.kill()
            else:
                return

    def _plan(self, ports: list[int]) -> list[Node]:
        own = [Ports(*ports[3 * index : 3 * index + 3]) for index in range(self._count)]
        if self._wanted_port:
            own[0] = Ports(self._wanted_port, own[0].controller, own[0].sasl)
        peers = {index + 1: each.controller for index, each in enumerate(own)}
        return [
            Node(index + 1, self.data_dir / f"node-{index + 1}", each, peers, self._sasl, self._settings)
            for index, each in enumerate(own)
        ]

    async def _format(self) -> None:
        new = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        cluster_id = next((node.cluster_id for node in self._nodes if node.cluster_id), new)
        for node in self._nodes:
            node.write()
        await asyncio.gather(*(self._format_one(node, cluster_id) for node in self._nodes if node.cluster_id is None))

    async def _format_one(self, node: Node, cluster_id: str) -> None:
        options = node.java_arguments(self._classpath, self._heap_mb)
        tool = ChildProcess([*self._java, *options, *node.format_arguments(cluster_id)], node.console_file)
        try:
            status = await tool.wait(_FORMAT_S)
        finally:
            await tool.kill()
        if status != 0:
            raise KafkaUnavailable(f"the embedded Kafka cannot use {node.folder}:\n{_tail(node.console_file, 20)}")

    async def _launch(self, nodes: list[Node]) -> None:
        for node in nodes:
            node.log_file.unlink(missing_ok=True)  # what a former run said must not be taken for this one's
            options = node.java_arguments(self._classpath, self._heap_mb)
            self._running[node.id] = ChildProcess([*self._java, *options, *node.run_arguments()], node.console_file)
        deadline = time.monotonic() + START_S
        while not await self._ready(nodes):
            ended = [node for node in nodes if self._running[node.id].returncode is not None]
            if ended or time.monotonic() > deadline:
                why = f"node {ended[0].id} ended" if ended else f"no answer within {START_S:g} s"
                where = (ended or nodes)[0]
                raise KafkaUnavailable(f"the embedded Kafka did not start ({why}):\n{self.log_tail(40, where.id)}")
            await asyncio.sleep(_POLL_S)

    async def _ready(self, nodes: list[Node]) -> bool:
        """Whether each of `nodes` answers and knows all of them as brokers.

        The cluster's id is compared too: it might be another Kafka that answers on a port which ours could not get.
        """
        for node in nodes:
            cluster_id, brokers = await describe(node.ports.plain)
            if cluster_id != node.cluster_id or brokers < len(nodes):
                return False
        return True

    async def stop(self) -> None:
        """Stop all nodes, in order if the data is to stay, and remove the data if it is temporary."""
        if self._temporary:
            await self.kill()
        else:
            await asyncio.gather(*(process.stop(_STOP_S) for process in self._running.values()))
            self._running.clear()
        if self._temporary and self._folder is not None:
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
            self._folder = None

    async def kill(self, node: int | None = None) -> None:
        """End at once, as a power failure would (SIGKILL)."""
        for id_ in self._selected(node):
            await self._running.pop(id_).kill()

    async def restart(self, node: int | None = None) -> None:
        """Start again on the same data and ports what was killed; what still runs is stopped in order first."""
        selected = [each for each in self._nodes if node in (None, each.id)]
        running = [self._running.pop(each.id) for each in selected if each.id in self._running]
        await asyncio.gather(*(process.stop(_STOP_S) for process in running))
        await self._launch(selected)

    def pause(self, node: int | None = None) -> None:
        """Freeze: connections stay open and nothing is answered (SIGSTOP)."""
        for id_ in self._selected(node):
            self._running[id_].pause()

    def resume(self, node: int | None = None) -> None:
        """Go on after `pause()`."""
        for id_ in self._selected(node):
            self._running[id_].resume()

    def log_tail(self, lines: int = 40, node: int = 1) -> str:
        """The last lines of a node's log, and of what its Java process printed."""
        each = self._nodes[node - 1]
        return "\n".join(part for part in (_tail(each.console_file, lines), _tail(each.log_file, lines)) if part)

    def _selected(self, node: int | None) -> list[int]:
        return list(self._running) if node is None else [node]


def _tail(path: Path, lines: int) -> str:
    try:
        return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""
