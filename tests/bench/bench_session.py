"""What `Session.receive` costs beyond parsing: microseconds a frame, next to bare `orjson.loads` of the same bytes.

Run as `python -m tests.bench.bench_session`. Best of several rounds on one core; not a test.
"""

from __future__ import annotations

import gc
import timeit
from collections.abc import Callable

import orjson

from bridge.source.rows import rows
from bridge.source.session import Session
from bridge.source.states import State
from tests.unit.source.driving import session_in

ROUNDS, CALLS = 15, 5_000
ORDER = {
    "id": 600000000123,
    "accountId": 25,
    "contractId": 560901,
    "timestamp": "2026-08-18T13:35:01.123Z",
    "action": "Buy",
    "ordStatus": "PendingNew",
    "executionProviderId": 1,
    "archived": False,
    "external": False,
    "admin": False,
}


def frame_of(events: int) -> bytes:
    """A frame of order events."""
    event = {"e": "props", "d": {"entityType": "order", "eventType": "Updated", "entity": ORDER}}
    return b"a" + orjson.dumps([event] * events)


def best_us(call: Callable[[], object]) -> float:
    """The best round, microseconds a call."""
    return min(timeit.repeat(call, number=CALLS, repeat=ROUNDS)) / CALLS * 1e6


def measure(session: Session, events: int) -> dict[str, float]:
    """Figures for frames of so many events, microseconds a frame."""
    raw = frame_of(events)

    def received() -> object:
        return session.receive(raw, 0.0)

    def taken_apart() -> object:
        return [rows(message) for message in session.receive(raw, 0.0) or ()]

    return {
        "bytes": len(raw),
        "loads": best_us(lambda: orjson.loads(raw[1:])),
        "receive": best_us(received),
        "receive and rows": best_us(taken_apart),
    }


def main() -> None:
    """Print one line for each frame size."""
    session = session_in(State.SYNCED, now=0.0)
    gc.disable()
    for events in (1, 10):
        figures = measure(session, events)
        beyond = figures["receive"] - figures["loads"]
        line = "  ".join(f"{name} {value:.2f}" for name, value in figures.items())
        print(f"{events:3} events a frame, us a frame: {line}  beyond parsing {beyond:.2f}")


if __name__ == "__main__":
    main()
