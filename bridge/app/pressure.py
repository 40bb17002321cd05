"""The spool of a shard, as the settings want it."""

from __future__ import annotations

import structlog

from bridge.config import Settings
from bridge.errors import ConfigurationError
from bridge.shard.segments import Segments
from bridge.shard.spool import Spool
from bridge.shard.stats import ShardStats


def spool(settings: Settings, stats: ShardStats, logger: structlog.typing.FilteringBoundLogger) -> Spool | None:
    """Where frames wait beyond `pressure.memory_mb`; None if nowhere.

    Raises:
        ConfigurationError: `pressure.spool_path` cannot be used; better said at start than when Kafka is away.
    """
    folder, limit_bytes = settings.pressure.spool_path, settings.pressure.spool_mb * 2**20
    if folder is None:
        return None
    segments = Segments(folder, limit_bytes)
    try:
        segments.probe()
    except OSError as error:
        raise ConfigurationError(
            f"pressure.spool_path: no file can be written in {folder}: {error.strerror}; name a folder that exists and "
            "that this user may write to"
        ) from None
    return Spool(segments, limit_bytes, stats, logger)
