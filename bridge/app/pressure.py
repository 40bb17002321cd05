"""The spool of a shard, as the settings want it."""

from __future__ import annotations

import structlog

from bridge.config import Settings
from bridge.errors import ConfigurationError
from bridge.shard.segments import Segments
from bridge.shard.spool import Spool
from bridge.shard.stats import ShardStats


def segments(settings: Settings) -> Segments | None:
    """The files of a shard's spool; None if there are none.

    Raises:
        ConfigurationError: `pressure.spool_path` cannot be used; better said at start than when Kafka is away.
    """
    folder = settings.pressure.spool_path
    if folder is None:
        return None
    found = Segments(folder, limit_bytes(settings))
    try:
        found.probe()
    except OSError as error:
        raise ConfigurationError(
            f"pressure.spool_path: no file can be written in {folder}: {error.strerror}; name a folder that exists and "
            "that this user may write to"
        ) from None
    return found


def limit_bytes(settings: Settings) -> int:
    """So much a shard's spool may hold."""
    return settings.pressure.spool_mb * 2**20


def spool(settings: Settings, stats: ShardStats, logger: structlog.typing.FilteringBoundLogger) -> Spool | None:
    """Where frames wait beyond `pressure.memory_mb`; None if nowhere. Raises as `segments`."""
    files = segments(settings)
    return None if files is None else Spool(files, limit_bytes(settings), stats, logger)
