"""The HTTP side of the API: tokens, and reads of entities (protocol sections 2, 3 and 17)."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import orjson
from aiohttp import web

from bridge.simulator.limits import PENALISED
from bridge.simulator.queries import not_found
from bridge.simulator.sharding import RequestError, subscription
from bridge.simulator.tokens import USER_ID, Token
from bridge.simulator.wire import snapshot_frames, snapshot_rows

if TYPE_CHECKING:
    from bridge.simulator.server import Simulator


LOGIN, RENEW, ME = "auth/accesstokenrequest", "auth/renewaccesstoken", "auth/me"
OAUTH, SYNC = "auth/oauthtoken", "user/syncrequest"


def reply(data: Any, status: int = 200) -> web.Response:
    """A JSON answer."""
    return web.Response(body=orjson.dumps(data), status=status, content_type="application/json")


async def body_of(request: web.Request) -> dict[str, Any]:
    """The JSON object in a request's body, or the fields of a form; an empty one counts as `{}`.

    Raises:
        web.HTTPBadRequest: it is something else.
    """
    data = await request.read()
    try:
        value = orjson.loads(data or b"{}")
    except orjson.JSONDecodeError as problem:
        form = request.content_type == "application/x-www-form-urlencoded"
        if form and (fields := dict(parse_qsl(data.decode(errors="replace")))):
            return dict(fields)
        raise web.HTTPBadRequest(text=f"not JSON: {problem}") from problem
    if not isinstance(value, dict):
        raise web.HTTPBadRequest(text="the body is an object")
    return value


async def answer(simulator: Simulator, request: web.Request, endpoint: str) -> web.Response:
    """Answers one request of a client; `endpoint` is its path, lower case, without `/v1/`."""
    now, body = time.time(), await body_of(request)
    token = None if endpoint in (LOGIN, OAUTH) else _bearer(simulator, request)
    refusal = simulator.limits.refusal(now, anonymous=not isinstance(token, Token))
    if refusal is not None:
        return web.Response(status=refusal)
    if isinstance(token, web.Response):
        return _penalised(simulator, endpoint, body) or _denied(simulator, endpoint, token)
    if (ticket := _penalised(simulator, endpoint, body)) is not None:
        return ticket
    if token is None:
        return await _login(simulator, body, endpoint)
    if endpoint == RENEW:
        return _renew(simulator, token)
    if endpoint == ME:
        return reply({
            "userId": USER_ID, "name": token.name, "fullName": "Simulated User", "email": "ops@acme.example",
            "emailVerified": True, "isTrial": False, "organizationName": "Acme",
        })  # fmt: skip
    if endpoint == SYNC:
        return _snapshot(simulator, body)
    result = simulator.ask(endpoint, request.query_string, body)
    simulator.publish(result.burst)
    return web.Response(status=result.status) if result.data is None else reply(result.data, result.status)


def _penalised(simulator: Simulator, endpoint: str, body: dict[str, Any]) -> web.Response | None:
    """The ticket that a request meets instead of its answer, None if it is to be answered."""
    now = time.time()
    if endpoint not in PENALISED:
        return None
    if "p-ticket" in body:
        return None if simulator.tokens.redeem(body["p-ticket"], now) else reply(simulator.penalty(endpoint, now))
    return None if simulator.limits.admit(endpoint, now) else reply(simulator.penalty(endpoint, now))


def _denied(simulator: Simulator, endpoint: str, refusal: web.Response) -> web.Response:
    simulator.limits.failed(endpoint, time.time())
    return refusal


async def _login(simulator: Simulator, body: dict[str, Any], endpoint: str) -> web.Response:
    for fault in simulator.faults.take("token"):
        if fault.kind == "token_delay":
            await asyncio.sleep(fault.args["seconds"])
            continue
        return _spoiled(simulator, fault.kind, fault.args)
    if endpoint == OAUTH:
        return reply(simulator.grants.answer(body, time.time()))
    if not _known(simulator, body):
        simulator.limits.failed(LOGIN, time.time())
        text = {"errorText": "Incorrect username or password. Please try again."}
        return reply(text, 401 if simulator.options.bad_login == "401" else 200)
    token = simulator.tokens.grant(str(body["name"]), time.time(), str(body.get("deviceId", "")))
    return reply(simulator.tokens.answer(token))


def _known(simulator: Simulator, body: dict[str, Any]) -> bool:
    name, password = body.get("name"), body.get("password")
    if not isinstance(name, str) or not isinstance(password, str):
        return False
    wanted = simulator.options
    return wanted.name in (None, name) and wanted.password in (None, password)


def _spoiled(simulator: Simulator, kind: str, args: dict[str, Any]) -> web.Response:
    if kind.endswith("_penalty"):
        return reply(simulator.tokens.ticket(args["seconds"], time.time(), captcha=args["captcha"]))
    if kind.endswith("_status"):
        return web.Response(status=args["status"])
    return reply({"errorText": args["text"]} if kind == "token_error" else {"userStatus": "Active"})


def _bearer(simulator: Simulator, request: web.Request) -> Token | web.Response:
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    text = text.strip() if scheme.lower() == "bearer" else ""
    refusal = simulator.tokens.refusal(text, time.time())
    token = simulator.tokens.find(text)
    if refusal is not None or token is None:
        status, reason = refusal or (401, "Access is denied")
        return reply(reason, status)
    return token


def _renew(simulator: Simulator, token: Token) -> web.Response:
    if (fault := simulator.faults.first("renew")) is not None:
        return _spoiled(simulator, fault.kind, fault.args)
    return reply(simulator.tokens.answer(simulator.tokens.renew(token, time.time())))


def _snapshot(simulator: Simulator, body: dict[str, Any]) -> web.Response:
    """Over REST a syncrequest answers a snapshot and nothing more."""
    options = simulator.options.changed({"split": "D", "string_elements": False})
    try:
        sub = subscription(body, options)
    except RequestError as problem:
        return reply(str(problem), 400)
    text = snapshot_frames(snapshot_rows(simulator.world.store, sub, options), None, options)[0].text
    return reply(orjson.loads(text[1:])[0]["d"])


def unknown(endpoint: str) -> web.Response:
    """The documented 404."""
    status, data = not_found(endpoint)
    return reply(data, status)
