"""Snapshots that lack something, in every way that we know of: what is missing is held, and deleted only on proof."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from bridge.devkit.stage import Plan
from bridge.kafka.statelog import HELD, Head, read_key, read_value
from bridge.oracle.decode import Decoder
from bridge.oracle.reader import read_all
from tests.integration.bridge.scene import QUICK, Bridge, Scene, until
from tests.integration.reading import read_topics
from tests.scenarios.reconcile import world
from tests.scenarios.registry import Figures, Ground, scenario

TYPE = "userAccountAutoLiq"
UNKNOWN = {"gap_invented", "gap_unannounced"}
"""The judge does not know sockets that ask for some users or accounts, so it misses them between the others."""


@dataclass(frozen=True, slots=True)
class Size:
    """How long a snapshot may be quiet, how late parts come (seconds), and how many keys really vanish."""

    accounts: int
    quiet_s: float
    delete_quiet_s: float
    late_s: float
    later_s: float
    vanish: int


FULL, SMALL = Size(500, 2.0, 30.0, 3.0, 20.0, 300), Size(60, 0.3, 0.8, 0.5, 0.6, 40)


class Case:
    """One bridge of one shard, whose server shows its snapshots in odd ways."""

    def __init__(self, made: Scene, bridge: Bridge) -> None:
        self.made, self.bridge = made, bridge
        self.figures: dict[str, Any] = {}
        self._held: Counter[str] = Counter()

    async def reconnect(self, kind: str | None = None, **args: Any) -> None:
        """A new session, whose snapshot is as a fault makes it; returns when what it lacks has been judged."""
        before = await self.judged()
        if kind is not None:
            await self.made.arm(kind, **args)
        await self.made.arm("drop")
        await self.decided(before)

    async def decided(self, before: int) -> None:
        async def look() -> bool:
            await asyncio.sleep(0.2)  # it reads a topic
            return await self.judged() > before

        await until(look, "what the snapshot lacks has been judged", 120.0)

    async def judged(self) -> int:
        """When the snapshot was complete that has been judged last, epoch milliseconds."""
        return max((head.judged_ms or 0 for head in (await self.state())[1]), default=0)

    async def state(self) -> tuple[Counter[str], list[Head]]:
        """What the shard's state holds back, by type, and all its heads."""
        held: dict[tuple[str, int], bool] = {}
        heads: list[Head] = []
        for record in await read_topics(self.made.bootstrap, f"{self.made.prefix}.bridge.state"):
            name, number = read_key(record.key)
            value = None if record.value is None else read_value(record.value)
            if isinstance(value, Head):
                heads.append(value)
            elif name.startswith(HELD):
                held[name.removeprefix(HELD), number] = value is not None
        return Counter(name for (name, _), holds in held.items() if holds), heads

    async def told(self, event: str) -> list[tuple[str | None, Mapping[str, int]]]:
        """Cause and counts of the records of an event."""
        decoder = Decoder()
        found = await read_topics(self.made.bootstrap, f"{self.made.prefix}.bridge.events")
        values = [await decoder.value(record.value) for record in found if record.value is not None]
        return [(value["cause"], value["counts"]) for value in values if value["event"] == event]

    async def held(self, *, nothing: bool = False) -> Counter[str]:
        """What is held, when the metric, the state and the status page agree (and on nothing, if that is expected)."""

        async def look() -> bool:
            self._held, said = (await self.state())[0], await self._said()
            return [self._held, self._held] == said and not (nothing and self._held)

        await until(look, f"all say the same of what is held, nothing: {nothing}")
        return self._held

    async def _said(self) -> list[Counter[str]]:
        lines = (await self.bridge.get("/metrics"))[1].splitlines()
        metric: Counter[str] = Counter()
        for line in lines:
            if line.startswith("syncbridge_deletes_held{"):
                metric[line.split('entity_type="')[1].split('"')[0]] += round(float(line.split()[-1]))
        return [+metric, Counter((await self.bridge.shards())[0]["deletes_held"])]

    async def deleted(self) -> int:
        """Deletions that were published."""
        records, _ = await read_all(self.made.bootstrap, self.made.prefix, Decoder())
        return sum(record.op == "d" for record in records)

    async def shows(self, cause: str, name: str) -> None:
        """Something is held for this cause: in the state, the metric, a record and a line of the log."""
        held = await self.held()
        assert held, f"{name}: nothing is held"
        assert (cause, dict(held)) in await self._summed(), name
        await until(lambda: self.logged(cause), f"{name} stands in the log")
        assert not await self.deleted(), name
        self.figures[name] = sum(held.values())

    async def logged(self, cause: str) -> bool:
        """Whether a line of the log tells of it."""
        return any(line["cause"] == cause for line in self.bridge.log("deletes_held"))

    async def shows_nothing(self, name: str) -> None:
        """Nothing is held any more, and nothing was deleted."""
        await self.held(nothing=True)
        assert not await self.deleted(), name
        self.figures[name] = 0

    async def _summed(self) -> list[tuple[str | None, Mapping[str, int]]]:
        """Records of one judgement name one type each; those of the last one together."""
        told = await self.told("deletes_held")
        latest = told[-1][0]
        counts: Counter[str] = Counter()
        for cause, some in reversed(told):
            if cause != latest:
                break
            counts.update(some)
        return [(latest, dict(counts))]


@scenario(
    "brake",
    "Show snapshots that are empty, short, cut off, late or narrower: nothing is deleted without proof",
    minutes=10,
)
async def play(ground: Ground) -> Figures:
    """Held on doubt, let go when seen again, kept over a crash, deleted when another snapshot agrees."""
    size = SMALL if ground.small else FULL
    async with staged(ground, size) as case:
        made, bridge = case.made, case.bridge
        before = {number for name, number in await world(made) if name == TYPE}
        await case.reconnect("list_lost", type=TYPE, form="empty")
        await case.shows("empty_list", "empty_list")
        await case.reconnect("part_delay", seconds=size.late_s, skip=1)
        await case.shows_nothing("a_late_part")
        await case.reconnect("list_lost", type=TYPE, form="absent")
        await case.shows_nothing("a_missing_list")
        if not ground.small:
            await case.reconnect("list_lost", type=TYPE, form="null")
            await case.shows_nothing("a_null_list")
        await case.reconnect("list_short", type=TYPE, keep=len(before) // 3)
        await case.shows("share", "a_short_list")
        await case.reconnect("snapshot_cut", parts=3)
        await case.shows("incomplete", "cut_off")
        if not ground.small:
            await case.reconnect("part_delay", seconds=size.later_s, skip=2)
            await case.shows_nothing("a_later_part")
        await vanish(made, sorted(before)[: size.vanish])
        await case.reconnect()
        await case.shows("share", "really_gone")
        await bridge.process.child.kill()
        users = sorted(number for name, number in await world(made) if name == "user")
        await narrowed(case, {"source__users": str(users[:1])}, "narrower_users")
        if not ground.small:
            accounts = sorted(number for name, number in await world(made) if name == "account")
            await narrowed(case, {"source__accounts": str(accounts[:1])}, "narrower_accounts")
            await narrowed(case, {"source__entity_types": '["account","user","cashBalance"]'}, "narrower_types")
        return await agreed(case, size)


@asynccontextmanager
async def staged(ground: Ground, size: Size) -> AsyncIterator[Case]:
    """A world, and a bridge that has taken its first snapshot."""
    settings = {
        **QUICK, "snapshot.quiet_s": str(size.quiet_s), "snapshot.delete_quiet_s": str(size.delete_quiet_s),
        "sharding.divisor": "1", "audit.interval_s": "0",
    }  # fmt: skip
    plan = Plan(
        shards=1, registry=False, folder=ground.folder, kafka=ground.kafka, prefix=ground.prefix,
        simulator={"accounts": str(size.accounts), "deletes": "0", "split": "A", "parts": "4"}, settings=settings,
    )  # fmt: skip
    async with Scene(plan) as made:
        await made.create_topics()
        bridge = await made.start().ready()
        case = Case(made, bridge)
        await case.decided(0)
        yield case


async def vanish(made: Scene, numbers: list[int]) -> None:
    """Entities are deleted, and the frames that say so are lost."""
    await made.arm("frame_drop", times=len(numbers))
    for number in numbers:
        await made.control("POST", "inject", {"entityType": TYPE, "eventType": "Deleted", "entity": {"id": number}})
    await made.fired("frame_drop", len(numbers))


async def narrowed(case: Case, settings: Mapping[str, str], name: str) -> None:
    """A bridge that asks for less: what it does not see says nothing, and what is held stays held."""
    held = (await case.state())[0]
    before = await case.judged()
    case.bridge = await case.made.start(**settings).ready()
    await case.decided(before)
    assert await case.held() == held, name
    assert not await case.deleted(), name
    case.figures[name] = sum(held.values())
    await case.bridge.process.child.kill()


async def agreed(case: Case, size: Size) -> Figures:
    """Another whole snapshot lacks the same: now they are deleted, and the final state is right."""
    made, gone = case.made, (await case.state())[0][TYPE]
    assert gone == size.vanish
    before = await case.judged()
    case.bridge = await made.start().ready()
    await case.decided(before)
    await case.held(nothing=True)
    assert await case.deleted() == gone
    assert (await case.told("deletes_inferred"))[-1] == ("agreed", {TYPE: gone})
    await case.bridge.drained()
    report = await made.judge()
    assert set(report.wrong) <= UNKNOWN, report.offences[:5]
    return {**case.figures, "deleted_when_agreed": gone, "certificates_that_agree": report.certificates}
