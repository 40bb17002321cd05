"""The exception tree. Each class names its recovery, so that whoever catches it need not guess.

    BridgeError
    ├── ConfigurationError   STOP, exit 2   the configuration is wrong; the message names the key and the fix
    ├── AuthorizationRefused STOP, exit 3   the broker refuses these credentials
    ├── KafkaUnusable        STOP, exit 4   cluster, topics or registry cannot be used as they are
    │   └── KafkaUnavailable RETRY          the cluster or registry does not answer now; it may come back
    ├── Replaced             STOP, exit 5   a newer instance owns the shard; a supervisor must not restart us
    ├── SessionLost          RECONNECT      the socket session ended; carries cause, close code and the wait asked for
    ├── OutcomeUnknown       RECOVER        a transaction failed: read the head back, learn whether it was committed
    └── Unencodable          DEAD_LETTER    one entity cannot be encoded; it is kept with the reason

`BridgeError` is abstract: it is never raised itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar


class Recovery(Enum):
    """What the catcher of an error is to do."""

    STOP = "stop"
    RETRY = "retry"
    RECONNECT = "reconnect"
    RECOVER = "recover"
    DEAD_LETTER = "dead-letter"


class BridgeError(Exception):
    """Base of all errors of this package; says in one sentence what happened and what to do."""

    recovery: ClassVar[Recovery] = Recovery.STOP
    exit_code: ClassVar[int] = 1


class ConfigurationError(BridgeError):
    """The configuration cannot work; the message names the key and the remedy."""

    exit_code = 2


class AuthorizationRefused(BridgeError):
    """The broker refused the credentials or the token for good (PROTOCOL: token answers, authorize)."""

    exit_code = 3


class KafkaUnusable(BridgeError):
    """Cluster, topics or registry are not as they must be, and waiting will not change that."""

    exit_code = 4


class KafkaUnavailable(KafkaUnusable):
    """The cluster or the registry does not answer at present."""

    recovery = Recovery.RETRY


class Replaced(BridgeError):
    """A newer instance has claimed the shard; this one must neither write nor fence it back."""

    exit_code = 5


@dataclass(frozen=True, slots=True)
class Unread:
    """What arrived of a frame that nobody can read.

    Attributes:
        raw: its beginning.
        length: bytes of the whole frame; at least so many if its end was not announced.
        sha256: of all that arrived of it, in hexadecimal.
    """

    raw: bytes
    length: int
    sha256: str


class SessionLost(BridgeError):
    """A socket session ended.

    Attributes:
        cause: a short stable word for metrics and records (`idle`, `closed`, `shutdown`, `penalty` ...).
        code: WebSocket close code or response status, if there was one.
        wait_s: seconds the server asked us, or the protocol obliges us, to stay away.
        unread: the frame that ended it, if it was one that nobody can read.
    """

    recovery = Recovery.RECONNECT

    def __init__(
        self,
        cause: str,
        reason: str = "",
        *,
        code: int | None = None,
        wait_s: float = 0.0,
        unread: Unread | None = None,
    ) -> None:
        super().__init__(f"session lost ({cause}{'' if code is None else f' {code}'}){': ' + reason if reason else ''}")
        self.cause, self.reason, self.code, self.wait_s, self.unread = cause, reason, code, wait_s, unread


class OutcomeUnknown(BridgeError):
    """A transaction did not end cleanly; only the head in Kafka tells whether it was committed."""

    recovery = Recovery.RECOVER


class Unencodable(BridgeError):
    """An entity that cannot become a record of its type.

    Attributes:
        reason: a short stable word for metrics and dead letters (`no_id`,
            `id_not_int64`, `not_an_object`, `too_deep`, `name_not_unicode`).
    """

    recovery = Recovery.DEAD_LETTER

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
