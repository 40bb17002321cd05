"""One shard: one socket session after the other on one side, one writer on the other, a channel between.

Start order (every millisecond away is lost history): the socket connects and authorises while schemas are registered
and the framing is looked at; then comes the fence, and as soon as it stands the syncrequest; claim and restore run
while the snapshot's frames already wait in the channel. Nothing that may take long or be refused stands between fence
and claim, because a fenced owner that finds no successor takes the shard back. If Kafka or the registry does not answer
the session syncs before the fence; should the head then show that somebody else committed at about that time, the
session is thrown away and synced again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import structlog

from bridge.errors import SessionLost, Unread
from bridge.kafka.statelog import OnEntity, Restored
from bridge.shard.audit import Audits
from bridge.shard.channel import Channel
from bridge.shard.claim import Claim
from bridge.shard.delay import Delay
from bridge.shard.letters import Work
from bridge.shard.notes import (
    AbsenceDue,
    Alive,
    Decided,
    Errand,
    Frame,
    FrameUnread,
    Note,
    SessionEnded,
    SessionOpened,
    SnapshotCompleted,
    Stopped,
    What,
)
from bridge.shard.patience import Patience
from bridge.shard.ports import Clock, Conversation, Log, Source
from bridge.shard.spool import Spool
from bridge.shard.stats import ShardStats
from bridge.shard.writer import Writer

FENCE_PATIENCE_S = 5.0
SKEW_MS = 60_000
ALIVE_S = 5.0
USEFUL_AFTER_S = 30.0
"""A session that was synced for so long, or completed a snapshot, proves that connecting works."""
MOST_KEPT_BYTES = 8 * 2**20
"""Of frames that nobody can read, while they wait to be written: a server may send one at every attempt to connect."""


@dataclass(frozen=True, slots=True)
class Owner:
    """What writes a shard once it is fenced."""

    claim: Claim
    on_entity: OnEntity
    writer: Writer


TakeUp = Callable[[Channel], Awaitable[Owner]]
"""Makes the owner; waits until the schemas are registered, because their ids stand in every record."""


class Runner:
    """Runs one shard until it is stopped, replaced or refused."""

    def __init__(
        self,
        *,
        source: Source,
        channel_bytes: tuple[int, int],
        spool: Spool | None = None,
        log: Log,
        take_up: TakeUp,
        patience: Patience,
        delete_quiet_s: float,
        events: Callable[[bytes], tuple[bool, list[Any] | None]],
        clock: Clock,
        stats: ShardStats,
        audits: Audits,
        logger: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self.stats = stats
        self._events, self._absence = events, Delay(delete_quiet_s, self._absence_is_due)
        self._completed_ms = 0
        self._source, self._log, self._take_up, self._patience = source, log, take_up, patience
        self._clock, self._logger, self._audits = clock, logger, audits
        self._channel = Channel(*channel_bytes, self._pause, self._resume, spool, self._lose)
        self._conversation: Conversation | None = None
        self._may_sync, self._stopping = asyncio.Event(), asyncio.Event()
        self._frame_number = 0
        self._opened = False
        self._fenced = False
        self._unfenced_ms: int | None = None
        self._session_began = 0.0
        self._kept_bytes = 0

    async def run(self) -> None:
        """Own the shard and listen, until `stop()` has been carried out.

        Raises:
            Replaced, KafkaUnusable, AuthorizationRefused: as their recovery says, this shard cannot go on.
        """
        try:
            async with asyncio.TaskGroup() as group:
                listening = group.create_task(self._listen())
                group.create_task(self._permit())
                auditing = group.create_task(self._audits.run(self._put))
                await self._own()
                listening.cancel()
                auditing.cancel()
        except BaseExceptionGroup as failed:
            raise _first(failed) from None
        finally:
            self.stats.phase, self.stats.session_open, self.stats.owned = "stopped", False, False
            self._channel.close()
            await self._log.close()

    def stop(self) -> None:
        """Close the session, write what waits, commit, end. Returns at once; `run()` returns when it is done."""
        if not self._stopping.is_set():
            self._stopping.set()
            if self._conversation is not None:
                self._conversation.give_up(SessionLost("stopped"))

    async def decide(self, confirm: bool, entity_type: str | None, numbers: Collection[int]) -> Mapping[str, int]:
        """Have held deletions confirmed (or discarded), in the order of things; the keys by type once committed."""
        counts: Mapping[str, int] = await self._answered(lambda done: Decided(confirm, entity_type, numbers, done))
        return counts

    async def carry_out(self, work: Work, received_us: int) -> Any:
        """Have something done in the order of things; its answer once it is committed."""
        return await self._answered(lambda done: Errand(work, received_us, done))

    async def _answered(self, asking: Callable[[Callable[[Any], None]], What]) -> Any:
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._put(asking(lambda answer: None if answered.done() else answered.set_result(answer)))
        return await answered

    # Kafka's side

    async def _own(self) -> None:
        """Fence, claim, restore, then write to the end."""
        owner = await self._prepare()
        await self._patience.wait_for("start", self._log.start)
        self._fenced = True
        self._may_sync.set()
        began = self._clock.monotonic()
        self._distrust(await owner.claim.take())
        await owner.claim.restore(owner.on_entity)
        self.stats.restore_s = self._clock.monotonic() - began
        self._logger.info(
            "shard_claimed",
            epoch=owner.claim.head.epoch,
            seq=owner.claim.head.seq,
            entities=self.stats.restored,
            seconds=round(self.stats.restore_s, 3),
        )
        await owner.writer.run()

    async def _prepare(self) -> Owner:
        """All that must be known before the fence, so that who may not own the shard disturbs nobody."""
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(self._patience.wait_for("read_framing", self._log.read_framing))
            owner = await self._take_up(self._channel)
        owner.claim.check(reading.result())
        return owner

    def _distrust(self, before: Restored) -> None:
        """Throw away what was synced before the fence if the former owner may have committed something newer."""
        if before.head and self._unfenced_ms is not None and before.committed_ms > self._unfenced_ms - SKEW_MS:
            self._give_up(SessionLost("stale_snapshot", "another instance committed after our syncrequest"))

    async def _permit(self) -> None:
        """Let the session sync when the fence stands, or when Kafka has kept us waiting for too long."""
        try:
            async with asyncio.timeout(FENCE_PATIENCE_S):
                await self._may_sync.wait()
        except TimeoutError:
            self._logger.warning("sync_without_fence", waited_seconds=FENCE_PATIENCE_S)
            self._may_sync.set()
        if self._conversation is not None:
            self._conversation.allow_sync()

    # The broker's side

    async def _listen(self) -> None:
        """One conversation after the other, for ever."""
        while not self._stopping.is_set():
            self.stats.phase = "connecting"
            self._session_began = self._clock.monotonic()
            conversation = self._conversation = self._source.converse(self)
            if self._may_sync.is_set():
                conversation.allow_sync()
            async with asyncio.TaskGroup() as group:
                alive = group.create_task(self._report_alive(conversation))
                lost = await conversation.run()
                alive.cancel()
            self._conversation = None
            lasted_s = self._clock.monotonic() - self._session_began
            useful = self.stats.phase == "live" or (self._opened and lasted_s >= USEFUL_AFTER_S)
            self._ended(lost, conversation.heard_us)
            await self._rest(self._source.delay(lost, useful))
            await self._room(lost)
        self._put(Stopped())

    async def _room(self, lost: SessionLost) -> None:
        """After an overflow: wait until the writer has moved on, that is, until a commit has succeeded."""
        # Polled, because this happens once in an outage and the writer's hot path should not signal for it.
        while lost.cause == "overflow" and len(self._channel) and not self._stopping.is_set():  # noqa: ASYNC110
            await asyncio.sleep(0.1)

    async def _rest(self, delay_s: float) -> None:
        if self._stopping.is_set():
            return
        self.stats.phase = "waiting"
        try:
            async with asyncio.timeout(delay_s):
                await self._stopping.wait()
        except TimeoutError:
            return

    async def _report_alive(self, conversation: Conversation) -> None:
        """Keep the head's `alive_ms` fresh while nothing happens, so that gap bounds are right after a crash."""
        told_us = 0
        while True:
            await asyncio.sleep(ALIVE_S)
            heard_us = conversation.heard_us
            self.stats.last_server_us = heard_us
            if self._opened and heard_us > told_us and not len(self._channel):
                self._channel.put(Note(Alive(), heard_us // 1000))
                told_us = heard_us

    def _ended(self, lost: SessionLost, heard_us: int) -> None:
        self._absence.forget()
        self._audits.interrupt()
        stopped = lost.cause == "stopped"
        self.stats.session_open = False
        if not stopped:
            self.stats.lost[lost.cause] += 1
        if lost.unread is not None:
            self._keep(lost.cause, lost.reason, lost.unread)
        if self._opened:
            self._put(SessionEnded(lost.cause, lost.code, lost.reason, heard_us // 1000))
        self._opened = False
        self._logger.info(
            "session_ended",
            cause=lost.cause,
            code=lost.code,
            reason=lost.reason,
            seconds=round(self._clock.monotonic() - self._session_began, 3),
            frames=self._frame_number,
        )

    def _keep(self, cause: str, reason: str, frame: Unread) -> None:
        """Have a dead letter written; while too much waits for that, without its content."""
        if not len(self._channel):
            self._kept_bytes = 0
        if self._kept_bytes + len(frame.raw) > MOST_KEPT_BYTES:
            frame = replace(frame, raw=b"")
        self._kept_bytes += len(frame.raw)
        self._put(FrameUnread("oversized" if cause == "oversized" else "garbage", reason, frame))

    # Listener: called by the conversation

    def data(self, raw: bytes, messages: list[Any] | None, arrived_us: int) -> None:
        """Hand a frame to the writer, or give the session up if there is no room left; hot.

        Args:
            messages: None if they are to be read when its turn comes.
        """
        self._frame_number += 1
        if not self._channel.put(Frame(self._frame_number, raw, messages, arrived_us)):
            self._overflow()
        self.stats.waiting_bytes = self._channel.waiting_bytes

    def straight(self, frames: list[bytes], start: int, arrived_us: int) -> int:
        """Have frames taken by the writer at once, from their bytes; where it cannot, let them wait; hot."""
        taken = self._channel.put_straight(frames, start, self._frame_number + 1, arrived_us)
        self._frame_number += taken
        self.stats.waiting_bytes = self._channel.waiting_bytes
        for raw in frames[start + taken :]:
            plain, messages = self._events(raw)
            if not plain or not self._opened:  # no room for the one before: what follows belongs to no session
                break
            self.data(raw, messages, arrived_us)
            taken += 1
        return taken

    def synced(self) -> None:
        """A new session begins in the order of things."""
        self._opened = True
        if not self._fenced and self._unfenced_ms is None:
            self._unfenced_ms = self._clock.epoch_us() // 1000
        self.stats.sessions += 1
        self.stats.session_open = True
        self.stats.phase = "snapshot"
        self._put(SessionOpened())

    def snapshot_part(self) -> None:
        """A part after the snapshot was taken to be complete: what is missing is judged that much later."""
        self._absence.put_off()

    def snapshot_completed(self, rows: Mapping[str, int]) -> None:
        """The snapshot is as complete as can be known."""
        self.stats.phase = "live"
        self._completed_ms = self._clock.epoch_us() // 1000
        self._absence.begin()
        self._put(SnapshotCompleted(rows))
        self._logger.info(
            "snapshot_completed",
            rows=sum(rows.values()),
            types=len(rows),
            seconds=round(self._clock.monotonic() - self._session_began, 3),
        )

    def _absence_is_due(self) -> None:
        self._put(AbsenceDue(self._completed_ms))

    # Pressure

    def _overflow(self) -> None:
        """No room: the session is lost, its backlog with it, and a new one begins when there is room again."""
        self._give_up(SessionLost("overflow", self._channel.refusal), refused=1)

    def _lose(self, reason: str) -> None:
        """Frames that waited cannot be had again: the same, from the first that waits."""
        self._give_up(SessionLost("overflow", reason))

    def _give_up(self, lost: SessionLost, *, refused: int = 0) -> None:
        """Drop the backlog and, if a session has synced, that session; events are missing from the first frame on.

        Args:
            refused: frames that the channel did not take.
        """
        dropped = self._channel.drop()
        self._audits.interrupt()
        self._logger.error(
            "session_given_up", cause=lost.cause, dropped_frames=dropped.frames + refused, dropped_bytes=dropped.bytes
        )
        if self._opened and self._conversation is not None:
            self._absence.forget()
            ended = SessionEnded(lost.cause, None, lost.reason, self._conversation.heard_us // 1000)
            self._put(ended.cut(dropped.first_us // 1000, dropped.latest + refused) if dropped.frames else ended)
            self._opened = False
            self._conversation.give_up(lost)

    def _pause(self) -> None:
        if self._conversation is not None:
            self._conversation.pause()

    def _resume(self) -> None:
        if self._conversation is not None:
            self._conversation.resume()

    def _put(self, what: What) -> None:
        self._channel.put(Note(what, self._clock.epoch_us() // 1000))


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first single exception in a group of groups."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
