"""What a shard needs from outside, as small Protocols; the composition root hands in the real things."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from bridge.errors import SessionLost
from bridge.kafka.envelope import Archived, Records
from bridge.kafka.statelog import KeyFraming, OnEntity, Restored


class Log(Protocol):
    """The shard's partition in Kafka."""

    fencing: bool

    async def start(self) -> None:
        """Make a producer; fences the former owner if `fencing`."""

    async def read_framing(self) -> KeyFraming | None:
        """How the shard's keys have been framed so far; None if it has none."""

    async def check(self) -> None:
        """Raise KafkaUnusable if a topic of the latest transaction cannot take it any more."""

    async def read_head(self) -> Restored:
        """The newest committed head."""

    async def restore(self, on_entity: OnEntity) -> Restored:
        """All committed state."""

    async def ends(self) -> Mapping[str, int]:
        """Offsets at which the shard's partitions of the topics end, by topic."""

    async def commit(
        self, batches: Mapping[str, Records], timestamp_ms: int, archived: Mapping[str, Archived] | None = None
    ) -> None:
        """Write one transaction, or raise OutcomeUnknown."""

    async def close(self) -> None:
        """End the producer, within a bounded time."""


class Listener(Protocol):
    """Told what a conversation with the broker brings; every method returns at once."""

    def data(self, raw: bytes, messages: list[Any], arrived_us: int) -> None:
        """A frame with data has arrived."""

    def straight(self, frames: list[bytes], start: int, arrived_us: int) -> int:
        """Frames have arrived that nobody has read; how many were taken, from `start` on, one after the other.

        None is taken that holds anything but `props` events; `data` brings it instead, unless it is for the session.
        """

    def synced(self) -> None:
        """The syncrequest has gone out."""

    def snapshot_part(self) -> None:
        """A part of the snapshot has arrived."""

    def snapshot_completed(self, rows: Mapping[str, int]) -> None:
        """The snapshot is taken to be complete."""


class Conversation(Protocol):
    """One socket session with the broker."""

    async def run(self) -> SessionLost:
        """Connect, authorise, sync when allowed, listen until the end; says why it ended."""

    def allow_sync(self) -> None:
        """The fence in Kafka stands: the syncrequest may go out."""

    def pause(self) -> None:
        """Stop reading for a moment."""

    def resume(self) -> None:
        """Read again."""

    def give_up(self, lost: SessionLost) -> None:
        """End the session for a reason of ours, with a proper close."""

    @property
    def heard_us(self) -> int:
        """When the server was heard last, epoch microseconds; 0 if never."""


class Source(Protocol):
    """Opens conversations for one shard."""

    def converse(self, listener: Listener) -> Conversation:
        """A new conversation, not yet begun."""

    def delay(self, lost: SessionLost, useful: bool) -> float:
        """Seconds to wait before the next conversation."""


class Spares(Protocol):
    """Opens conversations on sockets that the shards do not need."""

    def hindrance(self) -> str | None:
        """Why there should be none now, a short word; None if there may be one."""

    def converse(self, listener: Listener) -> Conversation:
        """A new conversation, not yet begun."""


class Clock(Protocol):
    """Both clocks; handed in so that tests can own time."""

    def monotonic(self) -> float:
        """Seconds, for intervals."""

    def epoch_us(self) -> int:
        """Microseconds since 1970, for records."""


Random = Callable[[], float]
"""Gives a number in [0, 1)."""
