"""The broker changes what it sends, in two dozen ways."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import fastavro
import orjson

from bridge.devkit.stage import Plan
from bridge.entities import schemas
from bridge.oracle.content import canonical
from bridge.oracle.decode import Decoder
from bridge.oracle.reader import read_all
from tests.integration.bridge.scene import QUICK, Bridge, Scene
from tests.integration.reading import read_topics
from tests.scenarios.reconcile import world
from tests.scenarios.registry import Figures, Ground, scenario

MINE = 6_000_000_000_000
"""Ids from here on are of this scenario."""
TIMES = 3
"""Each mutation comes so often, and must be told once."""
Entity = dict[str, Any]
Met = tuple[str, str]
SINGLE_OBJECT_BYTES = 10


@dataclass(frozen=True, slots=True)
class Mutation:
    """One way in which the wire changes.

    Attributes:
        change: an entity as it was and how often it came before -> as it is now.
        met: (name as in `unmapped`, kind) that must be told.
        proposed: what must be proposed for each of these names.
    """

    what: str
    entity_type: str
    change: Callable[[Entity, int], Entity]
    met: tuple[Met, ...] = ()
    proposed: Mapping[str, str | None] = field(default_factory=dict)


def put(name: str, *values: Any) -> Callable[[Entity, int], Entity]:
    """A field gets one value after the other."""
    return lambda entity, turn: {**entity, name: values[turn % len(values)]}


def without(entity: Entity, name: str) -> Entity:
    return {key: value for key, value in entity.items() if key != name}


def added(what: str, entity_type: str, name: str, proposed: str | None, *values: Any) -> Mutation:
    return Mutation(what, entity_type, put(name, *values), ((name, "unknown_field"),), {name: proposed})


def spoilt(what: str, entity_type: str, name: str, kind: str, *values: Any) -> Mutation:
    return Mutation(what, entity_type, put(name, *values), ((name, kind),), {name: None})


DAY = {"year": 2026, "month": 11, "day": 21}
MUTATIONS = (
    added("a text is added", "order", "venue", "string", "XCME", "2026-11-21T10:00:00Z"),
    added("an integer is added", "fill", "liquidity", "int64", 1, 2**40),
    added("a fraction is added", "position", "beta", "double", 1, 2.5),
    added("a truth value is added", "cashBalance", "frozen", "boolean", True, False),
    added("a moment is added", "account", "reviewedAt", "date-time", "2026-11-21T10:00:00.250Z"),
    added("a trade date is added", "orderVersion", "goodTill", "TradeDate", DAY),
    added("a time of day is added", "product", "settles", "TradeTime", {"hour": 16, "minute": 0}),
    added("an object is added", "order", "routing", None, {"via": {"name": "x"}, "hops": [1, None, 2.5]}),
    added("a list is added", "fill", "tags", None, ["a", "b"], []),
    added("values of no one type are added", "position", "mood", None, "calm", 3, True),
    added("a name that no schema can have is added", "order", "de-facto", None, 5),
    Mutation("a field is removed", "order", lambda entity, _: without(entity, "action")),
    Mutation("a field is null", "position", put("netPrice", None)),
    Mutation(
        "a field is renamed",
        "orderVersion",
        lambda entity, turn: {**without(entity, "orderQty"), "quantity": turn + 1},
        (("quantity", "unknown_field"),),
        {"quantity": "int64"},
    ),
    spoilt("an integer grows beyond 64 bits", "orderVersion", "maxShow", "out_of_range", 2**70, -(2**64)),
    spoilt("an integer becomes a fraction", "fill", "qty", "wrong_type", 1.5),
    spoilt("a number becomes a text", "cashBalance", "amount", "wrong_type", "12.50"),
    spoilt("a text becomes a number", "account", "name", "wrong_type", 5),
    spoilt("a moment is written otherwise", "order", "timestamp", "out_of_range", "2026-11-21 10:00"),
    spoilt("a number becomes an object", "position", "netPos", "wrong_type", {"value": 3}),
    Mutation(
        "a field within a field is added",
        "fill",
        put("tradeDate", {**DAY, "session": "night"}),
        (("/tradeDate/session", "unknown_field"),),
        {"/tradeDate/session": None},
    ),
    Mutation(
        "an enum has new symbols",
        "order",
        put("ordStatus", "Quarantined", "Thawed"),
        (("ordStatus", "unknown_symbol"),),
        {"ordStatus": "symbols"},
    ),
)
NEW_TYPE, NEW_LIST, TYPE_OF_LIST = "riskLimit", "marginCalls", "marginCall"


@scenario(
    "drift",
    "Change the wire in two dozen ways: nothing is lost, old readers go on, each change is told once",
    minutes=1,
)
async def play(ground: Ground) -> Figures:
    """Every value that was sent can be had back from Kafka; what has drifted is named, and can be mended."""
    plan = Plan(
        shards=2, registry=False, folder=ground.folder, kafka=ground.kafka, prefix=ground.prefix,
        simulator={"accounts": "20", "deletes": "0"}, settings=QUICK,
    )  # fmt: skip
    async with Scene(plan) as made:
        await made.create_topics()
        bridge = await made.start().ready()
        await made.step(60)
        await bridge.drained()
        sent = await mutate(made)
        await bridge.drained()
        records = await everything_is_there(made, sent)
        old = await old_readers_go_on(made)
        told = await each_is_told_once(made, bridge)
        proposed = await what_could_be_added(made)
        report = await made.judge()
        assert {fault for fault, count in report.wrong.items() if count} == {"invented"}, report.wrong
    return {
        "mutations": len(MUTATIONS) + 2,
        "entities_sent": len(sent) + 2 * TIMES,
        "recovered_from_kafka": records,
        "records_read_with_the_first_schema": old,
        "told": told,
        **proposed,
    }


async def mutate(made: Scene) -> dict[tuple[str, int], Entity]:
    """Send every mutation, in entities of their own that look like those of the world; what has been sent."""
    alive = await world(made)
    like = {entity_type: orjson.loads(one.content) for (entity_type, _), one in alive.items()}
    sent: dict[tuple[str, int], Entity] = {}
    for number, mutation in enumerate(MUTATIONS):
        for turn in range(TIMES):
            identity = MINE + number * 100 + turn
            entity = mutation.change({**like[mutation.entity_type], "id": identity}, turn)
            sent[mutation.entity_type, identity] = entity
            await frame(made, event(mutation.entity_type, entity))
    for turn in range(TIMES):
        await frame(made, event(NEW_TYPE, {"id": MINE + turn, "limit": turn}))
        await frame(made, {"s": 200, "i": 1, "d": {NEW_LIST: [{"id": MINE + turn, "call": turn}]}})
    return sent


def event(entity_type: str, entity: Entity) -> dict[str, Any]:
    return {"e": "props", "d": {"entityType": entity_type, "eventType": "Created", "entity": entity}}


async def frame(made: Scene, message: dict[str, Any]) -> None:
    raw = f"a[{json.dumps(message)}]"
    assert (await made.control("POST", "inject", {"frame": raw, "remainder": 0}))["sockets"] == 1


async def everything_is_there(made: Scene, sent: Mapping[tuple[str, int], Entity]) -> int:
    """Whatever was sent is in Kafka, value by value; new types and lists are in the topic for unknown things."""
    records, broken = await read_all(made.bootstrap, made.prefix, Decoder())
    assert not broken, broken[:3]
    found = {record.key: record.after for record in records if record.id >= MINE}
    assert found == {key: canonical(entity) for key, entity in sent.items()}
    decoder = Decoder()
    kept = await read_topics(made.bootstrap, f"{made.prefix}.bridge.unmapped")
    unmapped = [await decoder.value(record.value) for record in kept]
    assert {(u["entity_type"], u["list_name"], u["raw"]) for u in unmapped} == {
        *((NEW_TYPE, None, f'{{"id":{MINE + turn},"limit":{turn}}}') for turn in range(TIMES)),
        *((TYPE_OF_LIST, NEW_LIST, f'{{"call":{turn},"id":{MINE + turn}}}') for turn in range(TIMES)),
    }
    return len(found) + len(unmapped)


async def old_readers_go_on(made: Scene) -> int:
    """Every envelope can be read by a consumer that has only the first version of the schema."""
    count = 0
    for entity_type in sorted({mutation.entity_type for mutation in MUTATIONS}):
        writer, reader = (fastavro.parse_schema(schemas.envelope_schema(entity_type, v)) for v in (None, 1))
        for record in await read_topics(made.bootstrap, f"{made.prefix}.{entity_type}"):
            if record.value is None:
                continue
            body = io.BytesIO(record.value[SINGLE_OBJECT_BYTES:])
            value: Any = fastavro.schemaless_reader(body, writer, reader)
            assert value["after"] is None or isinstance(value["after"]["id"], int)
            count += 1
    return count


async def each_is_told_once(made: Scene, bridge: Bridge) -> int:
    """One record for each thing that has drifted, however often it came, and one time series."""
    decoder = Decoder()
    events = [await decoder.value(r.value) for r in await read_topics(made.bootstrap, f"{made.prefix}.bridge.events")]
    told = Counter((e["reason"], e["cause"]) for e in events if e["event"] == "drift")
    fields = {(f"{m.entity_type}.{name}", kind) for m in MUTATIONS for name, kind in m.met}
    types = {(NEW_TYPE, "unknown_type"), (TYPE_OF_LIST, "unknown_type")}
    assert told == Counter(fields | types)
    metrics = (await bridge.get("/metrics"))[1].splitlines()
    for mutation in MUTATIONS:
        for name, kind in mutation.met:
            labels = f'entity_type="{mutation.entity_type}",field="{name}",kind="{kind}"'
            series = [x for x in metrics if x.startswith("syncbridge_drift_seen_total{") and labels in x]
            assert [x.rpartition(" ")[2] for x in series] == [f"{TIMES}.0"], (labels, series)
    return len(told)


async def what_could_be_added(made: Scene) -> dict[str, int]:
    """`schemas drift` proposes what every reader survives, and says why the rest stays where it is."""
    outcome = await made.verb("schemas", "drift", "--json")
    assert outcome.status == 0, outcome.err
    (found,) = outcome.lines()
    assert found["unknown_types"] == [TYPE_OF_LIST, NEW_TYPE]
    wanted = {(m.entity_type, name): add for m in MUTATIONS for name, add in m.proposed.items()}
    shown = {(p["entity_type"], p["name"]): p["type"] or p["add"] for p in found["proposals"]}
    assert shown == wanted
    symbols = next(p for p in found["proposals"] if p["add"] == "symbols")
    assert (symbols["enum"], symbols["symbols"]) == ("OrdStatus", ["Quarantined", "Thawed"])
    added = sum(value is not None for value in wanted.values())
    return {"additions_proposed": added, "stay_in_unmapped": len(wanted) - added}
