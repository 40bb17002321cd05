"""Faults: armed by hand, consulted at named points, and each reports whether it fired."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any


@dataclass(frozen=True, slots=True)
class FaultKind:
    """A fault that can be armed: where it strikes, what it does, its arguments with their defaults."""

    point: str
    doc: str
    args: dict[str, Any] = field(default_factory=dict)


KINDS: dict[str, FaultKind] = {
    "token_penalty": FaultKind("token", "a p-ticket instead of a token", {"seconds": 1, "captcha": False}),
    "token_status": FaultKind("token", "an HTTP status instead of a token", {"status": 429}),
    "token_error": FaultKind("token", "HTTP 200 with errorText", {"text": "Incorrect username or password."}),
    "token_missing": FaultKind("token", "HTTP 200 without accessToken"),
    "token_delay": FaultKind("token", "the answer comes late", {"seconds": 1.0}),
    "renew_penalty": FaultKind("renew", "a p-ticket instead of a renewed token", {"seconds": 1, "captcha": False}),
    "renew_status": FaultKind("renew", "an HTTP status instead of a renewed token", {"status": 401}),
    "upgrade_status": FaultKind("upgrade", "an HTTP status instead of a socket", {"status": 429, "retry_after": 0}),
    "upgrade_drop": FaultKind("upgrade", "the connection is reset during the handshake"),
    "silent_open": FaultKind("open", "no `o` frame, nothing ever"),
    "authorize_status": FaultKind("authorize", "authorize is refused", {"status": 401, "text": "Access is denied"}),
    "authorize_silent": FaultKind("authorize", "authorize is not answered"),
    "sync_penalty": FaultKind("sync", "a p-ticket as answer to syncrequest", {"seconds": 1, "captcha": False}),
    "sync_status": FaultKind("sync", "syncrequest is refused", {"status": 429}),
    "sync_silent": FaultKind("sync", "syncrequest is not answered"),
    "request_status": FaultKind("request", "any other request is refused", {"status": 429}),
    "order_status": FaultKind("order", "an order request is refused by status", {"status": 500}),
    "order_failure": FaultKind(
        "order", "an order request fails", {"reason": "UnknownReason", "text": "Access is denied"}
    ),
    "list_lost": FaultKind(
        "snapshot", "a list of the snapshot is empty, absent or null", {"type": "account", "form": "empty"}
    ),
    "list_short": FaultKind("snapshot", "a list of the snapshot has only so many rows", {"type": "account", "keep": 1}),
    "snapshot_cut": FaultKind("snapshot", "only so many parts of the snapshot come", {"parts": 1}),
    "part_delay": FaultKind("part", "a snapshot part comes late", {"seconds": 1.0}),
    "part_padded": FaultKind("part", "a snapshot part is padded with blanks to so many bytes", {"bytes": 5 << 20}),
    "drop": FaultKind("live", "the TCP connection is reset"),
    "close": FaultKind("live", "a proper WebSocket close", {"code": 1001, "reason": ""}),
    "close_frame": FaultKind("live", "a `c` frame, then a close", {"text": 'c[3000,"Go away!"]'}),
    "shutdown": FaultKind("live", "a shutdown event, then a close", {"code": "Maintenance", "reason": ""}),
    "half_open": FaultKind("live", "nothing is sent or read any more, the connection stays"),
    "frame_drop": FaultKind("frame", "a frame of events is not sent"),
    "frame_truncated": FaultKind("frame", "a frame of events is cut in the middle"),
    "frame_garbage": FaultKind("frame", "something else is sent ahead of a frame", {"text": "\x00garbage"}),
    "frame_binary": FaultKind("frame", "a binary message is sent ahead of a frame", {"text": "binary"}),
    "frame_padded": FaultKind("frame", "a frame of events is padded with blanks to so many bytes", {"bytes": 5 << 20}),
    "frame_twice": FaultKind("frame", "a frame of events is sent twice"),
    "frame_delay": FaultKind("frame", "the socket's frames are held back", {"seconds": 1.0}),
}


SHARDED = frozenset({"sync", "snapshot", "part", "live", "frame"})
"""Points at which it is known for which shard a socket is."""


class FaultError(ValueError):
    """A fault or an argument that does not exist or makes no sense."""


@dataclass(slots=True)
class Fault:
    """An armed fault.

    Attributes:
        id: running number.
        kind: its name in `KINDS`.
        times: how often it may still fire, None for ever.
        skip: how many consultations pass before it may fire.
        probability: chance to fire at a consultation.
        remainder: strikes only the shard with this remainder, None for any (or no) shard.
        args: arguments, completed by the defaults.
        fired: how often it has fired.
    """

    id: int
    kind: str
    times: int | None
    skip: int
    probability: float
    remainder: int | None
    args: dict[str, Any]
    fired: int = 0

    @property
    def point(self) -> str:
        """Where it is consulted."""
        return KINDS[self.kind].point

    def as_json(self) -> dict[str, Any]:
        """For `GET /sim/faults`."""
        return {
            "id": self.id, "kind": self.kind, "point": self.point, "times": self.times, "skip": self.skip,
            "probability": self.probability, "remainder": self.remainder, "args": self.args, "fired": self.fired,
        }  # fmt: skip


class Faults:
    """The armed faults; chance is seeded, so that a run can be repeated."""

    def __init__(self, seed: int = 1) -> None:
        self._rng = Random(seed)
        self._armed: list[Fault] = []

    def arm(
        self, kind: str, *, times: int | None = 1, skip: int = 0, probability: float = 1.0,
        remainder: int | None = None, **args: Any,
    ) -> Fault:  # fmt: skip
        """Arms a fault.

        Raises:
            FaultError: no such kind, an argument that the kind does not have, or a value that makes no sense.
        """
        if kind not in KINDS:
            raise FaultError(f"there is no fault {kind!r}; known: {', '.join(KINDS)}")
        defaults = KINDS[kind].args
        for name, value in args.items():
            if name not in defaults:
                raise FaultError(f"{kind} has no argument {name!r}; it has: {', '.join(defaults) or 'none'}")
            if not _fits(name, value, defaults[name]):
                raise FaultError(f"{kind}: {name} cannot be {value!r}")
        _check(kind, times, skip, probability, remainder)
        fault = Fault(len(self._armed) + 1, kind, times, skip, probability, remainder, {**defaults, **args})
        self._armed.append(fault)
        return fault

    def take(self, point: str, remainder: int | None = None) -> Iterator[Fault]:
        """The faults that fire at this point now, one by one: those that the caller does not get to have not fired."""
        return (fault for fault in self._armed if fault.point == point and self._fires(fault, remainder))

    def first(self, point: str, remainder: int | None = None) -> Fault | None:
        """The fault that fires at a point where only one can."""
        return next(self.take(point, remainder), None)

    def armed(self, point: str) -> bool:
        """Whether anything at all could fire at a point; cheap, for the path of every frame."""
        return any(f.point == point and (f.times is None or f.fired < f.times) for f in self._armed)

    def disarm(self) -> None:
        """Nothing fires any more; what has fired stays on record."""
        for fault in self._armed:
            fault.times = fault.fired

    def all(self) -> list[Fault]:
        """Every fault that was ever armed."""
        return list(self._armed)

    def unfired(self) -> list[Fault]:
        """Faults that have never fired: a scenario with one of these has not shown what it claims."""
        return [fault for fault in self._armed if not fault.fired]

    def _fires(self, fault: Fault, remainder: int | None) -> bool:
        if fault.times is not None and fault.fired >= fault.times:
            return False
        if fault.remainder is not None and fault.remainder != remainder:
            return False
        if fault.skip:
            fault.skip -= 1
            return False
        if self._rng.random() >= fault.probability:
            return False
        fault.fired += 1
        return True


def _fits(name: str, value: Any, default: Any) -> bool:
    """Whether an argument is of its default's kind; durations need not be whole."""
    if isinstance(value, bool) or isinstance(default, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    if isinstance(default, str):
        return isinstance(value, str)
    return isinstance(value, (int, float) if name == "seconds" else int) and value >= 0


def _check(kind: str, times: Any, skip: Any, probability: Any, remainder: Any) -> None:
    if times is not None and (type(times) is not int or times < 1):
        raise FaultError(f"{kind}: times is a positive integer, or null for ever")
    if type(skip) is not int or skip < 0:
        raise FaultError(f"{kind}: skip is an integer that is not negative")
    if type(probability) not in (int, float) or not 0 < probability <= 1:
        raise FaultError(f"{kind}: probability lies between 0 and 1")
    if remainder is not None and (type(remainder) is not int or remainder < 0):
        raise FaultError(f"{kind}: remainder is an integer that is not negative")
    if remainder is not None and KINDS[kind].point not in SHARDED:
        raise FaultError(f"{kind} strikes before a socket has a shard, so remainder makes no sense")
