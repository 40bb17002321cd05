"""Connection arguments of the Kafka client, and its errors as ours.

Owns the only translation of foreign errors: nothing of aiokafka is raised across the edge of this package.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiokafka import errors as foreign
from aiokafka.abc import AbstractTokenProvider

from bridge.errors import KafkaUnavailable, KafkaUnusable

_AUTHORIZATION = (
    foreign.TopicAuthorizationFailedError,
    foreign.GroupAuthorizationFailedError,
    foreign.ClusterAuthorizationFailedError,
    foreign.TransactionalIdAuthorizationFailed,
)

_LOGIN = (
    foreign.AuthenticationFailedError,
    foreign.AuthenticationMethodNotSupported,
    foreign.SaslAuthenticationFailed,
    foreign.UnsupportedSaslMechanismError,
)


class StaticToken(AbstractTokenProvider):  # type: ignore[misc] # aiokafka ships no types
    """An OAUTHBEARER token from the configuration or, read anew each time, from a file that something else renews."""

    def __init__(self, token: str, path: Path | None = None) -> None:
        self._token, self._path = token, path

    async def token(self) -> str:
        """The token as it is now."""
        return self._path.read_text(encoding="utf-8").strip() if self._path else self._token

    def __repr__(self) -> str:
        """Never the token."""
        return "StaticToken(***)"


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where the cluster is and how to log in; `options` hold secrets and are kept out of the repr."""

    bootstrap_servers: str
    options: dict[str, Any] = field(default_factory=dict, repr=False)

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments that all aiokafka clients share."""
        return {"bootstrap_servers": self.bootstrap_servers, "client_id": "syncbridge", **self.options}


def security(
    protocol: str,
    *,
    mechanism: str = "PLAIN",
    username: str | None = None,
    password: str | None = None,
    token: str | None = None,
    token_file: Path | None = None,
    cafile: Path | None = None,
    certfile: Path | None = None,
    keyfile: Path | None = None,
    key_password: str | None = None,
) -> dict[str, Any]:
    """Translate the `kafka.security_*`, `kafka.sasl_*` and `kafka.ssl_*` settings into aiokafka's arguments."""
    options: dict[str, Any] = {"security_protocol": protocol}
    if "SSL" in protocol.replace("SASL", ""):
        options["ssl_context"] = _tls(cafile, certfile, keyfile, key_password)
    if protocol.startswith("SASL"):
        options["sasl_mechanism"] = mechanism
        if mechanism == "OAUTHBEARER":
            options["sasl_oauth_token_provider"] = StaticToken(token or "", token_file)
        else:
            options |= {"sasl_plain_username": username, "sasl_plain_password": password}
    return options


def _tls(cafile: Path | None, certfile: Path | None, keyfile: Path | None, password: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(cafile) if cafile else None)
        if certfile:
            context.load_cert_chain(certfile, keyfile, password)
    except (OSError, ssl.SSLError) as error:
        raise KafkaUnusable(f"cannot use the TLS files of kafka.ssl_*: {error}") from error
    return context


@contextmanager
def translated(doing: str, cluster: Cluster) -> Iterator[None]:
    """Turn aiokafka's errors into ours, with what was being done and what to do about it.

    aiokafka reports a refused login as "unable to bootstrap" and leaves the reason in its log only, so the log is
    listened to meanwhile.
    """
    with _log_tail() as reasons:
        try:
            yield
        except _AUTHORIZATION as error:
            raise _not_authorised(doing, cluster, type(error).__name__) from error
        except _LOGIN as error:
            raise _login_refused(doing, cluster, f"{type(error).__name__}: {error}") from error
        except (foreign.KafkaConnectionError, foreign.KafkaTimeoutError, OSError, TimeoutError) as error:
            forbidden = [r for r in reasons if "is not authorized" in r]
            if forbidden:
                raise _not_authorised(doing, cluster, forbidden[-1]) from error
            refused = [r for r in reasons if "Authentication" in r or "SASL" in r.upper()]
            if refused:
                raise _login_refused(doing, cluster, refused[-1]) from error
            raise KafkaUnavailable(
                f"{doing}: no answer from Kafka at {cluster.bootstrap_servers} ({type(error).__name__}); "
                "check kafka.bootstrap_servers and that the cluster is up"
            ) from error
        except foreign.KafkaError as error:
            # A plain KafkaError is how aiokafka says that no broker gave it metadata: one has just come back, say.
            kind = KafkaUnavailable if error.retriable or type(error) is foreign.KafkaError else KafkaUnusable
            raise kind(f"{doing}: {type(error).__name__}: {error}") from error


def _not_authorised(doing: str, cluster: Cluster, why: str) -> KafkaUnusable:
    return KafkaUnusable(
        f"{doing}: the cluster at {cluster.bootstrap_servers} refuses it ({why}); "
        "grant this user the ACLs of docs/operations.md"
    )


def _login_refused(doing: str, cluster: Cluster, why: str) -> KafkaUnusable:
    return KafkaUnusable(
        f"{doing}: the cluster at {cluster.bootstrap_servers} refuses the login ({why}); "
        "check kafka.security_protocol, kafka.sasl_mechanism, kafka.sasl_username and kafka.sasl_password"
    )


class _Tail(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if len(self.lines) < 20:
            self.lines.append(record.getMessage())


@contextmanager
def _log_tail() -> Iterator[list[str]]:
    logger, handler = logging.getLogger("aiokafka"), _Tail()
    logger.addHandler(handler)
    try:
        yield handler.lines
    finally:
        logger.removeHandler(handler)
