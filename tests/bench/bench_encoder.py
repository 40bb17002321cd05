"""What encoding an entity costs, beside fastavro and beside decoding it: `python -m tests.bench.bench_encoder`.

CPU microseconds per entity, the best of several rounds over 2,000 different entities, on one core.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from io import BytesIO
from typing import Any

import fastavro
import orjson

from bridge.app.implementation import ENCODER
from bridge.entities.reference import Reference
from bridge.entities.schemas import value_schema

Entity = dict[str, Any]
COUNT, ROUNDS = 2000, 15


def _moment(r: random.Random) -> str:
    return f"2026-11-{r.randint(1, 28):02d}T{r.randint(0, 23):02d}:{r.randint(0, 59):02d}:12.{r.randint(0, 999):03d}Z"


def _day(r: random.Random) -> Entity:
    return {"year": 2026, "month": r.randint(1, 12), "day": r.randint(1, 28)}


def _head(r: random.Random) -> Entity:
    return {"id": r.randint(10**9, 9 * 10**11), "accountId": r.randint(10**6, 10**6 + 3000)}


def order(r: random.Random) -> Entity:
    """An order as the captures show it: 9 of its 14 fields, sometimes 11."""
    linked = (
        {"ocoId": r.randint(10**9, 9 * 10**11), "parentId": r.randint(10**9, 9 * 10**11)} if r.random() < 0.3 else {}
    )
    return {
        **_head(r),
        "contractId": r.randint(10**6, 10**6 + 200),
        "timestamp": _moment(r),
        "action": r.choice(["Buy", "Sell"]),
        "ordStatus": r.choice(["Working", "Filled", "Canceled", "PendingNew", "Rejected"]),
        "executionProviderId": r.randint(1, 20),
        **linked,
        "admin": False,
        "archived": False,
    }


def fill(r: random.Random) -> Entity:
    """A fill: 10 of its 11 fields."""
    return {
        "id": r.randint(10**9, 9 * 10**11),
        "orderId": r.randint(10**9, 9 * 10**11),
        "contractId": r.randint(10**6, 10**6 + 200),
        "timestamp": _moment(r),
        "tradeDate": _day(r),
        "action": r.choice(["Buy", "Sell"]),
        "qty": r.randint(1, 50),
        "price": r.randint(16000, 24000) / 4,
        "active": True,
        "finallyPaired": r.randint(0, 50),
    }


def position(r: random.Random) -> Entity:
    """A position: 12 or 13 of its 13 fields."""
    entity = {
        **_head(r),
        "contractId": r.randint(10**6, 10**6 + 200),
        "timestamp": _moment(r),
        "tradeDate": _day(r),
        "netPos": r.randint(-50, 50),
        "netPrice": r.randint(16000, 24000) / 4,
        "bought": r.randint(0, 99),
        "boughtValue": r.randint(16000, 2400000) / 4,
        "sold": r.randint(0, 99),
        "soldValue": r.randint(16000, 2400000) / 4,
        "prevPos": r.randint(-5, 5),
    }
    return entity | ({"prevPrice": r.randint(16000, 24000) / 4} if r.random() < 0.5 else {})


def cash_balance(r: random.Random) -> Entity:
    """A cash balance: 9 of its 10 fields."""
    return {
        **_head(r),
        "timestamp": _moment(r),
        "tradeDate": _day(r),
        "currencyId": 1,
        "amount": round(r.uniform(1e3, 1e6), 2),
        "realizedPnL": round(r.uniform(-1e4, 1e4), 2),
        "weekRealizedPnL": round(r.uniform(-1e4, 1e4), 2),
        "amountSOD": round(r.uniform(1e3, 1e6), 2),
    }


def cost(work: Callable[[Any], Any], items: list[Any]) -> float:
    """The best CPU time of one call, in microseconds."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time_ns()
        for item in items:
            work(item)
        best = min(best, (time.process_time_ns() - start) / len(items) / 1000)
    return best


def measure(name: str, make: Callable[[random.Random], Entity]) -> dict[str, float]:
    """What each way of handling an entity of a type costs, in microseconds."""
    r, schema = random.Random(1), value_schema(name)  # noqa: S311 - reproducible, not secret
    written = [orjson.dumps(make(r)) for _ in range(COUNT)]
    entities = [orjson.loads(text) for text in written]
    encoder, reference, parsed = ENCODER(name, schema), Reference(schema), fastavro.parse_schema(schema)
    data = [reference.split(entity).datum for entity in entities]
    new_field = [{**entity, "brandNew": "Yes"} for entity in entities]
    new_symbol = [{**entity, "action": "Short", "currencyId": "one", "netPos": "flat"} for entity in entities]

    def with_fastavro(datum: Entity) -> bytes:
        fastavro.schemaless_writer(out := BytesIO(), parsed, datum)
        return out.getvalue()

    return {
        "bytes": sum(len(encoder.encode(entity)[0]) for entity in entities) / COUNT,
        "encode": cost(encoder.encode, entities),
        "fastavro writer alone": cost(with_fastavro, data),
        "orjson.loads": cost(orjson.loads, written),
        "with an unknown field": cost(encoder.encode, new_field),
        "with values it cannot hold": cost(encoder.encode, new_symbol),
    }


def main() -> int:
    """Print one row per entity type."""
    makers = {"order": order, "fill": fill, "position": position, "cashBalance": cash_balance}
    rows = {name: measure(name, make) for name, make in makers.items()}
    columns = list(rows["order"])
    sys.stdout.write(" | ".join(["us per entity", *columns]) + "\n")
    for name, row in rows.items():
        sys.stdout.write(" | ".join([name.rjust(13), *(f"{row[c]:.2f}".rjust(len(c)) for c in columns)]) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
