"""The HTTP side of the API: tokens, and reads of entities (protocol sections 2, 3 and 17)."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from bridge.simulator.queries import not_found, query
from bridge.simulator.sharding import RequestError, subscription
from bridge.simulator.tokens import USER_ID, Token
from bridge.simulator.wire import snapshot_frames, snapshot_rows

if TYPE_CHECKING:
    from bridge.simulator.server import Simulator


def reply(data: Any, status: int = 200) -> web.Response:
    """A JSON answer."""
    return web.Response(body=orjson.dumps(data), status=status, content_type="application/json")


async def body_of(request: web.Request) -> dict[str, Any]:
    """The JSON object in a request's body; an empty one counts as `{}`.

    Raises:
        web.HTTPBadRequest: it is something else.
    """
    try:
        value = orjson.loads(await request.read() or b"{}")
    except orjson.JSONDecodeError as problem:
        raise web.HTTPBadRequest(text=f"not JSON: {problem}") from problem
    if not isinstance(value, dict):
        raise web.HTTPBadRequest(text="the body is an object")
    return value


async def answer(simulator: Simulator, request: web.Request, endpoint: str) -> web.Response:
    """Answers one request of a client; `endpoint` is its path, lower case, without `/v1/`."""
    if endpoint == "auth/accesstokenrequest":
        return await _login(simulator, await body_of(request))
    token = _bearer(simulator, request)
    if isinstance(token, web.Response):
        return token
    if endpoint == "auth/renewaccesstoken":
        return _renew(simulator, token)
    if endpoint == "auth/me":
        return reply({
            "userId": USER_ID, "name": token.name, "fullName": "Simulated User", "email": "ops@acme.example",
            "emailVerified": True, "isTrial": False, "organizationName": "Acme",
        })  # fmt: skip
    if endpoint == "user/syncrequest":
        return _snapshot(simulator, await body_of(request))
    status, data = query(simulator.world.store, endpoint, request.query_string)
    return reply(data, status)


async def _login(simulator: Simulator, body: dict[str, Any]) -> web.Response:
    now, tokens = time.time(), simulator.tokens
    if "p-ticket" in body and not tokens.redeem(body["p-ticket"], now):
        return reply(tokens.ticket(simulator.options.penalty_s, now, captcha=False))
    for fault in simulator.faults.take("token"):
        if fault.kind == "token_delay":
            await asyncio.sleep(fault.args["seconds"])
            continue
        return _spoiled(simulator, fault.kind, fault.args)
    if not _known(simulator, body):
        text = {"errorText": "Incorrect username or password. Please try again."}
        return reply(text, 401 if simulator.options.bad_login == "401" else 200)
    token = tokens.grant(str(body["name"]), time.time())
    return reply(tokens.answer(token))


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
    for fault in simulator.faults.take("renew"):
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
