"""From settings to the broker's side: endpoint, credentials, limits, and the plan of each shard."""

from __future__ import annotations

import ssl

import structlog

from bridge.app.implementation import CUT
from bridge.config import Settings, nearest
from bridge.entities.catalogue import CATALOGUE, SNAPSHOT_TYPES
from bridge.errors import ConfigurationError
from bridge.source.broker import Broker, Endpoint
from bridge.source.budget import BudgetLimits
from bridge.source.credentials import Credentials
from bridge.source.plan import SyncPlan
from bridge.source.refusals import SessionLimits


def budget_limits(settings: Settings) -> BudgetLimits:
    """What all shards of these settings may do together."""
    source = settings.source
    return BudgetLimits(
        sockets=source.max_sockets,
        spare_sockets=source.max_sockets - len(settings.sharding.remainders),
        connect_burst=source.connect_burst,
    )


def broker(settings: Settings, limits: BudgetLimits | None = None) -> Broker:
    """What all shards share, to be entered before use.

    Args:
        limits: what they may do together, if other processes work beside this one.

    Raises:
        ConfigurationError: no user name, or a CA file that cannot be used.
    """
    source = settings.source
    if not source.name:
        raise ConfigurationError("source.name is empty; give the broker's user name (and source.password)")
    return Broker(
        Endpoint(source.rest_url, source.socket_url, _tls(settings), _proxy(settings)),
        _credentials(settings),
        limits=_limits(settings),
        budget=limits or budget_limits(settings),
        token_path=source.token_path,
        cut=CUT,
    )


def plan(settings: Settings, remainder: int) -> SyncPlan:
    """What the socket of one shard asks for.

    Raises:
        ConfigurationError: the protocol forbids the combination.
    """
    source, sharding = settings.source, settings.sharding
    chosen = bool(source.users or source.accounts)
    if chosen and sharding.divisor != 1:
        raise ConfigurationError(
            "source.users and source.accounts cannot be combined with sharding (the broker forbids the mix): "
            "set sharding.divisor to 1"
        )
    return SyncPlan(
        entity_types=source.entity_types or (() if source.users else tuple(SNAPSHOT_TYPES)),
        expression=None if chosen else sharding.expression,
        divisor=sharding.divisor,
        remainder=remainder,
        users=source.users,
        accounts=source.accounts,
        cutoff_timestamp=source.cutoff_timestamp,
        full_org_snapshot=source.full_org_snapshot,
    )


def warn_of_unknown_types(settings: Settings) -> None:
    """The server ignores names it does not know, so a misspelt one must be said here (protocol section 7)."""
    logger = structlog.get_logger()
    for name in settings.source.entity_types:
        if name not in CATALOGUE:
            logger.warning("unknown_entity_type", name=name, hint=nearest(name, CATALOGUE).removeprefix("; "))


def _credentials(settings: Settings) -> Credentials:
    source = settings.source
    return Credentials(
        environment=source.environment,
        name=source.name,
        password=source.password.get_secret_value(),
        app_id=source.app_id,
        app_version=source.app_version,
        device_id=source.device_id,
        cid=source.cid,
        sec=source.sec.get_secret_value() if source.sec else None,
    )


def _proxy(settings: Settings) -> str | None:
    proxy = settings.source.proxy
    return None if proxy is None else proxy.get_secret_value()


def _limits(settings: Settings) -> SessionLimits:
    return SessionLimits(
        heartbeat_s=settings.source.heartbeat_s,
        idle_s=settings.source.idle_s,
        snapshot_quiet_s=settings.snapshot.quiet_s,
        frame_bytes=settings.source.max_frame_mb * 2**20,
    )


def _tls(settings: Settings) -> ssl.SSLContext | None:
    path = settings.source.ca_file
    if path is None:
        return None
    try:
        return ssl.create_default_context(cafile=str(path))
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"cannot use source.ca_file {path}: {error}") from error
