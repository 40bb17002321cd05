"""The session rolls at 16:00: once while the bridge watches, with the session's events sent again, and once unseen."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from bridge.changes.roll import REST_MS
from bridge.devkit.stage import Plan
from bridge.entities.catalogue import CATALOGUE
from bridge.kafka.names import TopicNames
from bridge.kafka.statelog import Head, read_value
from bridge.oracle.content import canonical
from bridge.oracle.decode import Decoder
from bridge.oracle.ledger import fetch
from bridge.oracle.records import Key, Record, Truth
from tests.integration.bridge.scene import QUICK, Bridge, Scene, until
from tests.integration.reading import read_topics
from tests.scenarios import exchange
from tests.scenarios.common import MOST_S, state
from tests.scenarios.registry import Figures, Ground, scenario
from tests.scenarios.session import OF_SESSION, Contents, Reading, Sent, Topics, archived, flagged, place, sent_again

NOON_S = 4 * 3600.0
"""So long before the roll nothing is near it."""


@dataclass(frozen=True, slots=True)
class Size:
    """The world, how much is traded in it, and how long before 16:00 the first bridge starts, seconds."""

    shards: int
    accounts: int
    steps: int
    before_s: float


FULL, SMALL = Size(4, 400, 1_500, 45.0), Size(2, 12, 40, 8.0)


class Day:
    """What happens to a bridge and its topics, step by step."""

    def __init__(self, made: Scene, size: Size, topics: Topics, states: Reading) -> None:
        self.made, self.size, self.topics = made, size, topics
        self._states = states
        self._judged = [0] * size.shards

    async def begin(self, rolls_at_s: float) -> Bridge:
        """A bridge whose exchange rolls at that moment; returns when its first snapshot was judged."""
        before = await self.judged()
        self.made.variables.update(exchange.rolling_at(rolls_at_s))
        bridge = self.made.start(module=exchange.MODULE)
        await self.decided(before)
        return bridge

    async def reconnect(self) -> None:
        """New sessions of all shards; returns when what their snapshots lack was judged."""
        before, fired = await self.judged(), (await self.made.faults()).get("drop", 0)
        for shard in range(self.size.shards):
            await self.made.arm("drop", remainder=shard)
        await self.made.fired("drop", fired + self.size.shards)
        await self.decided(before)

    async def judged(self) -> list[int]:
        """When the snapshot was complete that each shard has judged last, epoch milliseconds."""
        for record in await self._states.more():
            value = None if record.value is None else read_value(record.value)
            if isinstance(value, Head):
                self._judged[record.partition] = value.judged_ms or 0
        return list(self._judged)

    async def decided(self, before: list[int]) -> None:
        async def look() -> bool:
            await asyncio.sleep(0.2)  # it reads a topic
            return all(now > then for now, then in zip(await self.judged(), before, strict=True))

        await until(look, "what the snapshots lack has been judged", MOST_S)

    async def told(self, event: str) -> list[dict[str, Any]]:
        """The records of an event."""
        decoder = Decoder()
        found = await read_topics(self.made.bootstrap, TopicNames(self.made.prefix).events)
        values = [await decoder.value(record.value) for record in found]
        return [value for value in values if value["event"] == event]

    async def alive(self) -> Contents:
        """The session's entities as the simulated world has them."""
        lines = [x for x in await state(self.made) if x["type"] in OF_SESSION]
        return {(x["type"], x["id"]): canonical(x["entity"]) for x in lines}

    async def right(self) -> list[Record]:
        """Wait until the topics have come to just that; what is new in them."""
        news = await self.topics.news()

        async def look() -> bool:
            news.extend(await self.topics.news())
            return self.topics.contents == await self.alive()

        await until(look, "the session's entities in the topics are those of the world", MOST_S)
        return news

    async def again(self, bridge: Bridge, already: int) -> list[Sent]:
        """The world rolls, and sends again first all that has happened since it had `already` versions.

        Returns what was flagged: all that had to be, and nothing else.
        """
        before, since_us = dict(self.topics.contents), time.time_ns() // 1000
        await self.roll(len((await self.truth()).versions) - already)
        expected = sent_again(await self.truth(), since_us, before)
        news: list[Record] = []

        async def look() -> bool:
            news.extend(record for record in await self.topics.news() if record.entity_type in OF_SESSION)
            return len(news) >= len(expected)

        await until(look, f"{len(expected)} changes that were sent again are published", MOST_S)
        await bridge.drained()
        found = sorted(news, key=place)  # topics are not read all at the same moment
        assert [(record.partition, record.key, record.after) for record in found] == expected
        assert all(map(flagged, found)), "sent again and not flagged"
        return expected

    async def truth(self) -> Truth:
        return await fetch(self.made.stage.control_url)

    async def roll(self, resend: int = 0) -> None:
        """The simulated world rolls; it may send its latest events again first."""
        await self.made.control("POST", "roll", {"resend": resend})


@scenario("roll", "Roll the session at 16:00, with its events sent again, and while the bridge is away", minutes=3)
async def play(ground: Ground) -> Figures:
    """Archived and never deleted; what is sent again is flagged, nothing else is, and does not come back for good."""
    size = SMALL if ground.small else FULL
    settings = {**QUICK, "snapshot.delete_quiet_s": "0.5", "audit.interval_s": "0"}
    plan = Plan(
        shards=size.shards, registry=False, folder=ground.folder, kafka=ground.kafka, prefix=ground.prefix,
        simulator={"accounts": str(size.accounts), "deletes": "0"}, settings=settings,
    )  # fmt: skip
    async with Scene(plan) as made, staged(made, size) as day:
        figures = await watched(day) | await missed(day)
        assert not await day.told("deletes_held") + await day.told("deletes_inferred")
        report = await made.judged_ok()
        return {
            **figures, "envelopes": day.topics.envelopes, "deletes": 0, "kept_of_other_types": len(day.topics.others),
            "certificates_that_agree": report.certificates,
        }  # fmt: skip


@asynccontextmanager
async def staged(made: Scene, size: Size) -> AsyncIterator[Day]:
    """Topics, and their readers."""
    await made.create_topics()
    names = TopicNames(made.prefix)
    async with Reading(made, map(names.entity, CATALOGUE)) as entities, Reading(made, [names.state]) as states:
        yield Day(made, size, Topics(made.prefix, entities), states)


async def watched(day: Day) -> dict[str, Any]:
    """The bridge is there at 16:00, and some of what was archived comes once more after that."""
    rolls_at_s = time.time() + day.size.before_s
    bridge = await day.begin(rolls_at_s)
    already = len((await day.truth()).versions)
    await day.made.step(day.size.steps)
    assert not any(map(flagged, await day.right())), "flagged before anything was sent again"
    old = dict(day.topics.contents)
    first = await day.again(bridge, already)
    assert day.topics.contents == old, "what was sent again ends where it was"
    await day.reconnect()
    too_early, was_early = archived(await day.topics.news()), time.time() < rolls_at_s
    await until(lambda: past(rolls_at_s), "16:00", MOST_S)
    await day.reconnect()
    gone = too_early + archived(await day.topics.news())
    assert gone == Counter(old.keys()), "all that the world has archived, each once"
    await told(day, gone, rolls_at_s)
    second = await day.again(bridge, already)
    back = {key: old[key] for _, key, _ in second}
    assert day.topics.contents == back, "what was archived is back"
    await day.reconnect()
    assert archived(await day.topics.news()) == Counter(back.keys()), "and is archived again"
    await day.right()
    assert (await bridge.stop())[0] == 0
    return {
        **{f"archived_{name}": count for name, count in sorted(by_type(gone).items())},
        "reconnected_before_16:00_too": was_early, "flagged": len(first), "came_back_flagged": len(second),
        "archived_again": len(back),
    }  # fmt: skip


async def told(day: Day, gone: Counter[Key], rolls_at_s: float) -> None:
    """Records tell of all that was archived, and of none before 16:00."""
    found = await day.told("archived")
    assert sum((Counter(event["counts"]) for event in found), Counter()) == by_type(gone)
    assert min(event["ts_ms"] for event in found) >= round(1000 * rolls_at_s), "archived before the session has rolled"


async def missed(day: Day) -> dict[str, Any]:
    """The bridge is away when the session rolls, and comes back when the rest is over."""
    bridge = await day.begin(time.time() + NOON_S)
    assert not await day.topics.news(), "nothing has changed since the evening"
    await day.made.step(day.size.steps)
    await day.right()
    await bridge.drained()
    old = dict(day.topics.contents)
    assert (await bridge.stop())[0] == 0
    rest_ends_s = time.time()
    await day.roll()
    await day.made.step(day.size.steps)
    await day.begin(rest_ends_s - REST_MS / 1000)
    news = await day.right()
    created = [record for record in news if record.entity_type in OF_SESSION and not record.archived]
    assert Counter(record.key for record in created) == Counter((await day.alive()).keys()), "each new one once"
    assert {(record.op, record.source and record.source.snapshot) for record in created} == {("c", "reconcile")}
    assert not any(map(flagged, news))
    gone = archived([record for record in news if record.archived])
    assert gone == Counter(old.keys())
    return {"archived_next_morning": gone.total(), "created_next_morning": len(created)}


def by_type(keys: Iterable[Key]) -> Counter[str]:
    return Counter(name for name, _ in keys)


async def past(at_s: float) -> bool:
    return time.time() >= at_s
