"""Helpers that bring a pure session into the state a test begins with."""

from collections.abc import Callable

import orjson

from bridge.source.plan import SyncPlan
from bridge.source.refusals import SessionLimits
from bridge.source.session import Session
from bridge.source.states import State

TOKEN = "eyJ.secret"
PLAN = SyncPlan(entity_types=("order", "fill"), expression="modAccountId", divisor=4, remainder=1)
GRANTED = b'a[{"s":200,"i":0}]'
PART = b'a[{"s":200,"i":1,"d":{"users":[],"orders":[{"id":1}],"fills":null}}]'


def frame(*messages: object) -> bytes:
    return b"a" + orjson.dumps(list(messages))


def props(number: int = 7, event: str = "Created", entity_type: str = "order") -> dict[str, object]:
    return {"e": "props", "d": {"entityType": entity_type, "eventType": event, "entity": {"id": number}}}


_STEPS: tuple[Callable[[Session, float], object], ...] = (
    lambda session, now: session.receive(b"o", now),
    lambda session, now: session.receive(GRANTED, now),
    lambda session, now: session.allow_sync(now),
    lambda session, now: session.receive(PART, now),
    lambda session, now: run_timers(session, now + session.limits.snapshot_quiet_s),
)


def session_in(state: State, *, limits: SessionLimits | None = None, now: float = 100.0) -> Session:
    """A session in `state` at time `now`, with nothing pending."""
    if state is State.PENALIZED:
        session = session_in(State.SYNCING, limits=limits, now=now)
        session.receive(b'a[{"i":1,"s":200,"d":{"p-ticket":"b1a2","p-time":3}}]', now)
    else:
        session = Session(PLAN, TOKEN, now=now, limits=limits)
        for step in _STEPS:
            if session.state is state:
                break
            step(session, now)
    assert session.state is state
    session.data_to_send()
    session.events()
    return session


def run_timers(session: Session, until: float) -> list[float]:
    """Let time pass up to `until`, calling the session exactly when it asked for it; gives those moments."""
    moments = []
    while (at := session.deadline()) <= until:
        session.handle_timer(at)
        moments.append(at)
    return moments
