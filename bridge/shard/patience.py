"""Waiting for Kafka: as long as it takes, visibly, and for nothing else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
import tenacity

from bridge.errors import KafkaUnavailable

T = TypeVar("T")

FIRST_S, MOST_S = 0.1, 2.0


class Patience:
    """Repeats what fails only because the cluster does not answer; every other error is raised."""

    def __init__(self, logger: structlog.typing.FilteringBoundLogger) -> None:
        self._logger = logger

    async def wait_for(self, doing: str, call: Callable[[], Awaitable[T]]) -> T:
        """The result of `call`, whenever it can be had; says once that it waits, and once that it is over."""

        def tell(attempt: tenacity.RetryCallState) -> None:
            if attempt.attempt_number == 1 and attempt.outcome is not None:
                self._logger.warning("kafka_unavailable", doing=doing, reason=str(attempt.outcome.exception()))

        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(KafkaUnavailable),
            wait=tenacity.wait_exponential_jitter(multiplier=FIRST_S, max=MOST_S, jitter=FIRST_S),
            before_sleep=tell,
        )

        async def attempt() -> T:
            return await call()

        result: T = await retrying(attempt)
        if retrying.statistics.get("attempt_number", 1) > 1:
            self._logger.info("kafka_available", doing=doing)
        return result
