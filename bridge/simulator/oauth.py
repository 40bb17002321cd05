"""OAuth for third-party applications (protocol section 2.5). Pure; told the time in seconds."""

from __future__ import annotations

from random import Random
from typing import Any

from bridge.simulator.tokens import Tokens

REFRESH_S = 30 * 86_400
_NEEDED = {
    "authorization_code": ("code", "redirect_uri", "client_id", "client_secret"),
    "refresh_token": ("refresh_token", "client_id", "client_secret"),
}


class Grants:
    """Exchanges codes and refresh tokens for access tokens. Any code is good, but each only once."""

    def __init__(self, tokens: Tokens, seed: int) -> None:
        self._tokens = tokens
        self._rng = Random(seed)
        self._spent: set[str] = set()
        self._refresh: dict[str, float] = {}

    def answer(self, body: dict[str, Any], now: float) -> dict[str, Any]:
        """The body of the answer to `auth/oauthtoken`; errors, too, come with HTTP 200."""
        kind = str(body.get("grant_type"))
        if kind not in _NEEDED:
            return _error("unsupported_grant_type", f"grant_type is one of {', '.join(_NEEDED)}")
        for name in _NEEDED[kind]:
            if not isinstance(body.get(name), str) or not body[name]:
                return _error("invalid_request", f"{name} is missing")
        if not (self._take(body["code"]) if kind == "authorization_code" else self._rotate(body["refresh_token"], now)):
            return _error("invalid_grant", "This was used already, has expired, or was never given out")
        return self._granted(body["client_id"], now)

    def _take(self, code: str) -> bool:
        fresh = code not in self._spent
        self._spent.add(code)
        return fresh

    def _rotate(self, refresh: str, now: float) -> bool:
        """Takes a refresh token out of use; whether it was good."""
        return now < self._refresh.pop(refresh, 0.0)

    def _granted(self, client_id: str, now: float) -> dict[str, Any]:
        token = self._tokens.grant(client_id, now)
        refresh = f"refresh.{self._rng.getrandbits(160):040x}"
        self._refresh[refresh] = now + REFRESH_S
        return {
            "access_token": token.text, "refresh_token": refresh, "token_type": "bearer",
            "expires_in": int(token.expires_s - now), "refresh_token_expires_in": REFRESH_S,
            "id_token": f"id.{token.text}",
        }  # fmt: skip


def _error(code: str, text: str) -> dict[str, Any]:
    return {"error": code, "error_description": text}
