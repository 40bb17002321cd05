"""Access tokens, sessions and penalty tickets (protocol sections 2 and 3). Pure; told the time in seconds."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from random import Random
from typing import Any

from bridge.simulator.options import Options
from bridge.simulator.values import stamp

USER_ID = 15_460


@dataclass(slots=True)
class Token:
    """An access token; `device` is the client's, `revoked` the status with which an ended session answers."""

    text: str
    name: str
    session: int
    expires_s: float
    device: str = ""
    revoked: int = 0


class Tokens:
    """Issues tokens, ends the oldest session when there are too many, and checks tokens."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.issued = 0
        self.renewed = 0
        self._rng = Random(options.seed)
        self._tokens: dict[str, Token] = {}
        self._sessions: deque[int] = deque()
        self._tickets: dict[str, float] = {}

    def grant(self, name: str, now: float, device: str = "") -> Token:
        """A token of a new session."""
        self.issued += 1
        self._sessions.append(self.issued)
        while len(self._sessions) > max(1, self.options.max_sessions):
            oldest = self._sessions.popleft()
            for token in self._tokens.values():
                if token.session == oldest:
                    token.revoked = int(self.options.evicted_status)
        return self._new(name, self.issued, now, device)

    def renew(self, token: Token, now: float) -> Token:
        """A later token of the same session; the old one stays valid until it expires."""
        self.renewed += 1
        return self._new(token.name, token.session, now, token.device)

    def find(self, text: str) -> Token | None:
        """The token with this text, valid or not."""
        return self._tokens.get(text)

    def device(self, text: str) -> str:
        """The device that a token was given to, empty if nobody said."""
        return self._tokens[text].device if text in self._tokens else ""

    def refusal(self, text: str, now: float) -> tuple[int, str] | None:
        """Status and text with which a token is refused, None if it is good."""
        token = self._tokens.get(text)
        if token is None:
            return 401, "Access is denied"
        if token.revoked:
            return token.revoked, "Session is over"
        if now >= token.expires_s:
            return 401, "Expired Access Token"
        return None

    def expired(self, text: str, now: float) -> bool:
        """Whether a token was good once and has expired."""
        token = self._tokens.get(text)
        return token is not None and now >= token.expires_s

    def revoke(self, text: str) -> None:
        """Ends a token's session, as a quota does."""
        if text in self._tokens:
            self._tokens[text].revoked = 401

    def answer(self, token: Token) -> dict[str, Any]:
        """The body of a successful token request."""
        return {
            "accessToken": token.text, "mdAccessToken": token.text[::-1],
            "expirationTime": stamp(int(token.expires_s * 1000)),
            "passwordExpirationTime": stamp(int(token.expires_s * 1000) + 15_000_000_000),
            "userStatus": "Active", "userId": USER_ID, "name": token.name, "hasLive": False, "hasFunded": True,
        }  # fmt: skip

    def ticket(self, seconds: float, now: float, *, captcha: bool) -> dict[str, Any]:
        """A penalty ticket: good only after its time."""
        text = f"{self._rng.getrandbits(48):012x}"
        self._tickets[text] = now + seconds
        return {"p-ticket": text, "p-time": seconds, "p-captcha": captcha}

    def redeem(self, ticket: Any, now: float) -> bool:
        """Whether a ticket was given out and its time has passed; it is good once.

        Clients count the seconds by their own clock, so a twentieth of a second is forgiven.
        """
        due = self._tickets.get(ticket) if isinstance(ticket, str) else None
        if due is None or now + 0.05 < due:
            return False
        del self._tickets[ticket]
        return True

    def _new(self, name: str, session: int, now: float, device: str) -> Token:
        text = f"sim.{self._rng.getrandbits(160):040x}"
        self._tokens[text] = Token(text, name, session, now + self.options.token_lifetime_s, device)
        return self._tokens[text]
