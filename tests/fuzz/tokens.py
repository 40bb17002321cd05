"""The same for the answers that bring tokens: each gives a token that can be used, or an error that is foreseen."""

from __future__ import annotations

import math
from random import Random
from typing import Final

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from bridge.errors import AuthorizationRefused
from bridge.source.credentials import Credentials, Token
from bridge.source.tokenapi import TokenApi, TokenLimits, TokenUnavailable
from tests.fuzz.mutators import spoilt
from tests.fuzz.pipeline import Shaken

US: Final = Credentials(environment="demo", name="acme_admin", password="s3cret")
BODIES: Final = (
    b'{"accessToken":"eyJ.A","expirationTime":"2026-11-21T15:40:30.056Z","userId":15460,"name":"acme_admin"}',
    b'{"p-ticket":"b1a2f0c4","p-time":0,"p-captcha":false}',
    b'{"errorText":"Incorrect username or password."}',
    b'{"failureReason":"UnknownReason","failureText":"x","violations":[{"a":1}]}',
)
STATUSES: Final = (200, 200, 200, 200, 400, 401, 403, 404, 408, 423, 429, 500, 503)
HEADERS: Final = (
    "",
    "0",
    "-5",
    "1e400",
    "Fri, 21 Nov 2026 10:00:00 GMT",
    "Mon, 99 Abc 0000 99:99:99 GMT",
    "9" * 30,
    "é",
)
LIMITS: Final = TokenLimits(request_s=10.0, longest_penalty_s=0.0, penalties=1)


async def logins(r: Random, count: int) -> dict[str, int]:
    """So many logins, each followed by a renewal if it brought a token; how they ended.

    Raises:
        Shaken: a token that cannot be used was taken for one.
    """
    found: dict[str, int] = {}

    async def answer(_: web.Request) -> web.Response:
        headers = {name: r.choice(HEADERS) for name in ("Retry-After", "Date") if r.random() < 0.3}
        body = r.choice(BODIES)
        body = body if r.random() < 0.2 else spoilt(r, body, BODIES)
        return web.Response(status=r.choice(STATUSES), body=body, headers=headers)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server, aiohttp.ClientSession() as http:
        api = TokenApi(str(server.make_url("/")), US, http, limits=LIMITS, answered=lambda _: None)
        for _ in range(count):
            try:
                token = await api.login()
                _usable(token)
                renewed = await api.renew(token)
                if renewed is not None:
                    _usable(renewed)
                what = "granted"
            except AuthorizationRefused:
                what = "refused"
            except TokenUnavailable as error:
                what = error.cause
            found[what] = found.get(what, 0) + 1
    return found


def _usable(token: Token) -> None:
    if not (token.value.isascii() and token.value.isprintable() and "\n" not in token.value):
        raise Shaken(f"this cannot stand in a header: {token.value!r}")
    if not (math.isfinite(token.expires_at) and math.isfinite(token.life_s) and math.isfinite(token.skew_s)):
        raise Shaken(f"a token whose end is no moment: {token.expires_at}")
