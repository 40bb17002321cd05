"""What the broker's messages mean: answers, penalties, shutdowns, tokens and business failures.

Pure. Everything here is total: any JSON value is accepted and either understood or said not to be.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from bridge.source.frames import plain_text

_TICKET_MEMBERS: Final = frozenset({"p-ticket", "p-time", "p-captcha"})
_TICKET_CHARACTERS: Final = 4096
_UNREADABLE_WAIT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Response:
    """An answer on the socket.

    Attributes:
        i: id of the request it answers, or None if it names none.
        s: HTTP status, or None if there is none that can be read.
        d: the data, or None.
    """

    i: int | None
    s: int | None
    d: Any

    @classmethod
    def of(cls, message: dict[str, Any]) -> Response:
        """Read the members of a message that has `i` or `s`."""
        return cls(_integer(message.get("i")), _status(message.get("s")), message.get("d"))


@dataclass(frozen=True, slots=True)
class Penalty:
    """A penalty ticket: wait, then send the same request again with the ticket (protocol section 3.1).

    Attributes:
        ticket: to be sent back as `p-ticket`; empty if the server gave none.
        seconds: how long to wait first, never negative.
        captcha: True if a program cannot proceed and must stop for about an hour.
        message: the server's text, if any.
    """

    ticket: str
    seconds: float
    captcha: bool
    message: str

    @classmethod
    def of(cls, data: Any) -> Penalty | None:
        """Read a penalty from the data of an answer, None if it is something else."""
        if not isinstance(data, dict) or _TICKET_MEMBERS.isdisjoint(data):
            return None
        ticket = data.get("p-ticket")
        return cls(
            ticket="" if ticket is None else str(ticket)[:_TICKET_CHARACTERS],
            seconds=_seconds(data.get("p-time")),
            captcha=data.get("p-captcha") is True,
            message=plain_text(data.get("p-message")),
        )


@dataclass(frozen=True, slots=True)
class Shutdown:
    """The server's notice that it is about to close the socket (protocol section 10).

    Attributes:
        code: `Maintenance`, `ConnectionQuotaReached`, `IPQuotaReached`, one we do not know, or empty.
        reason: the server's text, if any.
    """

    code: str
    reason: str

    @property
    def is_quota(self) -> bool:
        """Another program of the user took the slot; the token that all shards share is revoked."""
        return self.code.endswith("QuotaReached")

    @property
    def is_maintenance(self) -> bool:
        """Come back with patience (protocol section 14)."""
        return self.code == "Maintenance"

    @classmethod
    def of(cls, data: Any) -> Shutdown:
        """Read the `d` of a `shutdown` event."""
        members = data if isinstance(data, dict) else {"reason": data}
        return cls(plain_text(members.get("reasonCode")), plain_text(members.get("reason")))


@dataclass(frozen=True, slots=True)
class TokenGranted:
    """A token answer that holds a token (protocol section 2.1).

    Attributes:
        access_token: the secret; not shown by repr.
        expires_at: the server's `expirationTime`, epoch seconds, None if it cannot be read.
        user_id: whose token it is.
    """

    access_token: str = field(repr=False)
    expires_at: float | None
    user_id: int | None

    @classmethod
    def of(cls, body: Any) -> TokenGranted | None:
        """Read a token answer, None if it holds no token: that is a failure whatever the status says.

        What cannot stand in a header is no token.
        """
        given = body.get("accessToken") if isinstance(body, dict) else None
        token = given.strip() if isinstance(given, str) else ""
        if not token or not token.isascii() or not token.isprintable():
            return None
        return cls(token, _epoch_seconds(body.get("expirationTime")), _integer(body.get("userId")))


def business_failure(data: Any) -> str | None:
    """Give the text of a failure that came with status 200, None if the data are none (protocol section 12)."""
    if not isinstance(data, dict):
        return None
    if data.get("errorText"):
        return plain_text(data["errorText"])
    reason = data.get("failureReason")
    if reason and reason != "Success":
        return f"{plain_text(reason)} {plain_text(data.get('failureText'))}".strip()
    if data.get("violations"):
        return plain_text(data["violations"])
    return None


def _integer(value: Any) -> int | None:
    if type(value) is int:
        return value
    return int(value) if type(value) is float and value.is_integer() else None


def _status(value: Any) -> int | None:
    """As wide as codes of WebSocket are; what is no status must fit no field of ours either."""
    status = _integer(value)
    return status if status is not None and 0 <= status < 65536 else None


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return _UNREADABLE_WAIT_S
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return _UNREADABLE_WAIT_S
    return max(0.0, seconds) if math.isfinite(seconds) else _UNREADABLE_WAIT_S


def _epoch_seconds(value: Any) -> float | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
