"""The simulator's own HTTP endpoints under `/sim`: truth, faults, options, pace."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from bridge.simulator.faults import FaultError
from bridge.simulator.ledger import change_line, delivery_lines, session_line, write_ledger
from bridge.simulator.options import OptionError
from bridge.simulator.rest import body_of, reply, unknown
from bridge.simulator.scenario import arguments
from bridge.simulator.sharding import EXPRESSIONS, shards
from bridge.simulator.store import Change

if TYPE_CHECKING:
    from bridge.simulator.server import Simulator

_CHUNK = 1 << 18

Handler = Callable[["Simulator", web.Request], Awaitable[web.StreamResponse]]


async def control(simulator: Simulator, request: web.Request, endpoint: str) -> web.StreamResponse:
    """Answers a request under `/sim`; mistakes of the caller are 400 with a sentence."""
    handler = ROUTES.get((request.method, endpoint))
    if handler is None:
        return unknown(endpoint)
    try:
        return await handler(simulator, request)
    except (OptionError, FaultError, ValueError, TypeError, KeyError) as problem:
        return reply({"error": str(problem)}, 400)


async def _status(simulator: Simulator, _request: web.Request) -> web.Response:
    return reply(simulator.status())


async def _lines(request: web.Request, lines: Iterable[bytes]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(request)
    waiting: list[bytes] = []
    size = 0
    for line in lines:
        waiting.append(line)
        size += len(line)
        if size >= _CHUNK:
            await response.write(b"".join(waiting))
            waiting.clear()
            size = 0
    await response.write(b"".join(waiting))
    await response.write_eof()
    return response


async def _events(simulator: Simulator, request: web.Request) -> web.StreamResponse:
    kind, number = request.query.get("type"), request.query.get("id")
    after = int(request.query.get("after", "0"))
    wanted = int(number) if number else None
    line = _writer(simulator, request)
    return await _lines(request, (
        line(c) for c in simulator.ledger.events()
        if c.number > after and kind in (None, c.entity_type) and wanted in (None, c.id)
    ))  # fmt: skip


async def _state(simulator: Simulator, request: web.Request) -> web.StreamResponse:
    line = _writer(simulator, request)
    return await _lines(request, [line(c) for c in simulator.ledger.state()])


def _writer(simulator: Simulator, request: web.Request) -> Callable[[Change], bytes]:
    """Writes versions as lines, with their shards if the request says how many there are."""
    if "divisor" not in request.query:
        return change_line
    divisor, expression = int(request.query["divisor"]), request.query.get("expression", EXPRESSIONS[0])
    if divisor < 1 or expression not in EXPRESSIONS:
        raise ValueError(f"divisor is at least 1, expression {' or '.join(EXPRESSIONS)}")
    return lambda change: change_line(change, shards(change, expression, divisor, simulator.options))


async def _sessions(simulator: Simulator, request: web.Request) -> web.StreamResponse:
    return await _lines(request, [session_line(log) for log in simulator.ledger.sessions])


async def _deliveries(simulator: Simulator, request: web.Request) -> web.StreamResponse:
    return await _lines(request, (line for log in list(simulator.ledger.sessions) for line in delivery_lines(log)))


async def _faults(simulator: Simulator, _request: web.Request) -> web.Response:
    return reply([fault.as_json() for fault in simulator.faults.all()])


async def _arm(simulator: Simulator, request: web.Request) -> web.Response:
    return reply(simulator.arm(**arguments(await body_of(request))).as_json())


async def _disarm(simulator: Simulator, _request: web.Request) -> web.Response:
    simulator.faults.disarm()
    return reply([fault.as_json() for fault in simulator.faults.all()])


async def _options(simulator: Simulator, _request: web.Request) -> web.Response:
    return reply(simulator.options.as_json())


async def _set_options(simulator: Simulator, request: web.Request) -> web.Response:
    simulator.set_options(await body_of(request))
    return reply(simulator.options.as_json())


async def _inject(simulator: Simulator, request: web.Request) -> web.Response:
    return reply(simulator.put(await body_of(request)))


async def _scenario(simulator: Simulator, _request: web.Request) -> web.Response:
    return unknown("sim/scenario") if simulator.scenario is None else reply(simulator.scenario())


async def _rate(simulator: Simulator, request: web.Request) -> web.Response:
    await simulator.set_rate(float((await body_of(request))["rate"]))
    return reply(simulator.status())


async def _pause(simulator: Simulator, _request: web.Request) -> web.Response:
    await simulator.quiesce()
    return reply(simulator.status())


async def _step(simulator: Simulator, request: web.Request) -> web.Response:
    return reply({"events": await simulator.step(int((await body_of(request)).get("steps", 1)))})


async def _roll(simulator: Simulator, request: web.Request) -> web.Response:
    again = int((await body_of(request)).get("resend", 0))
    return reply({"archived": await simulator.roll(resend=again)})


async def _load(simulator: Simulator, request: web.Request) -> web.Response:
    body: dict[str, Any] = await body_of(request)
    return reply(await simulator.load(**body))


async def _check(simulator: Simulator, _request: web.Request) -> web.Response:
    return reply(simulator.world.check())


async def _keep(simulator: Simulator, request: web.Request) -> web.Response:
    folder = Path(str((await body_of(request))["path"]))
    return reply({"lines": write_ledger(simulator.ledger, folder)})


ROUTES: dict[tuple[str, str], Handler] = {
    ("GET", "sim"): _status,
    ("GET", "sim/ledger"): _events,
    ("GET", "sim/ledger/events"): _events,
    ("GET", "sim/ledger/state"): _state,
    ("GET", "sim/ledger/sessions"): _sessions,
    ("GET", "sim/ledger/deliveries"): _deliveries,
    ("POST", "sim/ledger/write"): _keep,
    ("GET", "sim/faults"): _faults,
    ("POST", "sim/faults"): _arm,
    ("DELETE", "sim/faults"): _disarm,
    ("GET", "sim/options"): _options,
    ("POST", "sim/options"): _set_options,
    ("POST", "sim/inject"): _inject,
    ("POST", "sim/rate"): _rate,
    ("POST", "sim/pause"): _pause,
    ("POST", "sim/step"): _step,
    ("POST", "sim/roll"): _roll,
    ("POST", "sim/load"): _load,
    ("GET", "sim/check"): _check,
    ("GET", "sim/scenario"): _scenario,
}
