"""One shard's objects, put together."""

from __future__ import annotations

import importlib.metadata
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field

import structlog

from bridge.app import cluster as parts
from bridge.app.audits import audits
from bridge.app.implementation import ENCODER, ENVELOPES, EXPRESS, RECONCILER, RECORDS
from bridge.app.pressure import spool
from bridge.app.restoring import Memory, restorer
from bridge.changes.absence import Absence, Brake
from bridge.changes.audit import Auditor
from bridge.changes.kind import Kind
from bridge.changes.letters import Retrial
from bridge.changes.reconciler import Reconciler
from bridge.changes.resend import Past
from bridge.changes.state import PublishedState
from bridge.config import Settings
from bridge.entities import schemas
from bridge.entities.catalogue import CATALOGUE, SNAPSHOT_TYPES, Lifecycle, lifecycle
from bridge.entities.drift import Drift
from bridge.entities.encoder import Encoder
from bridge.entities.ownership import account_hop, direct_owner, user_hop
from bridge.kafka.client import Cluster
from bridge.kafka.control import Control
from bridge.kafka.envelope import Origin, TypeBytes
from bridge.kafka.framing import Framing
from bridge.kafka.shardlog import ShardLog
from bridge.kafka.statelog import StateCodec
from bridge.operate.metrics import ShardView
from bridge.shard.assembly import Assembler
from bridge.shard.channel import Channel
from bridge.shard.claim import Claim
from bridge.shard.frames import Frames
from bridge.shard.letters import LetterDesk
from bridge.shard.patience import Patience
from bridge.shard.ports import Source, Spares
from bridge.shard.reader import Reader
from bridge.shard.runner import Owner, Runner, TakeUp
from bridge.shard.stats import ShardStats
from bridge.shard.turns import Turns
from bridge.shard.writer import Writer

VERSION = importlib.metadata.version("syncbridge")


class SystemClock:
    """The machine's clocks."""

    def monotonic(self) -> float:
        """Seconds, for intervals."""
        return time.monotonic()

    def epoch_us(self) -> int:
        """Microseconds since 1970."""
        return time.time_ns() // 1000


@dataclass(slots=True)
class Shared:
    """What all shards of the process share.

    Attributes:
        framing: gives the framing once the schemas are registered; until then shards only listen.
        instance: names this process in claims; new for every start.
    """

    settings: Settings
    cluster: Cluster
    reader: Reader
    framing: Callable[[], Awaitable[Framing]]
    instance: str = field(default_factory=lambda: uuid.uuid4().hex)
    clock: SystemClock = field(default_factory=SystemClock)
    turns: Turns = field(default_factory=Turns)
    met: Drift = field(default_factory=Drift)
    encoders: Mapping[str, Encoder] = field(init=False)

    def __post_init__(self) -> None:
        """Encoders take a while to make, and all shards can use the same."""
        self.encoders = {name: ENCODER(name, schemas.value_schema(name), self.met) for name in CATALOGUE}

    def drift(self) -> Iterator[tuple[str, str, str, int]]:
        """All drift the encoders have met: entity type, field, kind, count."""
        for name, encoder in self.encoders.items():
            for (path, kind), count in list(encoder.drift.items()):
                yield name, path, kind, count


def build(shared: Shared, shard: int, source: Source, spares: Spares | None = None) -> tuple[Runner, ShardView]:
    """A shard's runner, and the view of its numbers.

    Args:
        spares: gives sockets for audits; None for no audits.
    """
    settings, clock = shared.settings, shared.clock
    stats = ShardStats(shard)
    logger = structlog.get_logger().bind(shard=shard)
    memory = Memory()
    state = memory.state
    known = kinds(state, shared.encoders, settings.sharding.expression)
    reconciler = RECONCILER(
        state,
        known,
        divisor=settings.sharding.divisor,
        remainder=shard,
        foreign=settings.sharding.foreign,
        deduplicate=settings.kafka.deduplicate,
        max_value_bytes=settings.kafka.max_record_bytes,
    )
    patience = Patience(logger)
    log = ShardLog(
        shared.cluster,
        parts.producer(settings, shared.cluster, shard),
        state_topic=parts.names(settings).state,
        plan=parts.plan(settings),
        shard=shard,
        fencing=settings.kafka.delivery == "exactly_once",
    )

    runner = Runner(
        source=source,
        channel_bytes=(settings.pressure.high_water_kb * 1024, settings.pressure.memory_mb * 1024 * 1024),
        spool=spool(settings, stats, logger),
        log=log,
        take_up=_take_up(shared, stats, log, memory, known, reconciler, patience, logger),
        delete_quiet_s=settings.snapshot.delete_quiet_s,
        events=shared.reader.events,
        patience=patience,
        clock=clock,
        stats=stats,
        audits=audits(settings, spares, known, reconciler, shared.reader, clock, stats, logger),
        logger=logger,
    )
    retrial = Retrial(state, known, reconciler, settings.kafka.max_record_bytes)
    letters = LetterDesk(retrial, runner.carry_out)
    return runner, ShardView(stats, reconciler.counts, state.__len__, memory.held, runner.decide, letters)


def _take_up(
    shared: Shared,
    stats: ShardStats,
    log: ShardLog,
    memory: Memory,
    known: dict[str, Kind],
    reconciler: Reconciler,
    patience: Patience,
    logger: structlog.typing.FilteringBoundLogger,
) -> TakeUp:
    """What makes the shard's owner as soon as the schemas are registered."""
    settings, clock, shard = shared.settings, shared.clock, stats.shard

    async def take_up(channel: Channel) -> Owner:
        framing = await shared.framing()
        codec = state_codec(settings, framing)
        claim = Claim(
            log=log,
            codec=codec,
            state=memory.state,
            state_topic=parts.names(settings).state,
            shard=shard,
            instance=shared.instance,
            framing=parts.key_framing(settings, framing),
            clock=clock,
            random=random.random,
            patience=patience,
            stats=stats,
            logger=logger,
        )

        def assembler(epoch: int) -> Assembler:
            return assembler_of(shared, shard, framing, codec, memory, known, reconciler, epoch)

        writer = Writer(
            channel=channel,
            assembler=assembler,
            claim=claim,
            log=log,
            clock=clock,
            stats=stats,
            floor_s=settings.kafka.commit_interval_ms / 1000,
            turns=shared.turns,
            memory_bytes=settings.pressure.memory_mb * 1024 * 1024,
            logger=logger,
        )
        return Owner(claim, restorer(memory, shared.encoders), writer)

    return take_up


def kinds(state: PublishedState, encoders: Mapping[str, Encoder], expression: str) -> dict[str, Kind]:
    """What the reconciler needs of every entity type."""
    found = {}
    for name, encoder in encoders.items():
        account, user = account_hop(name), user_hop(name)
        through = account is not None and account[1] not in ("account", name)
        found[name] = Kind(
            name=name,
            encoder=encoder,
            table=state.tables[name],
            owner_field=direct_owner(name, expression),
            account_field=account[0] if account and not through else None,
            user_field=user[0] if user and user[1] == "user" else ("userId" if name == "account" else None),
            parent_field=account[0] if account and through else None,
            parent=state.tables[account[1]] if account and through else None,
            lifecycle=lifecycle(name, expression),
        )
    return found


def state_codec(settings: Settings, framing: Framing) -> StateCodec:
    """What reads and writes the state topic."""
    topic = parts.names(settings).state
    return StateCodec(
        framing.prefix(topic, "key", schemas.control_schema("StateKey")),
        framing.prefix(topic, "value", schemas.control_schema("State")),
    )


def assembler_of(
    shared: Shared,
    shard: int,
    framing: Framing,
    codec: StateCodec,
    memory: Memory,
    known: dict[str, Kind],
    reconciler: Reconciler,
    epoch: int,
) -> Assembler:
    """What puts one epoch's transactions together."""
    settings, topic = shared.settings, parts.names(shared.settings)
    origin = Origin(VERSION, settings.prefix, settings.source.environment, shard, settings.sharding.divisor)
    types = {
        name: TypeBytes(
            topic=topic.entity(name),
            key=framing.prefix(topic.entity(name), "key", schemas.key_schema(name)),
            value=framing.prefix(topic.entity(name), "value", schemas.envelope_schema(name)),
            state_key=codec.entity_key_prefix(name),
            state_value=codec.entity_value_prefix(schemas.state_fingerprint(encoder.schema)),
        )
        for name, encoder in shared.encoders.items()
    }
    past = Past(memory.state, [name for name, kind in known.items() if kind.lifecycle is Lifecycle.SESSION])
    brake = Brake(settings.snapshot.delete_share)
    absence = Absence(memory.state, memory.held, past, known, _requested(settings), brake)
    envelopes, control = ENVELOPES(origin, epoch, types, topic.state), Control(topic, framing)
    frames = Frames(
        state=memory.state,
        reconciler=reconciler,
        reader=shared.reader,
        envelopes=envelopes,
        control=control,
        past=past,
        met=shared.met,
        express=EXPRESS(reconciler, envelopes, past),
        shard=shard,
        divisor=settings.sharding.divisor,
    )
    return Assembler(
        frames=frames,
        state=memory.state,
        reconciler=reconciler,
        envelopes=envelopes,
        control=control,
        codec=codec,
        originals=memory.originals,
        past=past,
        absence=absence,
        met=shared.met,
        records=RECORDS,
        auditor=Auditor(memory.state, memory.held, past, absence, reconciler),
        archive=settings.kafka.archive == "tombstone",
        state_topic=topic.state,
    )


def _requested(settings: Settings) -> tuple[str, ...]:
    """Types whose absence may mean something: none where users, accounts or a date narrow the snapshot.

    They may have been wider before, and then what they leave out now would look as if it had vanished.
    """
    source = settings.source
    narrowed = source.users or source.accounts or source.cutoff_timestamp
    return () if narrowed else source.entity_types or tuple(SNAPSHOT_TYPES)
