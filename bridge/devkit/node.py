"""One Kafka node as files: its settings, its log configuration, its command lines. Nothing here starts anything."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

HOST = "127.0.0.1"
_HEAP_START_MB = 96

_SCRAM_JAAS = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
_SCRAM_ITERATIONS = 4096
SCRAM_MECHANISMS = ("SCRAM-SHA-256", "SCRAM-SHA-512")


@dataclass(frozen=True)
class Scram:
    """A second listener (SASL_PLAINTEXT) that wants a login; the plain one stays and is the administrator's.

    Attributes:
        users: name -> password, good for SCRAM-SHA-256 and SCRAM-SHA-512.
        authorize: switch the ACL authorizer on; then a user may do nothing until an ACL allows it.
    """

    users: Mapping[str, str] = field(repr=False)
    authorize: bool = False


@dataclass(frozen=True)
class Ports:
    """Loopback ports of one node."""

    plain: int
    controller: int
    sasl: int


@dataclass(frozen=True)
class Node:
    """One combined broker and controller.

    Attributes:
        id: 1-based node id.
        folder: everything of this node: data, logs, settings.
        ports: where it listens.
        peers: controller ports of all nodes, by id, itself included.
        sasl: the second listener, if any.
        extra: settings that win over those written here.
    """

    id: int
    folder: Path
    ports: Ports
    peers: Mapping[int, int]
    sasl: Scram | None = None
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def properties_file(self) -> Path:
        """Kafka's settings."""
        return self.folder / "server.properties"

    @property
    def log_file(self) -> Path:
        """What Kafka logs."""
        return self.folder / "kafka.log"

    @property
    def console_file(self) -> Path:
        """What the Java process itself prints (a wrong option, a crash)."""
        return self.folder / "console.log"

    @property
    def cluster_id(self) -> str | None:
        """The cluster to which the data folder belongs; None if it is not formatted yet."""
        try:
            text = (self.folder / "data" / "meta.properties").read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)["cluster.id"]

    def write(self) -> None:
        """Write settings and log configuration into the folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = (f"{key}={value}\n" for key, value in self.settings().items())
        self.properties_file.write_text("".join(lines), encoding="utf-8")
        (self.folder / "log4j2.properties").write_text(_log4j2(self.log_file), encoding="utf-8")

    def settings(self) -> dict[str, str]:
        """Kafka's settings: one small node, or a few that replicate to each other."""
        replicas = len(self.peers)
        in_sync = max(1, replicas - 1)
        return {
            "process.roles": "broker,controller",
            "node.id": str(self.id),
            "controller.quorum.voters": ",".join(f"{id_}@{HOST}:{port}" for id_, port in self.peers.items()),
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAIN",
            "log.dirs": str(self.folder / "data"),
            **self._listeners(),
            **self._security(),
            # A topic that appears by itself has the wrong number of partitions.
            "auto.create.topics.enable": "false",
            "default.replication.factor": str(replicas),
            "min.insync.replicas": str(in_sync),
            **_internal_topics(replicas, in_sync),
            "group.initial.rebalance.delay.ms": "0",
            # After a SIGKILL a node may register again only when its former session has run out (default 9 s).
            "broker.session.timeout.ms": "4000",
            "broker.heartbeat.interval.ms": "1000",
            "log.cleaner.enable": "true",
            # Sized for a small heap; the cleaner's default buffer alone is 128 MB.
            "log.cleaner.dedupe.buffer.size": str(16 << 20),
            "log.index.size.max.bytes": str(2 << 20),
            "num.network.threads": "2",
            "num.io.threads": "4",
            "background.threads": "2",
            **self.extra,
        }

    def _listeners(self) -> dict[str, str]:
        plain, controller = f"PLAIN://{HOST}:{self.ports.plain}", f"CONTROLLER://{HOST}:{self.ports.controller}"
        public = [plain] if self.sasl is None else [plain, f"SASL://{HOST}:{self.ports.sasl}"]
        return {
            "listeners": ",".join([*public, controller]),
            "advertised.listeners": ",".join(public),
            "listener.security.protocol.map": "PLAIN:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT",
        }

    def _security(self) -> dict[str, str]:
        if self.sasl is None:
            return {}
        login = {f"listener.name.sasl.{name.lower()}.sasl.jaas.config": _SCRAM_JAAS for name in SCRAM_MECHANISMS}
        login["listener.name.sasl.sasl.enabled.mechanisms"] = ",".join(SCRAM_MECHANISMS)
        if self.sasl.authorize:
            login["authorizer.class.name"] = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
            login["super.users"] = (
                "User:ANONYMOUS"  # whoever comes by the plain listener: the nodes and the tests' admin
            )
        return login

    def java_arguments(self, classpath: Sequence[Path], heap_mb: int) -> list[str]:
        """Options of the Java process, up to the name of the class."""
        return [
            f"-Xms{min(heap_mb, _HEAP_START_MB)}m",
            f"-Xmx{heap_mb}m",
            # One small node shares its processor with all that uses it: no threads for collection, and none for
            # optimising code that has ended before it pays. Halved the latency of commits on two processors.
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-XX:+ExitOnOutOfMemoryError",
            "-Djava.awt.headless=true",
            "-Dlog4j2.disableJmx=true",
            f"-Dlog4j2.configurationFile={self.folder / 'log4j2.properties'}",
            "-cp",
            ":".join(map(str, classpath)),
        ]

    def format_arguments(self, cluster_id: str) -> list[str]:
        """Class and arguments that make the data folder part of the cluster, with the users of the SASL listener."""
        users = {} if self.sasl is None else self.sasl.users
        logins = [(mechanism, *user) for mechanism in SCRAM_MECHANISMS for user in users.items()]
        credentials = [part for each in logins for part in ("--add-scram", _credential(*each))]
        return [
            "kafka.tools.StorageTool",
            "format",
            f"--cluster-id={cluster_id}",
            "-c",
            str(self.properties_file),
            *credentials,
        ]

    def run_arguments(self) -> list[str]:
        """Class and arguments that run the node."""
        return ["kafka.Kafka", str(self.properties_file)]


def _credential(mechanism: str, name: str, password: str) -> str:
    """A SCRAM credential as the storage tool wants it: already salted, any character may stand in a password."""
    salt = secrets.token_bytes(16)
    digest = mechanism.removeprefix("SCRAM-").replace("-", "").lower()
    salted = hashlib.pbkdf2_hmac(digest, password.encode(), salt, _SCRAM_ITERATIONS)
    salt_text, salted_text = base64.b64encode(salt).decode(), base64.b64encode(salted).decode()
    return (
        f'{mechanism}=[name="{name}",salt="{salt_text}",saltedpassword="{salted_text}",iterations={_SCRAM_ITERATIONS}]'
    )


def _internal_topics(replicas: int, in_sync: int) -> dict[str, str]:
    """Few partitions (the default of 50 each only costs start-up time here) and as many replicas as there are nodes."""
    return {
        "offsets.topic.replication.factor": str(replicas),
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": str(replicas),
        "transaction.state.log.min.isr": str(in_sync),
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": str(replicas),
        "share.coordinator.state.topic.min.isr": str(in_sync),
        "share.coordinator.state.topic.num.partitions": "1",
    }


def _log4j2(log_file: Path) -> str:
    return f"""\
status = error
appender.file.type = RollingFile
appender.file.name = file
appender.file.fileName = {log_file}
appender.file.filePattern = {log_file}.%i
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d %p %c: %m%n
appender.file.policies.type = Policies
appender.file.policies.size.type = SizeBasedTriggeringPolicy
appender.file.policies.size.size = 16MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 2
rootLogger.level = info
rootLogger.appenderRef.file.ref = file
"""
