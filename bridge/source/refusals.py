"""How long to stay away: what each refusal of the server means for the session (protocol sections 3, 10 and 12)."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.errors import SessionLost
from bridge.source.messages import Penalty, Shutdown


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLimits:
    """Every wait and bound of a session, seconds and bytes.

    Attributes:
        heartbeat_s: between two heartbeats of ours; the protocol's figure, do not send faster.
        idle_s: without a single byte from the server, it is dead.
        open_s: for the server's first frame.
        authorize_s: for the answer to `authorize`.
        sync_s: for the first answer to the syncrequest; clients in the field wait 5 to 20 s.
        snapshot_quiet_s: without a snapshot part, the snapshot is taken to be complete.
        stall_s: a timer later than this means that this process stood still, not the server.
        rate_limited_wait_s: away after a 423 or 429.
        upgrade_limited_wait_s: away after one at the upgrade, whose Retry-After is unknown (section 21, question 28).
        upgrade_refused_wait_s: away after another refusal of the upgrade.
        captcha_wait_s: away after a penalty that only a human can lift.
        quota_wait_s: away after another program took the slot, or two programs evict each other for ever.
        maintenance_wait_s: away after a maintenance shutdown.
        server_error_wait_s: away after a 408 or 5xx.
        longest_penalty_s: a longer penalty is waited for without holding a socket.
        penalties: waits for tickets in one session.
        frame_bytes: longest frame.
        kept_raw_bytes: of a frame that cannot be read.
        remembered_types: entity types and null lists counted per snapshot; a hostile server cannot make them grow.
        remembered_keys: likewise keys, while a snapshot arrives.
    """

    heartbeat_s: float = 2.5
    idle_s: float = 10.0
    open_s: float = 10.0
    authorize_s: float = 10.0
    sync_s: float = 30.0
    snapshot_quiet_s: float = 2.0
    stall_s: float = 1.0
    rate_limited_wait_s: float = 3600.0
    upgrade_limited_wait_s: float = 60.0
    upgrade_refused_wait_s: float = 30.0
    captcha_wait_s: float = 3600.0
    quota_wait_s: float = 300.0
    maintenance_wait_s: float = 30.0
    server_error_wait_s: float = 5.0
    longest_penalty_s: float = 300.0
    penalties: int = 5
    frame_bytes: int = 64 * 2**20
    kept_raw_bytes: int = 2**20
    remembered_types: int = 512
    remembered_keys: int = 1_000_000


def authorize_refused(status: int | None, reason: str, limits: SessionLimits) -> SessionLost:
    """Judge an answer to `authorize` that is no acceptance.

    408 and 5xx may come from a fault of the server or from a token whose session was evicted (protocol section 2.4):
    the cause `authorize_failed` tells the owner that the token is in doubt, `unauthorized` that it is dead.
    """
    if status in {423, 429}:
        return SessionLost("rate_limited", reason, code=status, wait_s=limits.rate_limited_wait_s)
    if status == 408 or (status is not None and status >= 500):
        return SessionLost("authorize_failed", reason, code=status, wait_s=limits.server_error_wait_s)
    return SessionLost("unauthorized", reason, code=status)


def sync_refused(status: int | None, reason: str, limits: SessionLimits) -> SessionLost:
    """Judge an answer to the syncrequest, or to nothing we know of, that is no snapshot."""
    if status in {423, 429}:
        return SessionLost("rate_limited", reason, code=status, wait_s=limits.rate_limited_wait_s)
    if status == 408 or (status is not None and status >= 500):
        return SessionLost("server_error", reason, code=status, wait_s=limits.server_error_wait_s)
    return SessionLost("sync_refused", reason, code=status)


def penalized(penalty: Penalty, limits: SessionLimits) -> SessionLost:
    """Judge a penalty that this session cannot sit out."""
    if penalty.captcha:
        return SessionLost("captcha", penalty.message, wait_s=limits.captcha_wait_s)
    return SessionLost("penalty", penalty.message, wait_s=min(penalty.seconds, limits.captcha_wait_s))


def shut_down(shutdown: Shutdown, limits: SessionLimits) -> SessionLost:
    """Judge a `shutdown` event. The cause `quota` also means that the token is revoked."""
    reason = f"{shutdown.code} {shutdown.reason}".strip()
    if shutdown.is_quota:
        return SessionLost("quota", reason, wait_s=limits.quota_wait_s)
    if shutdown.is_maintenance:
        return SessionLost("maintenance", reason, wait_s=limits.maintenance_wait_s)
    return SessionLost("shutdown", reason)
