"""The log: structured lines on standard error, one per session and snapshot, none per event.

A line is written at once: several processes may share standard error.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, Literal

import structlog

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure(form: Literal["json", "console"], level: str, **bound: Any) -> None:
    """Set structlog up for the process; foreign libraries speak only when something is wrong.

    aiokafka logs what it retries by itself as errors; those lines are kept out unless the level is debug, because
    what matters of them is raised and told by us.

    Args:
        bound: stands in every line.
    """
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            lambda _logger, _method, line: {**bound, **line},
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    quiet = logging.WARNING if level == "debug" else logging.CRITICAL
    # Kept out of the output only, not of the log: why a login was refused stands nowhere but in aiokafka's warnings,
    # and bridge.kafka.client listens to them.
    shown = logging.StreamHandler(sys.stderr)
    shown.setLevel(quiet)
    shown.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[shown], force=True)
