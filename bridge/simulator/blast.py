"""Sends prepared load to the synced sockets, all at once or at a pace."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bridge.simulator.connection import Connection
from bridge.simulator.link import now_us
from bridge.simulator.load import Key, LoadStream, keys
from bridge.simulator.sharding import wants
from bridge.simulator.store import Change

if TYPE_CHECKING:
    from bridge.simulator.server import Simulator

_WRITE_EVENTS = 2000
"""Events in one write at full speed: some 600 kB, a few milliseconds of work."""

_PAUSE_S = 0.001
"""Between writes at a pace; else at a high one each frame would be a write of its own, and we the bottleneck."""

_SPACE = 1 << 40
"""Version numbers set aside for each stream, since nobody knows beforehand how many it will use."""


async def blast(simulator: Simulator, events: int, per_frame: int, rate: float, count: int) -> dict[str, Any]:
    """Runs the load on every synced socket; see `Simulator.load`.

    Raises:
        ValueError: a number that makes no sense.
    """
    if min(events, per_frame, count) < 1 or rate < 0:
        raise ValueError("events, per_frame and keys are positive, rate is not negative")
    sockets = _newest(simulator)
    chosen = [_keys(simulator, c, -(-count // per_frame) * per_frame) for c in sockets]
    for some in chosen:
        await _create(simulator, some)
    streams = []
    for some in chosen:
        streams.append(LoadStream(some, per_frame, simulator.world.store.set_aside(_SPACE)))
        await asyncio.sleep(0)
    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for connection, stream in zip(sockets, streams, strict=True):
            group.create_task(_run(connection, stream, -(-events // per_frame), rate))
    seconds = time.perf_counter() - started
    for number, change in enumerate(change for stream in streams for change in stream.final()):
        simulator.adopt(change, send=False)
        await _now_and_then(number)
    return {"events": sum(s.count for s in streams), "seconds": seconds, "sockets": len(sockets)}


def _newest(simulator: Simulator) -> list[Connection]:
    """The synced sockets, but of several for one shard the newest only: two would show different versions."""
    shards: dict[tuple[str | None, int, int], Connection] = {}
    for connection in simulator.connections.values():
        if connection.log is not None and not connection.silent:
            sub = connection.log.subscription
            shards[sub.expression, sub.divisor, sub.remainder] = connection
    return list(shards.values())


def _keys(simulator: Simulator, connection: Connection, count: int) -> list[Key]:
    if connection.log is None:
        raise ValueError("the socket has not synced")
    sub = connection.log.subscription
    everything = replace(sub, types=None)
    mine = []
    for account in simulator.world.accounts:
        probe = Change(0, 0, "order", "Updated", account.id, account.id, account.user_id, b"")
        if wants(everything, probe, simulator.options):
            mine.append(account)
    return keys(mine, sub.types, count, connection.remainder or 0)


async def _create(simulator: Simulator, chosen: list[Key]) -> None:
    """The entities of the load must be there before they change."""
    for number, key in enumerate(chosen):
        if simulator.world.store.get(key.entity_type, key.id) is None:
            simulator.adopt(key.version(0, 0, now_us() // 1000), send=True)
        await _now_and_then(number)


async def _now_and_then(number: int) -> None:
    """Let others run: of many entities each takes its time, and heartbeats must go on."""
    if number % _WRITE_EVENTS == 0:
        await asyncio.sleep(0)


async def _run(connection: Connection, stream: LoadStream, frames: int, rate: float) -> None:
    if connection.log is not None:
        connection.log.load.append(stream)
    batch = max(1, _WRITE_EVENTS // stream.per_frame)
    begun = time.perf_counter()
    done = 0
    while done < frames and not connection.ended:
        if rate:
            due = int((time.perf_counter() - begun) * rate / stream.per_frame) + 1 - done
            if due < 1:
                await asyncio.sleep(stream.per_frame / rate)
                continue
            batch = due
        number = min(batch, frames - done)
        connection.write(stream.take(number, now_us()))
        done += number
        await connection.drain()
        await asyncio.sleep(_PAUSE_S if rate else 0)
