"""What a failed connection means: from any error of the opening handshake to a `SessionLost` with cause and wait."""

from __future__ import annotations

import ssl
from datetime import datetime
from email.utils import parsedate_to_datetime

from websockets.exceptions import InvalidHandshake, InvalidProxy, InvalidStatus, InvalidURI, ProxyError

from bridge.errors import ConfigurationError, SessionLost
from bridge.source.credentials import without_userinfo
from bridge.source.refusals import SessionLimits

_LONGEST_WAIT_S = 3600.0


def connection_failed(error: Exception, limits: SessionLimits) -> SessionLost:
    """Judge an error of connecting.

    Raises:
        ConfigurationError: no waiting can help: the address cannot be one, or a proxy needs software we lack.
    """
    match error:
        case InvalidStatus():
            return _refused(error, limits)
        case ssl.SSLError():
            return SessionLost("tls", str(error))
        case TimeoutError():
            return SessionLost("connect_timeout", "the opening handshake took too long")
        case ProxyError():
            return SessionLost("proxy", without_userinfo(str(error)))
        case OSError():
            return SessionLost("unreachable", str(error))
        case InvalidURI():
            raise ConfigurationError(f"source.socket_url is not the address of a WebSocket: {error}") from error
        case InvalidHandshake():
            return SessionLost("bad_handshake", f"{type(error).__name__}: {error}")
        case InvalidProxy():  # its own text may hold the proxy's password
            raise ConfigurationError("source.proxy or the environment's proxy is no address of a proxy") from None
        case ImportError():
            raise ConfigurationError(f"source.proxy cannot be used: {error}") from error
    raise error


def _refused(error: InvalidStatus, limits: SessionLimits) -> SessionLost:
    status, headers = error.response.status_code, error.response.headers
    asked = retry_after_s(headers.get("Retry-After"), headers.get("Date"))
    reason = f"the upgrade was answered with status {status}"
    if status in {423, 429}:
        return SessionLost("rate_limited", reason, code=status, wait_s=max(limits.upgrade_limited_wait_s, asked))
    if status == 408 or status >= 500:
        return SessionLost("server_error", reason, code=status, wait_s=asked)
    return SessionLost("upgrade_refused", reason, code=status, wait_s=max(limits.upgrade_refused_wait_s, asked))


def retry_after_s(value: str | None, date: str | None) -> float:
    """Seconds that a `Retry-After` header asks for, 0 if it asks for nothing that can be read.

    Args:
        value: the header: seconds, or a date, which is taken relative to the answer's own `Date`.
        date: the answer's `Date` header.
    """
    if value is None:
        return 0.0
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), _LONGEST_WAIT_S)
    until, sent = http_date(text), http_date(date)
    if until is None or sent is None:
        return 0.0
    return min(max(0.0, (until - sent).total_seconds()), _LONGEST_WAIT_S)


def http_date(text: str | None) -> datetime | None:
    """Read the date of an HTTP header, None if there is none that can be read."""
    try:
        moment = parsedate_to_datetime(text) if text else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None
