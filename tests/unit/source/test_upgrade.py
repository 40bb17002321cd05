import ssl

import pytest
from websockets.datastructures import Headers
from websockets.exceptions import InvalidMessage, InvalidProxy, InvalidProxyStatus, InvalidStatus, InvalidURI
from websockets.http11 import Response

from bridge.errors import ConfigurationError
from bridge.source.refusals import SessionLimits
from bridge.source.upgrade import connection_failed, retry_after_s

DATE = "Fri, 21 Aug 2026 15:40:30 GMT"


def refused(status: int, **headers: str) -> InvalidStatus:
    return InvalidStatus(
        Response(status, "", Headers({key.replace("_", "-"): value for key, value in headers.items()}))
    )


@pytest.mark.parametrize(
    ("error", "cause", "code", "wait_s"),
    [
        (refused(429), "rate_limited", 429, 60),
        (refused(429, Retry_After="7"), "rate_limited", 429, 60),
        (refused(429, Retry_After="300"), "rate_limited", 429, 300),
        (refused(423), "rate_limited", 423, 60),
        (refused(401), "upgrade_refused", 401, 30),
        (refused(403), "upgrade_refused", 403, 30),
        (refused(302, Location="wss://elsewhere"), "upgrade_refused", 302, 30),
        (refused(503), "server_error", 503, 0),
        (refused(503, Retry_After="20"), "server_error", 503, 20),
        (ConnectionRefusedError(111, "refused"), "unreachable", None, 0),
        (ConnectionResetError(104, "reset"), "unreachable", None, 0),
        (OSError(-2, "Name or service not known"), "unreachable", None, 0),
        (TimeoutError(), "connect_timeout", None, 0),
        (ssl.SSLCertVerificationError(1, "certificate verify failed"), "tls", None, 0),
        (InvalidMessage("no HTTP"), "bad_handshake", None, 0),
        (InvalidProxyStatus(Response(502, "", Headers())), "proxy", None, 0),
    ],
)
def test_every_failure_to_connect_has_a_cause_and_a_wait(
    error: Exception, cause: str, code: int | None, wait_s: float
) -> None:
    lost = connection_failed(error, SessionLimits())

    assert (lost.cause, lost.code, lost.wait_s) == (cause, code, wait_s)


@pytest.mark.parametrize(
    ("error", "key"),
    [
        (InvalidURI("x", "bad"), "source.socket_url"),
        (InvalidProxy("http://user:secret@:x", "bad"), "source.proxy"),
        (ImportError("python-socks"), "source.proxy"),
    ],
)
def test_what_waiting_cannot_mend_is_a_matter_of_configuration(error: Exception, key: str) -> None:
    with pytest.raises(ConfigurationError, match=key) as caught:
        connection_failed(error, SessionLimits())

    assert "secret" not in str(caught.value)


def test_our_own_errors_are_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        connection_failed(ZeroDivisionError(), SessionLimits())


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        (None, DATE, 0),
        ("30", None, 30),
        (" 30 ", DATE, 30),
        ("999999", None, 3600),
        ("Fri, 21 Aug 2026 15:41:00 GMT", DATE, 30),
        ("Fri, 21 Aug 2026 15:40:00 GMT", DATE, 0),
        ("Fri, 21 Aug 2026 15:41:00 GMT", None, 0),
        ("soon", DATE, 0),
        ("-5", DATE, 0),
    ],
)
def test_retry_after(value: str | None, date: str | None, seconds: float) -> None:
    assert retry_after_s(value, date) == seconds
