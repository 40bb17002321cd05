"""Load: frames encoded beforehand and patched in place, so that the simulator is never the bottleneck. Pure.

A stream cycles over a fixed set of entities. Each event differs from all others by a counter and by the time at which
its frame was written, so no client may take one for a repetition, and every version can be computed afterwards.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

from bridge.simulator.population import Account
from bridge.simulator.store import FIRST_LOAD_ID, Change
from bridge.simulator.values import stamp

COUNTER = 100_000_000
"""Counters have nine digits from here on, so that they can be written over each other."""

_TIME = b"2000-01-01T00:00:00.000Z"
_TYPES = ("order", "fill", "position", "cashBalance", "marginSnapshot")

_TEMPLATES: dict[str, bytes] = {
    "order": b'{"id":%d,"accountId":%d,"contractId":560901,"timestamp":"%s","action":"Buy","ordStatus":"Working",'
    b'"executionProviderId":%d,"archived":false,"external":false,"admin":false}',
    "position": b'{"id":%d,"accountId":%d,"contractId":560901,"timestamp":"%s","tradeDate":{"year":2026,"month":8,'
    b'"day":18},"netPos":3,"bought":5,"boughtValue":%d.25,"sold":2,"soldValue":15520.5,"prevPos":0}',
    "cashBalance": b'{"id":%d,"accountId":%d,"timestamp":"%s","tradeDate":{"year":2026,"month":8,"day":18},'
    b'"currencyId":1,"amount":%d.75,"realizedPnL":120.5,"weekRealizedPnL":310.25}',
    "fill": b'{"id":%d,"orderId":%d,"contractId":560901,"timestamp":"%s","tradeDate":{"year":2026,"month":8,"day":18},'
    b'"action":"Sell","qty":2,"price":%d.5,"active":true,"finallyPaired":1,"external":false}',
    "marginSnapshot": b'{"id":%d,"riskTimePeriodId":%d,"timestamp":"%s","initialMargin":%d.0,'
    b'"maintenanceMargin":11880.5,"totalUsedMargin":13200.0,"fullInitialMargin":13200.0,'
    b'"positionMargin":13200.0,"totalUsedFullMargin":13200.0}',
}


@dataclass(frozen=True, slots=True)
class Key:
    """One entity of the load."""

    entity_type: str
    id: int
    account_id: int
    user_id: int

    def version(self, number: int, counter: int, at_ms: int) -> Change:
        """The entity as a change."""
        content = self.json(counter, at_ms)
        return Change(number, at_ms, self.entity_type, "Updated", self.id, self.account_id, self.user_id, content)

    def json(self, counter: int, at_ms: int) -> bytes:
        """The entity's content with a counter and a time in it."""
        second = {"fill": FIRST_LOAD_ID, "marginSnapshot": 1}.get(self.entity_type, self.account_id)
        return _TEMPLATES[self.entity_type] % (self.id, second, stamp(at_ms).encode(), COUNTER + counter)


def keys(accounts: list[Account], types: frozenset[str] | None, count: int, shard: int) -> list[Key]:
    """`count` entities of the usual mix, spread over the accounts of one shard.

    Raises:
        ValueError: none of the types of the mix is wanted, or the shard has no accounts.
    """
    mix = [t for t in _TYPES if types is None or t in types]
    if not mix or not accounts:
        raise ValueError(f"load needs a shard with accounts and one of the types {', '.join(_TYPES)}")
    first = FIRST_LOAD_ID + shard * 10_000_000
    return [Key(mix[n % len(mix)], first + n, *_owner(accounts[n % len(accounts)])) for n in range(count)]


def _owner(account: Account) -> tuple[int, int]:
    return account.id, account.user_id


def websocket_frame(payload: bytes) -> bytes:
    """A text message of a server as one WebSocket frame (RFC 6455, section 5.2)."""
    size = len(payload)
    if size < 126:
        return b"\x81" + size.to_bytes(1, "big") + payload
    if size < 1 << 16:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


@dataclass(slots=True)
class _Template:
    """A frame with the places to write over: (time, counter) for each event."""

    data: bytearray
    places: list[tuple[int, int]]


def _template(some: list[Key]) -> _Template:
    marks = []
    messages = []
    for key in some:
        head = b'{"e":"props","d":{"entityType":"%s","eventType":"Updated","entity":' % key.entity_type.encode()
        body = key.json(0, 946_684_800_000)
        marks.append((len(head) + body.index(_TIME), len(head) + body.index(b"%d" % COUNTER)))
        messages.append(head + body + b"}}")
    data = bytearray(websocket_frame(b"a[" + b",".join(messages) + b"]"))
    start = data.index(b"a[") + 2
    places = []
    for (time_at, counter_at), message in zip(marks, messages, strict=True):
        places.append((start + time_at, start + counter_at))
        start += len(message) + 1
    return _Template(data, places)


@dataclass(slots=True)
class LoadStream:
    """The load on one socket.

    Attributes:
        keys: the entities, used in turn.
        per_frame: events a frame; the number of keys is a multiple of it.
        base: number of the version before the first of this stream.
        count: events written so far.
        batches: for each write, number of events before it, time in its events (ms) and when it was written (us).
    """

    keys: list[Key]
    per_frame: int
    base: int
    count: int = 0
    batches: list[tuple[int, int, int]] = field(default_factory=list)
    _frames: list[_Template] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.keys or len(self.keys) % self.per_frame:
            raise ValueError("the number of keys is a multiple of the events a frame")
        for first in range(0, len(self.keys), self.per_frame):
            self._frames.append(_template(self.keys[first : first + self.per_frame]))

    def take(self, frames: int, now_us: int) -> bytes:
        """The next frames, ready to be written now."""
        time = stamp(now_us // 1000).encode()
        self.batches.append((self.count, now_us // 1000, now_us))
        written = []
        templates, total = self._frames, len(self._frames)
        counter = COUNTER + self.count
        for number in range(self.count // self.per_frame, self.count // self.per_frame + frames):
            template = templates[number % total]
            data = template.data
            for time_at, counter_at in template.places:
                data[time_at : time_at + 24] = time
                data[counter_at : counter_at + 9] = b"%d" % counter
                counter += 1
            written.append(bytes(data))
        self.count += frames * self.per_frame
        return b"".join(written)

    def changes(self) -> Iterator[Change]:
        """Every version of this stream."""
        return (self._change(j) for j in range(self.count))

    def final(self) -> Iterator[Change]:
        """The last version of each entity that was sent at all."""
        return (self._change(j) for j in range(max(0, self.count - len(self.keys)), self.count))

    def deliveries(self) -> Iterator[tuple[int, int]]:
        """Number and time of writing (us) of every event."""
        for (first, _, sent), after in zip(self.batches, [*self.batches[1:], (self.count, 0, 0)], strict=True):
            for j in range(first, after[0]):
                yield self.base + 1 + j, sent

    def _change(self, j: int) -> Change:
        key = self.keys[j % len(self.keys)]
        at_ms = self.batches[bisect_right(self.batches, j, key=lambda b: b[0]) - 1][1]
        return key.version(self.base + 1 + j, j, at_ms)
