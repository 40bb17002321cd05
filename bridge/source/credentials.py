"""Who we are at the broker, and the token that says so. Pure; secrets are not shown by repr."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

_WIRE_NAMES: Final = (
    ("name", "name"),
    ("password", "password"),
    ("app_id", "appId"),
    ("app_version", "appVersion"),
    ("device_id", "deviceId"),
    ("cid", "cid"),
    ("sec", "sec"),
)
_USERINFO: Final = re.compile(r"(?<=://)[^\s/]*@")


def without_userinfo(text: str) -> str:
    """Take user and password out of the addresses in a text: errors of HTTP clients quote those of proxies."""
    return _USERINFO.sub("***@", text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What `auth/accesstokenrequest` takes (protocol section 2.1); what is None is left out.

    Attributes:
        environment: `demo`, `live` ...: a token is kept for one user in one environment.
        cid: number or text, as the page that issued the key shows it.
    """

    environment: str
    name: str
    password: str = field(repr=False)
    app_id: str | None = None
    app_version: str | None = None
    device_id: str | None = None
    cid: str | int | None = None
    sec: str | None = field(default=None, repr=False)

    def body(self, ticket: str = "") -> dict[str, Any]:
        """The request's body; with the ticket on a retry after a penalty."""
        members = {wire: value for own, wire in _WIRE_NAMES if (value := getattr(self, own)) is not None}
        return members | {"p-ticket": ticket} if ticket else members

    def scrub(self, text: str) -> str:
        """Take our secrets out of a text of the server's."""
        for secret in (self.password, self.sec):
            if secret:
                text = text.replace(secret, "***")
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token and how long it lives.

    Attributes:
        value: the secret.
        expires_at: epoch seconds by the server's clock.
        life_s: how long it had to live when it was granted, seconds.
        skew_s: the server's clock minus ours when it was granted, seconds.
        name, environment: whose it is.
        user_id: the broker's id of the user, if the answer said it.
    """

    value: str = field(repr=False)
    expires_at: float
    life_s: float
    skew_s: float
    name: str
    environment: str
    user_id: int | None = None

    def remaining_s(self, wall: float) -> float:
        """Seconds left, by our wall clock corrected by the skew."""
        return self.expires_at - (wall + self.skew_s)

    def margin_s(self, longest_s: float) -> float:
        """How long before its end it is renewed: `longest_s`, but never more than a quarter of its life."""
        return min(longest_s, self.life_s / 4)

    def belongs_to(self, credentials: Credentials) -> bool:
        """Say whether it is this user's in this environment."""
        return (self.name, self.environment) == (credentials.name, credentials.environment)
